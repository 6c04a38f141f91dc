package run

import (
	"slices"
	"strings"
	"testing"

	"gurney/report"
)

// handler answers as Gurney's handler in Ruby does, for a fake that can't run
// it: $2 is the wrapper configuration, which says where to and by what nonce.
const handler = `
at() { sed -n "s/^  :$1 => '\(.*\)',$/\1/p" "$2"; }
printf '{"nonce":"%s","completed":true,"success":true,"roles":ROLES}' "$(at nonce "$2")" > "$(at report "$2")"
`

// Roles are told by a run that ended well and converged in earnest, whose
// handler spoke; that there are none is told, too.
func TestRolesOfAConverge(t *testing.T) {
	const chef = "src: SRC\nchecksum: SUM\ndest: DIR/dest\nchef: {}\n"
	for name, c := range map[string]struct {
		roles    string // of the handler's report, JSON; "": none is written
		manifest string
		state    report.State
		want     []string
	}{
		"some":       {`["web","base"]`, chef, report.OK, []string{"web", "base"}},
		"none":       {`[]`, chef, report.OK, []string{}},
		"no handler": {"", chef, report.OK, nil},
		"why run":    {`["web"]`, strings.Replace(chef, "chef: {}", "chef: {why_run: true}", 1), report.OK, nil},
		"post fails": {`["web"]`, chef + "commands: {post: ['false']}\n", report.Failed, nil},
		"no chef":    {`["web"]`, strings.Replace(chef, "chef: {}\n", "", 1), report.OK, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			if c.roles != "" {
				f.write("chef.sh", strings.ReplaceAll(handler, "ROLES", c.roles)+f.read("chef.sh"))
			}
			e := f.run(t.Context(), "r1", c.manifest)
			saved, err := f.home.Run("chef@r1@1").Ending()
			f.must(err)
			if e.Result.State != c.state || !slices.Equal(e.Roles, c.want) || (e.Roles == nil) != (c.want == nil) {
				t.Errorf("%+v", e)
			}
			if !slices.Equal(saved.Roles, c.want) || (saved.Roles == nil) != (c.want == nil) {
				t.Errorf("the file says %q, want %q", saved.Roles, c.want)
			}
		})
	}
}
