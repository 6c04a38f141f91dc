package integration_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gurney/integration/fleet"
)

var (
	link    = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]+))?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	noWord  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// Every link of a page leads to a file that is there, and to a heading in it.
func TestDocsLinks(t *testing.T) {
	top, err := fleet.Root()
	if err != nil {
		t.Fatal(err)
	}
	all, err := allPages(top)
	if err != nil {
		t.Fatal(err)
	}
	followed := 0
	for _, p := range all {
		from := filepath.Join(top, p.path)
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			followed++
			to := from
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(from), m[1])
			}
			if info, err := os.Stat(to); err == nil && info.IsDir() && m[2] == "" {
				continue
			}
			data, err := os.ReadFile(to)
			if err != nil {
				t.Errorf("%s links to %s, which is not there", p.path, m[1])
				continue
			}
			if m[2] != "" && !slices.Contains(anchors(string(data)), m[2]) {
				t.Errorf("%s links to %s#%s, but no heading there is called so", p.path, m[1], m[2])
			}
		}
	}
	if followed < 20 {
		t.Errorf("only %d links were found: they are not read right", followed)
	}
}

// anchors are the headings of a page as links name them: lower case, hyphens
// for spaces, and nothing but words.
func anchors(text string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		out = append(out, strings.ReplaceAll(noWord.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return out
}
