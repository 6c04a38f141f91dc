package screen

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestFold(t *testing.T) {
	digest := strings.Repeat("5b8e", 16)
	const lead, indent = "warn  disk        ", 18
	for _, c := range []struct{ lead, text, want string }{
		{lead, "/srv 1.1 GB free", "warn  disk        /srv 1.1 GB free\n"},
		{lead, strings.Repeat("x", 61), lead + strings.Repeat("x", 61) + "\n"},
		{lead, "", "warn  disk\n"},
		{lead, "/srv 1.1 GB free; the last release needed 0.9 GB and then some more",
			lead + "/srv 1.1 GB free; the last release needed 0.9 GB and then\n                  some more\n"},
		{lead, "one\ntwo", lead + "one\n                  two\n"},
		{lead, "s3://acme/chef/" + digest + ".tar.zst can be read",
			"warn  disk\ns3://acme/chef/" + digest + ".tar.zst\n                  can be read\n"},
		// One that fits behind the indent only, and one that comes later.
		{"FAIL  an-app-with-a-name-of-its-own  ", strings.Repeat("é", 60), "FAIL  an-app-with-a-name-of-its-own\n                  " + strings.Repeat("é", 60) + "\n"},
		{lead, "read " + digest + " now", lead + "read\n" + digest + "\n                  now\n"},
	} {
		if got := Fold(80, c.lead, indent, c.text); got != c.want {
			t.Errorf("got\n%swant\n%s", got, c.want)
		}
	}
}

// TestFoldWords: no word is lost, cut or moved, and only one that is too long
// by itself makes a line too long.
func TestFoldWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.StringMatching(`[a-zé/]{1,100}`)).Draw(t, "words")
		lead := rapid.StringMatching(`[a-z]{1,40}`).Draw(t, "lead")
		got := Fold(80, lead+"  ", 18, strings.Join(words, rapid.SampledFrom([]string{" ", "\n"}).Draw(t, "between")))
		if all := strings.Join(append([]string{lead}, words...), " "); strings.Join(strings.Fields(got), " ") != all {
			t.Fatalf("%q became\n%s", all, got)
		}
		for line := range strings.SplitSeq(got, "\n") {
			if n := utf8.RuneCountInString(line); n >= 80 && strings.ContainsAny(line, " ") {
				t.Fatalf("%d columns: %s", n, line)
			}
			if strings.HasSuffix(line, " ") {
				t.Fatalf("blanks at the end of %q", line)
			}
		}
	})
}
