package release

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

var patternTable = []struct {
	rules string // separated by blanks of two
	path  string // a directory where it ends with a slash
	want  bool
}{
	// A name matches at every depth, and all of the name.
	{"x", "x", true},
	{"x", "a/b/x", true},
	{"x", "x/", true},
	{"x", "ax", false},
	{"x", "xa", false},
	{"x", "X", false},
	// A leading slash anchors, a trailing one asks for a directory.
	{"/x", "x", true},
	{"/x", "a/x", false},
	{"/a/x", "a/x", true},
	{"/a/x", "b/a/x", false},
	{"x/", "x/", true},
	{"x/", "x", false},
	{"/x/", "a/x/", false},
	// A slash inside matches the path's end, at a slash.
	{"a/x", "a/x", true},
	{"a/x", "b/a/x", true},
	{"a/x", "ba/x", false},
	{"a/x", "a/x/b", false},
	{"a/*", "b/a/x", true},
	{"a/*", "a/b/x", false},
	{"*/x", "a/x", true},
	{"*/x", "x", false},
	// Wildcards.
	{"*.log", "a/x.log", true},
	{"*.log", ".log", true},
	{"/*.log", "a/x.log", false},
	{"/*", "a/x", false},
	{"a?c", "abc", true},
	{"a?c", "ac", false},
	{"/a?c", "a/c", false},
	{"/a*c", "a/c", false},
	{"a*b*c", "axbxbc", true},
	{"a*b*c", "acb", false},
	// Two stars cross slashes.
	{"/a**c", "a/b/c", true},
	{"a**c", "b/a/b/c", true},
	{"**/x", "x", true},
	{"**/x", "a/b/x", true},
	{"**x", "a/bx", true},
	{"/**/x", "a/b/x", true},
	{"/**/x", "x", false},
	{"a/**", "a/b/c", true},
	{"a/**", "a/", false},
	{"a/**/c", "a/b/b/c", true},
	{"a/**/c", "a/c", false},
	// Three at the end take the directory too.
	{"a/***", "a/", true},
	{"a/***", "a/b/c", true},
	{"a/***", "b/a/", true},
	{"/a/***", "b/a/", false},
	{"a/***", "a", false},
	// Classes.
	{"[a-c]x", "bx", true},
	{"[a-c]x", "dx", false},
	{"[!a-c]x", "dx", true},
	{"[^a-c]x", "bx", false},
	{"[]]x", "]x", true},
	{"[a-]x", "-x", true},
	{"[[:alpha:]]x", "bx", true},
	{"[[:digit:]-]x", "-x", true},
	{"[[:digit:]_]x", "bx", false},
	{"/a[!b]c", "a/c", false},
	{"[a", "[a", false},
	// A backslash escapes where there are wildcards, else it is one.
	{`a\*`, "a*", true},
	{`a\*`, "ab", false},
	{`a\b`, `a\b`, true},
	{`a\b*`, "abc", true},
	{`a\b*`, `a\bc`, false},
	{`[\]]x`, "]x", true},
	// The first match decides; prefixes; the list cleared.
	{"+ keep  *", "keep", false},
	{"+ keep  *", "other", true},
	{"*  + keep", "keep", true},
	{"- x", "x", true},
	{"-x", "-x", true},
	{"+x", "+x", true},
	{"x  !", "x", false},
	{"x  !  y", "y", true},
	{"+ */  *.o", "d.o/", false},
	// Without memory this takes longer than the test may.
	{strings.Repeat("*a", 40) + "b", strings.Repeat("a", 200), false},
}

