package release

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMirrorAsRsync mirrors random trees with random excludes, on one copy
// here, on another by rsync, and wants the same of both: paths, types, modes,
// owners, mtimes in seconds, targets of links, content.
func TestMirrorAsRsync(t *testing.T) {
	rsync := needRsync(t)
	seed := testSeed(t)
	refused := 0
	cases := 300
	if testing.Short() {
		cases = 50
	}
	for i := range cases {
		rnd := rand.New(rand.NewPCG(seed, uint64(i)))
		base, err := os.MkdirTemp("", "mirror-test-")
		mustDo(t, err)
		t.Cleanup(func() { clearTree(t, base) })
		stage, ours, theirs := filepath.Join(base, "stage"), filepath.Join(base, "ours"), filepath.Join(base, "theirs")
		growTree(t, rnd, stage)
		if rnd.IntN(10) > 0 {
			growTree(t, rnd, ours)
			copyTree(t, ours, theirs)
		}
		patterns := randomExcludes(rnd)
		before := snapshot(t, ours)

		args := []string{"-a", "--delete"}
		for _, p := range patterns {
			args = append(args, "--exclude="+p)
		}
		out, rsyncErr := exec.Command(rsync, append(args, stage+"/", theirs+"/")...).CombinedOutput()
		r, err := parseRules(patterns, nil)
		mustDo(t, err)
		want := snapshot(t, stage)
		_, err = mirror(t.Context(), stage, ours, r, SyncOptions{}, anywhere)

		switch {
		case errors.Is(err, errInTheWay):
			// rsync leaves half of it too, or deletes what is excluded.
			refused++
			if !inTheWay(r, want, before) {
				t.Errorf("case %d %q: %v, but nothing is", i, patterns, err)
			}
			wantProtected(t, r, before, snapshot(t, ours))
		case err != nil:
			t.Errorf("case %d %q: %v", i, patterns, err)
		case rsyncErr != nil:
			t.Errorf("case %d %q: rsync: %v where we had no error\n%s", i, patterns, rsyncErr, out)
		default:
			diff(t, snapshot(t, ours), snapshot(t, theirs))
		}
		if t.Failed() {
			t.Fatalf("case %d, excludes %q", i, patterns)
		}
		clearTree(t, base)
	}
	t.Logf("%d cases, %d refused", cases, refused)
	if refused > cases/3 {
		t.Error("too many cases are refused to say much")
	}
}

// TestLeaveOutAsRsync leaves out of random trees what random patterns name, and wants
// what rsync brings of them to an empty place.
func TestLeaveOutAsRsync(t *testing.T) {
	rsync := needRsync(t)
	seed := testSeed(t)
	for i := range 100 {
		rnd := rand.New(rand.NewPCG(seed, uint64(i)))
		base, err := os.MkdirTemp("", "leave-test-")
		mustDo(t, err)
		t.Cleanup(func() { clearTree(t, base) })
		stage, theirs := filepath.Join(base, "stage"), filepath.Join(base, "theirs")
		growTree(t, rnd, stage)
		args, o := []string{"-a"}, SyncOptions{Excludes: randomExcludes(rnd)}
		if list := filepath.Join(stage, "a-list"); rnd.IntN(2) == 0 {
			mustDo(t, os.WriteFile(list, []byte(strings.Join(randomExcludes(rnd), "\n")+"\n"), 0o644))
			args, o.ExcludeFrom = append(args, "--exclude-from="+list), "a-list"
		}
		for _, p := range o.Excludes {
			args = append(args, "--exclude="+p)
		}
		if out, err := exec.Command(rsync, append(args, stage+"/", theirs+"/")...).CombinedOutput(); err != nil {
			t.Fatalf("case %d: %v\n%s", i, err, out)
		}
		r := &Release{dir: stage}
		if _, err := r.LeaveOut(t.Context(), o); err != nil {
			t.Errorf("case %d: %v", i, err)
		}
		diff(t, snapshot(t, stage), snapshot(t, theirs))
		if t.Failed() {
			t.Fatalf("case %d: %q", i, args)
		}
		clearTree(t, base)
	}
}

// inTheWay says whether a directory of dest stands where the stage has none,
// or the other way round, and something there is excluded.
func inTheWay(r rules, stage, dest map[string]string) bool {
	for path, old := range dest {
		is, both := stage[path]
		if !both || (is[0] == 'd') == (old[0] == 'd') {
			continue
		}
		for below, entry := range dest {
			if (below == path || strings.HasPrefix(below, path+"/")) && r.excluded(below, entry[0] == 'd') {
				return true
			}
		}
	}
	return false
}

