package main

import (
	"strings"
	"testing"
)

// TestExcluder: the patterns are those of a manifest's excludes.
func TestExcluder(t *testing.T) {
	for _, c := range []struct {
		patterns   []string
		gone, kept []string // directories end with a slash
	}{
		// As docs/commands.md says it.
		{[]string{".git"}, []string{".git/", "cookbooks/a/.git"}, []string{".gitignore"}},
		{[]string{"*.pid"}, []string{"x.pid", "a/x.pid"}, []string{"x.pid.d", "pid"}},
		{[]string{"spec/fixtures"}, []string{"spec/fixtures/", "cookbooks/a/spec/fixtures/"}, []string{"fixtures/", "aspec/fixtures/"}},
		{[]string{"/tmp"}, []string{"tmp/"}, []string{"a/tmp"}},
		{[]string{"cache/"}, []string{"cache/", "a/cache/"}, []string{"a/cache"}},
		{[]string{"a/**/x"}, []string{"a/b/c/x"}, []string{"a/x"}},
		{[]string{"+ keep", "*"}, []string{"other"}, []string{"keep"}},
		{[]string{".git", "a,b"}, []string{".git/", "a,b"}, []string{"a", "b"}},
		// Not rsync's.
		{[]string{"./tmp"}, []string{"tmp/"}, []string{"a/tmp"}},
		{nil, nil, []string{"a"}},
	} {
		excluded := (&publishCmd{Exclude: c.patterns}).excluder()
		for want, paths := range map[bool][]string{true: c.gone, false: c.kept} {
			for _, path := range paths {
				name, isDir := strings.CutSuffix(path, "/")
				if excluded(name, isDir) != want {
					t.Errorf("%q: %s excluded is not %t", c.patterns, path, want)
				}
			}
		}
	}
}