func TestPatterns(t *testing.T) {
	for _, c := range patternTable {
		name := fmt.Sprintf("%q %s", c.rules, c.path)
		r, err := parseRules(strings.Split(c.rules, "  "), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		path, isDir := strings.CutSuffix(c.path, "/")
		if got := r.excluded(path, isDir); got != c.want {
			t.Errorf("%s: excluded %t, want %t", name, got, c.want)
		}
	}
}

func TestParseRulesFile(t *testing.T) {
	file := "# a comment\n\n; another\r\n+ keep\n*.log\r\n#odd\n - x\n"
	r, err := parseRules([]string{"#not", "last"}, strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"keep": false, "a.log": true, "#odd": false, "#not": true, "last": true, "a": false,
		"x": false, " - x": true, // a line is taken with its blanks
	} {
		if got := r.excluded(path, false); got != want {
			t.Errorf("%q: excluded %t, want %t", path, got, want)
		}
	}
	r, err = parseRules([]string{"y"}, strings.NewReader("x\n!\nz"))
	if err != nil {
		t.Fatal(err)
	}
	if r.excluded("x", false) || !r.excluded("z", false) || !r.excluded("y", false) {
		t.Errorf("! in the file: %+v", r)
	}
	if _, err := parseRules(nil, iotest.ErrReader(fs.ErrPermission)); err == nil {
		t.Error("a file that cannot be read gives no error")
	}
}

// needRsync skips, and says so, where there is no rsync to compare with.
func needRsync(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("rsync")
	if err != nil {
		t.Skip("RSYNC IS NOT INSTALLED: nothing says that patterns and mirror do what rsync does")
	}
	return path
}

// TestPatternsAsRsync asks rsync itself: first what the table says, then
// random patterns against a tree that has all of the names.
func TestPatternsAsRsync(t *testing.T) {
	rsync := needRsync(t)
	for _, c := range patternTable {
		src := t.TempDir()
		path, isDir := strings.CutSuffix(c.path, "/")
		full := filepath.Join(src, path)
		if isDir {
			mustDo(t, os.MkdirAll(full, 0o755))
		} else {
			mustDo(t, os.MkdirAll(filepath.Dir(full), 0o755))
			mustDo(t, os.WriteFile(full, nil, 0o644))
		}
		compareWithRsync(t, rsync, src, strings.Split(c.rules, "  "))
	}

	src := t.TempDir()
	names := []string{"a", "b", "ab", "a-b", "[a", `a\b`, "a*"}
	for _, one := range names {
		for _, two := range names {
			dir := filepath.Join(src, one, two)
			mustDo(t, os.MkdirAll(dir, 0o755))
			for _, three := range names {
				mustDo(t, os.WriteFile(filepath.Join(dir, three), nil, 0o644))
			}
		}
		mustDo(t, os.WriteFile(filepath.Join(src, one+"f"), nil, 0o644))
	}
	seed := testSeed(t)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 100 {
		rules := make([]string, 1+rnd.IntN(3))
		for i := range rules {
			rules[i] = randomPattern(rnd)
		}
		compareWithRsync(t, rsync, src, rules)
		if t.Failed() {
			t.FailNow()
		}
	}
}

func randomPattern(rnd *rand.Rand) string {
	pieces := []string{"a", "b", "f", "*", "**", "***", "?", "/", "/", "[ab]", "[!a]", "[a-c", "[[:alpha:]]", `\`, `\*`, "-"}
	var b strings.Builder
	if rnd.IntN(5) == 0 {
		b.WriteString("+ ")
	}
	if rnd.IntN(3) == 0 {
		b.WriteString("/")
	}
	for range 1 + rnd.IntN(5) {
		b.WriteString(pieces[rnd.IntN(len(pieces))])
	}
	return b.String()
}

// compareWithRsync lists what of src passes the rules, by rsync and by us.
func compareWithRsync(t *testing.T, rsync, src string, patterns []string) {
	t.Helper()
	args := []string{"-anr", "--out-format=%n"}
	for _, p := range patterns {
		args = append(args, "--exclude="+p)
	}
	out, err := exec.Command(rsync, append(args, "-8", src+"/", filepath.Join(src, "none")+"/")...).CombinedOutput()
	if err != nil {
		t.Fatalf("rsync %q: %v\n%s", patterns, err, out)
	}
	var theirs, ours []string
	for line := range strings.Lines(string(out)) {
		// rsync writes a backslash before # and digits as \#134.
		line = strings.ReplaceAll(strings.TrimSuffix(line, "\n"), `\#134`, `\`)
		if line != "./" && line != "created directory "+filepath.Join(src, "none") {
			theirs = append(theirs, strings.TrimSuffix(line, "/"))
		}
	}
	r, err := parseRules(patterns, nil)
	mustDo(t, err)
	err = filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == src {
			return err
		}
		rel, _ := filepath.Rel(src, path)
		if r.excluded(rel, d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		ours = append(ours, rel)
		return nil
	})
	mustDo(t, err)
	slices.Sort(theirs)
	slices.Sort(ours)
	if slices.Equal(ours, theirs) {
		return
	}
	for _, p := range ours {
		if _, both := slices.BinarySearch(theirs, p); !both {
			t.Errorf("%q: rsync excludes %s, we do not", patterns, p)
		}
	}
	for _, p := range theirs {
		if _, both := slices.BinarySearch(ours, p); !both {
			t.Errorf("%q: we exclude %s, rsync does not", patterns, p)
		}
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// testSeed is GURNEY_TEST_SEED, or one of its own; it is printed.
func testSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("GURNEY_TEST_SEED"); s != "" {
		_, err := fmt.Sscan(s, &seed)
		mustDo(t, err)
	}
	t.Logf("GURNEY_TEST_SEED=%d", seed)
	return seed
}
