package integration_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gurney/integration/fleet"
)

var (
	helpCommand = regexp.MustCompile(`(?m)^  ([a-z]+)(?: ([a-z]+))?  +[A-Z]`)
	helpFlag    = regexp.MustCompile(`(?m)^  (?:-[a-z], |    )(--[a-z-]+)`)
	docCommand  = regexp.MustCompile(`(?m)^## ([a-z]+)\n`)
	docFlag     = regexp.MustCompile("`(?:[^`]*, )?(--[a-z][a-z-]*)")
)

// everywhere are the flags that docs/commands.md tells of once, at its head.
var everywhere = []string{"--help", "--config", "--version", "--output"}

// docs/commands.md has a section for every command that the binary tells of,
// and in its tables every flag; and no other.
func TestDocsNameEveryCommandAndFlag(t *testing.T) {
	bin, err := fleet.Tool("gurney")
	if err != nil {
		t.Fatal(err)
	}
	h := &fleet.Host{Gurney: bin, Dir: t.TempDir()}
	help := func(args ...string) string {
		out, err := h.RunIn(nil, nil, append(args, "--help")...)
		if err != nil || out.Status != 0 {
			t.Fatalf("gurney %v --help: %v, exit %d", args, err, out.Status)
		}
		return out.Stdout
	}
	top, err := fleet.Root()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t}
	sections := map[string]string{}
	var documented []string
	text := w.read(filepath.Join(top, "docs", "commands.md"))
	at := docCommand.FindAllStringSubmatchIndex(text, -1)
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		name := text[m[2]:m[3]]
		documented = append(documented, name)
		sections[name] = text[m[1]:end]
	}
	var known []string
	flags := map[string][]string{} // by command, those of its own commands among them
	for _, m := range helpCommand.FindAllStringSubmatch(help(), -1) {
		known = append(known, m[1])
		flags[m[1]] = append(flags[m[1]], names(helpFlag, help(strings.Fields(m[1]+" "+m[2])...))...)
		if full := "`gurney " + m[1] + " " + m[2] + "`"; m[2] != "" && !strings.Contains(sections[m[1]], full) {
			t.Errorf("docs/commands.md does not tell of %s", full)
		}
	}
	if len(known) < 10 {
		t.Fatalf("the help names too few commands to be read right: %v", known)
	}
	for _, name := range union(known, documented) {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/commands.md has no section for gurney %s", name)
			continue
		}
		if !slices.Contains(known, name) {
			t.Errorf("docs/commands.md has a section for gurney %s, which is no command", name)
			continue
		}
		var tables []string
		for line := range strings.SplitSeq(sections[name], "\n") {
			if cell, ok := strings.CutPrefix(line, "| `"); ok {
				first, _, _ := strings.Cut("`"+cell, " |")
				tables = append(tables, first)
			}
		}
		has, told := flags[name], names(docFlag, strings.Join(tables, "\n"))
		if !slices.Contains(has, "--help") {
			t.Errorf("the flags of gurney %s can't be read from its help", name)
		}
		for _, f := range union(has, told) {
			switch {
			case slices.Contains(everywhere, f):
			case !slices.Contains(told, f):
				t.Errorf("docs/commands.md does not tell of %s of gurney %s", f, name)
			case !slices.Contains(has, f):
				t.Errorf("docs/commands.md tells of %s of gurney %s, which has no such flag", f, name)
			}
		}
	}
	head := text[:at[0][0]]
	for _, f := range everywhere {
		if f != "--output" && !strings.Contains(head, f) {
			t.Errorf("the head of docs/commands.md does not tell of %s", f)
		}
	}
}

// names are the first groups of all that re finds in text.
func names(re *regexp.Regexp, text string) []string {
	var out []string
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
