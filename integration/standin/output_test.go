package standin_test

import (
	"path/filepath"
	"regexp"
	"testing"
)

// The versions that the stand-in plays, and how each of them speaks.
var versions = []struct {
	env                []string
	line, done, failed string
}{
	{[]string{"CHEF_STANDIN_VERSION=12"}, `^Chef: 12\.`, `Chef Client finished, `, `Chef Client failed\. `},
	{[]string{"CHEF_STANDIN_VERSION=14"}, `^Chef: 14\.`, `Chef Client finished, `, `Chef Client failed\. `},
	{[]string{"CHEF_STANDIN_VERSION=16"}, `^Chef Infra Client: 16\.`, `Chef Infra Client finished, `, `Chef Infra Client failed\. `},
	{[]string{"CHEF_STANDIN_VERSION=16", "CHEF_STANDIN_PRODUCT=cinc"}, `^Cinc Client: 16\.`, `Cinc Client finished, `, `Cinc Client failed\. `},
	{[]string{"CHEF_STANDIN_VERSION=18"}, `^Chef Infra Client: 18\.10\.107 `, `Infra Phase complete, `, `Infra Phase failed\. `},
	{nil, `^Chef Infra Client: 18\.10\.107 \(gurney's stand-in`, `Infra Phase complete, `, `Infra Phase failed\. `},
}

func TestSummaryAndVersion(t *testing.T) {
	for _, v := range versions {
		p := programs[0].with(v.env...)
		dir := repo(t, recipe(`file "DIR/a"`, `file "DIR/b"`, `execute "false" do`, `  not_if "true"`, `end`)...)
		if _, out := p.run(t, dir, "--version"); !regexp.MustCompile(v.line).MatchString(out) {
			t.Errorf("%v --version: %q, want %s", v.env, out, v.line)
		}
		out := p.must(t, dir, plain(dir)...)
		if want := regexp.MustCompile(`(?m)^` + v.done + `2/3 resources updated in \d\d seconds$`); !want.MatchString(out) {
			t.Errorf("%v: %s, want %s", v.env, out, want)
		}
		write(t, filepath.Join(dir, "cookbooks/web/recipes/default.rb"), "execute \"true\"\nexecute \"false\"\n")
		_, out = p.run(t, dir, plain(dir)...)
		if want := regexp.MustCompile(`(?m)^` + v.failed + `1 resources updated in \d\d seconds$`); !want.MatchString(out) {
			t.Errorf("%v: %s, want %s", v.env, out, want)
		}
	}
}

// What all of them have in common.
func TestSummaryOfAnyVersion(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`file "DIR/a"`, `execute "false" do`, `  not_if "true"`, `end`)...)
		for _, step := range []struct {
			args []string
			want string
		}{
			{[]string{"-W"}, `(?m)^(?:Infra Phase complete|.*Client finished), 1/2 resources would have been updated`},
			{nil, `(?m)^(?:Infra Phase complete|.*Client finished), 1/2 resources updated in \d\d seconds`},
			{nil, `(?m)^(?:Infra Phase complete|.*Client finished), 0/2 resources updated in \d\d seconds`},
		} {
			out := p.must(t, dir, append(plain(dir), step.args...)...)
			if !regexp.MustCompile(step.want).MatchString(out) {
				t.Errorf("%v: %s, want %s", step.args, out, step.want)
			}
		}
	})
}