// wantProtected wants all that was excluded still there, as it was.
func wantProtected(t *testing.T, r rules, before, after map[string]string) {
	t.Helper()
	for path, entry := range before {
		if r.excluded(path, entry[0] == 'd') && entry[0] != 'd' && after[path] != entry {
			t.Errorf("%s is excluded and was %s; now %s", path, entry, after[path])
		}
	}
}

func randomExcludes(rnd *rand.Rand) []string {
	likely := []string{"a", "b/", "/a", "/c", "*b", "/a/b", "a/b/", "f*", "/b/***", "b/**", "[ab]f", "**/c", "c/*", "+ ab", "+ a/", "+ /b", "*", "/*/a"}
	list := make([]string, rnd.IntN(4))
	for i := range list {
		if list[i] = likely[rnd.IntN(len(likely))]; rnd.IntN(4) == 0 {
			list[i] = randomPattern(rnd)
		}
	}
	return list
}

// growTree makes a tree of few names, sizes and times, so that two of them
// have much in common.
func growTree(t *testing.T, rnd *rand.Rand, root string) {
	t.Helper()
	names := []string{"a", "b", "c", "f", "ab", "af"}
	var grow func(dir string, depth int)
	grow = func(dir string, depth int) {
		mustDo(t, os.Mkdir(dir, 0o755))
		for _, name := range names {
			full := filepath.Join(dir, name)
			switch rnd.IntN(8) {
			case 0, 1:
				if depth < 3 {
					grow(full, depth+1)
				}
			case 2, 3, 4:
				mustDo(t, os.WriteFile(full, []byte(strings.Repeat(string(rune('p'+rnd.IntN(3))), rnd.IntN(3))), 0o644))
				dress(t, rnd, full, []fs.FileMode{0o644, 0o600, 0o755, 0o444, 0o4755})
			case 5:
				mustDo(t, os.Symlink([]string{"a", "/etc", "nowhere"}[rnd.IntN(3)], full))
				dress(t, rnd, full, nil)
			}
		}
		modes := []fs.FileMode{0o755, 0o700, 0o2775, 0o1777}
		if os.Geteuid() == 0 {
			// Without root, rsync leaves a directory writable that it could not delete.
			modes = append(modes, 0o555)
		}
		dress(t, rnd, dir, modes)
	}
	grow(root, 0)
}

// dress gives an entry an owner, a mode and a time.
func dress(t *testing.T, rnd *rand.Rand, path string, modes []fs.FileMode) {
	t.Helper()
	owner := []int{0, 1, 2}[rnd.IntN(3)]
	if os.Geteuid() == 0 {
		mustDo(t, os.Lchown(path, owner, owner))
	}
	if modes != nil {
		mustDo(t, unix.Chmod(path, uint32(modes[rnd.IntN(len(modes))])))
	}
	when := unix.Timespec{Sec: 1_000_000_000 + rnd.Int64N(2), Nsec: rnd.Int64N(1e9)}
	mustDo(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW))
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
}

// clearTree removes a tree with directories that are not writable.
func clearTree(t *testing.T, root string) {
	t.Helper()
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	if err := os.RemoveAll(root); err != nil {
		t.Error(err)
	}
}

// snapshot says of each entry what a mirror must have right; the root is ".".
func snapshot(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		what, when := "", fmt.Sprint(st.Mtim.Sec)
		if st.Mtim.Sec > 1_000_000_001 {
			when = "now" // touched by the mirroring itself
		}
		kind := "other"
		switch {
		case d.IsDir():
			kind = "dir"
		case d.Type() == fs.ModeSymlink:
			kind = "link"
			what, err = os.Readlink(path)
		case d.Type().IsRegular():
			var b []byte
			b, err = os.ReadFile(path)
			kind, what = "file", string(b)
		}
		all[rel] = fmt.Sprintf("%s %o %d:%d %s %q", kind, st.Mode&0o7777, st.Uid, st.Gid, when, what)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

func diff(t *testing.T, ours, theirs map[string]string) {
	t.Helper()
	all := maps.Clone(ours)
	maps.Copy(all, theirs)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if ours[path] != theirs[path] {
			t.Errorf("%s:\n  ours:   %s\n  theirs: %s", path, ours[path], theirs[path])
		}
	}
}
