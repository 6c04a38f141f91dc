package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gurney/config"
	"gurney/rollout"
)

// An expression that Consul would not take is printed all the same, and said
// to be too long.
func TestFilterThatIsTooLong(t *testing.T) {
	for _, c := range []struct {
		bytes int // of the one node's name; ^ and $ come to it
		want  string
	}{
		{329, ""},
		{330, "gurney: the expression has 332 bytes, and consul exec takes 331: select fewer nodes\n"},
		{411, "gurney: the expression has 413 bytes, and consul exec takes 331: select fewer nodes\n"},
		{412, "gurney: the expression has 414 bytes, and no event holds over 413: select fewer nodes\n"},
	} {
		dir := t.TempDir()
		file := func(name string) *os.File {
			f, err := os.Create(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			return f
		}
		p := &process{Stdout: file("out"), Stderr: file("err")}
		name := strings.Repeat("a", c.bytes)
		if err := writeFilter(p, []rollout.Target{{Node: "b", ConsulNode: name}}); err != nil {
			t.Fatal(err)
		}
		for f, want := range map[string]string{"out": "^" + name + "$\n", "err": c.want} {
			if got, err := os.ReadFile(filepath.Join(dir, f)); err != nil || string(got) != want {
				t.Errorf("%d bytes, std%s: got %q, %v", c.bytes, f, got, err)
			}
		}
	}
}

// A role is matched whole, and its dots are dots.
func TestRoleIsAWholeTag(t *testing.T) {
	for service, want := range map[string]string{"": "^role$", "chef-role": "^chef-role$"} {
		n := nodesCmd{Role: "db.client", selectorFlags: selectorFlags{Node: "web"}}
		got, err := n.selected(&config.Config{Role: config.Role{Service: service}})
		if err != nil || got != (rollout.Selector{Node: "web", Service: want, Tag: `^db\.client$`}) {
			t.Errorf("%q: got %+v, %v", service, got, err)
		}
	}
}
