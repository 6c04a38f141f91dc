package integration_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"gurney/integration/fleet"
)

// docs/operations.md tells of every metric that the agent has, and of no other;
// examples/alerts.yml goes by no other either.
func TestDocsNameEveryMetric(t *testing.T) {
	top, err := fleet.Root()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t}
	in := func(re, file string) []string {
		return union(names(regexp.MustCompile(re), w.read(filepath.Join(top, file))), nil)
	}
	has := in(`Name: "(gurney_\w+)"`, "agent/metrics.go")
	if told := in("(?m)^\\| `(gurney_\\w+)` \\|", "docs/operations.md"); len(has) == 0 || !slices.Equal(has, told) {
		t.Errorf("the agent has %q\ndocs/operations.md tells of %q", has, told)
	}
	used := in(`\b(gurney_\w+)`, "examples/alerts.yml")
	if len(used) == 0 {
		t.Error("examples/alerts.yml uses no metric")
	}
	for _, name := range used {
		if !slices.Contains(has, name) {
			t.Errorf("examples/alerts.yml uses %s, which the agent does not have", name)
		}
	}
}
