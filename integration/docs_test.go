package integration_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gurney/config"
	"gurney/integration/fleet"
	"gurney/manifest"
)

// page is one, with the nodes that its commands speak of, each by its prompt.
type page struct {
	path  string
	acl   bool // its Consul denies what no token allows
	nodes []string
}

// pages are the documentation in the order in which it is read.
var pages = []page{
	{path: "README.md", nodes: []string{"web-1", "web-2"}},
	{path: "docs/getting-started.md", acl: true, nodes: []string{"web-1", "web-2", "db-1"}},
	{path: "docs/config.md"},
	{path: "docs/manifest.md"},
	{path: "docs/commands.md", nodes: []string{"web-1", "db-1"}},
	{path: "docs/coming-from-stretcher.md", nodes: []string{"web-1"}},
	{path: "docs/how-it-works.md", nodes: []string{"web-1", "db-1"}},
	{path: "docs/roles.md", nodes: []string{"web-1", "db-1"}},
	{path: "docs/systemd.md"},
	{path: "docs/developing.md"},
}

// allPages are pages, and after them those of docs/ that are not named there.
func allPages(top string) ([]page, error) {
	found, err := filepath.Glob(filepath.Join(top, "docs", "*.md"))
	if err == nil && len(found) == 0 {
		err = errors.New("docs/ has no pages")
	}
	all := slices.Clone(pages)
	for _, path := range found {
		name := "docs/" + filepath.Base(path)
		if !slices.ContainsFunc(pages, func(p page) bool { return p.path == name }) {
			all = append(all, page{path: name, nodes: []string{"web-1", "web-2", "db-1"}})
		}
	}
	return all, err
}

// Every block of every page is run, written, parsed or known as a drawing;
// docs/developing.md tells what makes which.
func TestDocs(t *testing.T) {
	top, err := fleet.Root()
	if err != nil {
		t.Fatal(err)
	}
	all, err := allPages(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		t.Run(filepath.Base(p.path), func(t *testing.T) {
			blocks := blocksOf(t, p.path, filepath.Join(top, p.path))
			l := newLand(t, p.acl, p.nodes...)
			for _, b := range blocks {
				l.block(top, b)
			}
		})
	}
}

// block does with a block what its kind asks.
func (l *land) block(top string, b block) {
	l.Helper()
	switch b.kind {
	case "console":
		l.console(b, true)
	case "hidden":
		l.console(b, false)
	case "sh":
		l.script(top, b)
	case "yaml", "ini", "ruby":
		l.file(b)
	case "text":
		if !strings.ContainsAny(b.text, "►▼▲─│") {
			l.Errorf("%s: text is for drawings; what a command prints belongs in a console block", b)
		}
	default:
		l.Errorf("%s: what is to be done with a block of kind %q?", b, b.kind)
	}
}

// console runs the commands of a block and holds what they print against the
// page. A command must succeed, unless the next one asks for its status.
func (l *land) console(b block, compare bool) {
	l.Helper()
	list, err := commandsOf(b)
	if err != nil {
		l.Error(err)
	}
	for i, c := range list {
		out, status, err := l.run(c.host, c.text)
		if os.Getenv("GURNEY_TEST_VERBOSE") != "" {
			l.Logf("%s$ %s\n%s", c.host, c.text, out)
		}
		asked := i+1 < len(list) && list[i+1].host == c.host && list[i+1].text == "echo $?"
		switch {
		case err != nil:
			l.Fatalf("%s:%d: %v", b.page, c.line, err)
		case status != 0 && !asked:
			l.Errorf("%s:%d: %s: exit %d\n%s", b.page, c.line, c.text, status, out)
		case compare && !matches(c.output, out):
			l.Errorf("%s:%d: %s\n--- the page says\n%s--- it prints\n%s", b.page, c.line, c.text, c.output, out)
		}
	}
}

// elsewhere are the make targets that pages name, and who runs them: a page
// that ran make test would run itself.
var elsewhere = map[string]string{
	"build": "what this test drives was built by it",
	"tools": "what this test drives was built by it",
	"demo":  "cmd/demo's own test",
	"test":  ".ci/run",
	"lint":  ".ci/run",
	"bench": "by hand, and its parts by integration/bench's own test",
	"soak":  "by hand",
}

var makeLine = regexp.MustCompile(`^(?:[A-Z_]+=\S+ )*make((?: [a-z]+)+)(?: [A-Z]+=.*)?$`)

// script runs each line of a block on ops. A make line is looked up: the
// Makefile must have it, and it must be known who runs it.
func (l *land) script(top string, b block) {
	l.Helper()
	for i, line := range strings.Split(strings.TrimSpace(b.text), "\n") {
		m := makeLine.FindStringSubmatch(line)
		if m == nil {
			if out, status, err := l.run("ops", line); err != nil || status != 0 {
				l.Fatalf("%s:%d: %s: exit %d, %v\n%s", b.page, b.line+i, line, status, err, out)
			}
			continue
		}
		makefile := l.world.read(filepath.Join(top, "Makefile"))
		for target := range strings.FieldsSeq(m[1]) {
			if elsewhere[target] == "" || !regexp.MustCompile(`(?m)^`+target+`:`).MatchString(makefile) {
				l.Errorf("%s:%d: make %s: no such target, or nobody is known to run it", b.page, b.line+i, target)
			}
		}
	}
}

// file writes a block to the file that its first line names: on ops where the
// path is relative, else on the nodes. A block that names none must be a
// configuration or a manifest.
func (l *land) file(b block) {
	l.Helper()
	m := fileName.FindStringSubmatch(b.text)
	if m == nil {
		l.parses(b)
		return
	}
	hosts := []string{"ops"}
	if filepath.IsAbs(m[1]) {
		hosts = l.nodes
	}
	if m[2] != "" {
		hosts = strings.Split(m[2], ", ")
	}
	for _, h := range hosts {
		path, text := filepath.Join("home", m[1]), strings.ReplaceAll(b.text, " /srv", ` {{ must_env "HOST" }}/srv`)
		if filepath.IsAbs(m[1]) {
			path, text = m[1], l.below(h, b.text)
		}
		l.world.write(l.root(h), path, text)
	}
	if b.kind == "yaml" {
		l.parses(b)
	}
}

// parses insists that a block is a configuration, or a manifest without a
// warning.
func (l *land) parses(b block) {
	l.Helper()
	path := filepath.Join(l.TempDir(), "block.yml")
	if err := os.WriteFile(path, []byte(b.text), 0o644); err != nil {
		l.Fatal(err)
	}
	_, cerr := config.Load(path, nil)
	_, warnings, merr := manifest.Parse(b.page, []byte(b.text), manifest.ParseOptions{TolerateEnv: true})
	if cerr != nil && (merr != nil || len(warnings) > 0) {
		l.Errorf("%s is no configuration: %v\nand no manifest: %v %v", b, cerr, merr, warnings)
	}
}
