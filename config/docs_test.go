package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// The documentation and the example are held against the table of keys.

func TestDocsNameEveryKey(t *testing.T) {
	text, err := os.ReadFile("../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, k := range table {
		known[k.name] = true
		if !strings.Contains(string(text), "\n| `"+k.name+"` |") {
			t.Errorf("docs/config.md has no row for %s", k.name)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_.]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		if !known[m[1]] {
			t.Errorf("docs/config.md has a row for %s, which is no key", m[1])
		}
	}
	for _, m := range regexp.MustCompile("GURNEY_[A-Z0-9_]+").FindAllString(string(text), -1) {
		found := false
		for _, k := range table {
			found = found || k.env() == m
		}
		if !found {
			t.Errorf("docs/config.md names %s, which nothing reads", m)
		}
	}
}

// The example decodes as it ships, and with every key behind a # switched on
// it names all there are.
func TestExample(t *testing.T) {
	data, err := os.ReadFile("../examples/gurney.yml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load("../examples/gurney.yml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RequireAgent(); err != nil {
		t.Error(err)
	}
	want := Default()
	want.Apps, want.Sources = c.Apps, c.Sources
	if !reflect.DeepEqual(c, want) {
		t.Errorf("what stands in the example must be the default\ngot  %+v\nwant %+v", c, want)
	}

	whole := regexp.MustCompile(`(?m)^( *)# ( *[A-Za-z_]+:(?: .*)?)$`).ReplaceAllString(string(data), "$1$2")
	places := map[string]place{}
	for _, p := range Default().decode("examples/gurney.yml", []byte(whole), places) {
		t.Errorf("with every key switched on: %v", p)
	}
	for _, k := range table {
		if _, ok := places[k.name]; !ok {
			t.Errorf("examples/gurney.yml does not mention %s", k.name)
		}
	}
}
