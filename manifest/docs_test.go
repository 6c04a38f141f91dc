package manifest

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every key that is read stands in docs/manifest.md, known from the problem
// that a wrong section tells.
func TestDocsNameEveryKey(t *testing.T) {
	text, err := os.ReadFile("../docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	for section, doc := range map[string]string{"": "[]", "chef.": "chef: []"} {
		_, _, err := Parse("m.yml", []byte(doc), ParseOptions{})
		if err == nil {
			t.Fatalf("%s parsed", doc)
		}
		keys := regexp.MustCompile(`known keys: ([^)]*)\)`).FindStringSubmatch(err.Error())
		if keys == nil {
			t.Fatalf("no keys in %v", err)
		}
		for _, key := range strings.Split(keys[1], ", ") {
			if key = section + key; !strings.Contains(string(text), "| `"+key+"` |") && key != "chef" && key != "commands" {
				t.Errorf("docs/manifest.md has no row for %s", key)
			}
		}
	}
}
