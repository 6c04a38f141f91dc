package release

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// plant makes a tree of lines: "dir/", "file=content", "link->target".
func plant(t *testing.T, root string, lines ...string) string {
	t.Helper()
	mustDo(t, os.MkdirAll(root, 0o755))
	for _, line := range lines {
		if path, target, ok := strings.Cut(line, "->"); ok {
			mustDo(t, os.Symlink(target, filepath.Join(root, path)))
		} else if path, content, ok := strings.Cut(line, "="); ok {
			mustDo(t, os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755))
			mustDo(t, os.WriteFile(filepath.Join(root, path), []byte(content), 0o644))
		} else {
			mustDo(t, os.MkdirAll(filepath.Join(root, path), 0o755))
		}
	}
	return root
}

func wantFile(t *testing.T, path, content string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		t.Errorf("%s: %q, %v; want %q", path, got, err, content)
	}
}

func TestMirrorFollowsNoSymlinkOfDest(t *testing.T) {
	base := t.TempDir()
	outside := plant(t, filepath.Join(base, "outside"), "f=theirs", "g=theirs")
	before := snapshot(t, outside)
	stage := plant(t, filepath.Join(base, "stage"), "d/f=ours", "f=ours")
	dest := plant(t, filepath.Join(base, "dest"), "d->"+outside, "f->"+outside+"/f", "gone->"+outside)
	_, err := mirror(t.Context(), stage, dest, rules{}, SyncOptions{}, anywhere)
	mustDo(t, err)
	diff(t, snapshot(t, outside), before)
	wantFile(t, filepath.Join(dest, "d/f"), "ours")
	wantFile(t, filepath.Join(dest, "f"), "ours")

	// An entry that becomes a symlink between two looks is not followed either.
	mustDo(t, os.Symlink(outside+"/g", filepath.Join(dest, "late")))
	d, err := os.Open(dest)
	mustDo(t, err)
	defer func() { _ = d.Close() }()
	if err := chmodAt(int(d.Fd()), "late", 0o777); err == nil {
		t.Error("the mode of a symlink can be set")
	}
	mustDo(t, os.Symlink(outside, filepath.Join(dest, "late-dir")))
	if _, err := openDir(int(d.Fd()), "late-dir", "late-dir"); err == nil {
		t.Error("a symlink opens as a directory")
	}
	diff(t, snapshot(t, outside), before)
}

func TestMirrorToASymlink(t *testing.T) {
	base := t.TempDir()
	target := plant(t, filepath.Join(base, "target"), "old=x")
	dest := filepath.Join(base, "dest")
	mustDo(t, os.Symlink("target", dest))
	stage := plant(t, filepath.Join(base, "stage"), "new=y")
	_, err := mirror(t.Context(), stage, dest, rules{}, SyncOptions{}, anywhere)
	mustDo(t, err)
	wantFile(t, filepath.Join(target, "new"), "y")
	if _, err := os.Lstat(filepath.Join(target, "old")); err == nil {
		t.Error("old is still there")
	}
	if to, err := os.Readlink(dest); err != nil || to != "target" {
		t.Errorf("dest links to %q, %v", to, err)
	}
}

func TestMirrorCountsAndTells(t *testing.T) {
	base := t.TempDir()
	stage := plant(t, filepath.Join(base, "stage"), "same=1", "new=2", "sub/changed=33", "l->x", "sub/.gurney=5")
	dest := plant(t, filepath.Join(base, "dest"), "sub/changed=3", "old=1", "olddir/f=2", "olddir/keep=3", "empty/", "l->x", ".gurney/stale=7")
	copyTree(t, filepath.Join(stage, "same"), filepath.Join(dest, "same"))
	r, err := parseRules([]string{"keep"}, nil)
	mustDo(t, err)
	var out bytes.Buffer
	stats, err := mirror(t.Context(), stage, dest, r, SyncOptions{Verbose: &out}, anywhere)
	mustDo(t, err)
	if want := (SyncStats{Updated: 3, Unchanged: 2, Deleted: 3}); stats != want {
		t.Errorf("%+v, want %+v", stats, want)
	}
	want := "deleting .gurney/stale\ndeleting .gurney/\ndeleting empty/\ndeleting old\ndeleting olddir/f\nnew\nsub/.gurney\nsub/changed\n"
	if out.String() != want {
		t.Errorf("told\n%s\nwant\n%s", &out, want)
	}
	wantFile(t, filepath.Join(dest, "olddir/keep"), "3")
}

// The stages inside dest are none of the release's, and nothing of a release may
// take their place.
func TestMirrorFromInside(t *testing.T) {
	dest := plant(t, filepath.Join(t.TempDir(), "dest"), "old=1", ".gurney/other=7")
	stage := plant(t, filepath.Join(dest, hidden, ".r1.unverified"), "new=2")
	_, err := mirror(t.Context(), stage, dest, rules{}, SyncOptions{}, anywhere)
	mustDo(t, err)
	wantFile(t, filepath.Join(dest, "new"), "2")
	wantFile(t, filepath.Join(dest, ".gurney/other"), "7")
	if _, err := os.Lstat(filepath.Join(dest, "old")); err == nil {
		t.Error("old is still there")
	}
	stage = plant(t, filepath.Join(dest, hidden, ".r2.unverified"), "new=2", ".gurney/f=3")
	if _, err := mirror(t.Context(), stage, dest, rules{}, SyncOptions{}, anywhere); err == nil || !strings.Contains(err.Error(), "the release has an entry .gurney") {
		t.Errorf("a release with .gurney: %v", err)
	}
	wantFile(t, filepath.Join(dest, ".gurney/other"), "7")
}

func TestMirrorRefusesToDeleteTheExcluded(t *testing.T) {
	base := t.TempDir()
	stage := plant(t, filepath.Join(base, "stage"), "uploads=a file")
	dest := plant(t, filepath.Join(base, "dest"), "uploads/precious=1")
	r, err := parseRules([]string{"uploads/"}, nil)
	mustDo(t, err)
	_, err = mirror(t.Context(), stage, dest, r, SyncOptions{}, anywhere)
	if !errors.Is(err, errInTheWay) || !strings.Contains(err.Error(), dest) || !strings.Contains(err.Error(), "mirror uploads: ") {
		t.Errorf("%v", err)
	}
	wantFile(t, filepath.Join(dest, "uploads/precious"), "1")
}

func TestMirrorStops(t *testing.T) {
	base := t.TempDir()
	stage := plant(t, filepath.Join(base, "stage"), "f=1")
	dest := plant(t, filepath.Join(base, "dest"), "old=1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := mirror(ctx, stage, dest, rules{}, SyncOptions{}, anywhere); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	wantFile(t, filepath.Join(dest, "old"), "1")
}

// TestMirrorOfTheUnwritable has directories that their owner cannot work in.
// Root, who can anywhere, gives that up for it.
func TestMirrorOfTheUnwritable(t *testing.T) {
	base := t.TempDir()
	plant(t, filepath.Join(base, "stage"), "kept/f=22", "was-dir=1", "was-file/f=1")
	plant(t, filepath.Join(base, "dest"), "kept/f=1", "kept/old=1", "was-dir/sub/f=1", "was-file=1", "olddir/f=1", "half/keep=1", "half/f=1")
	asOwner(t, base, func() error {
		for _, c := range []struct {
			path string
			mode uint32
		}{
			{"stage/kept", 0o500}, {"stage", 0o555}, {"dest/kept", 0}, {"dest/was-dir/sub", 0o300},
			{"dest/was-dir", 0o500}, {"dest/olddir", 0}, {"dest/half", 0o500}, {"dest", 0o555},
		} {
			if err := unix.Chmod(filepath.Join(base, c.path), c.mode); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(base, "dest/new"), nil, 0o600); err == nil {
			return errors.New("dest is writable: this test shows nothing")
		}
		r, err := parseRules([]string{"keep"}, nil)
		if err == nil {
			_, err = mirror(t.Context(), filepath.Join(base, "stage"), filepath.Join(base, "dest"), r, SyncOptions{}, anywhere)
		}
		return err
	})
	for path, mode := range map[string]uint32{"dest": 0o555, "dest/kept": 0o500, "dest/was-file": 0o755, "dest/half": 0o500} {
		var st unix.Stat_t
		mustDo(t, unix.Lstat(filepath.Join(base, path), &st))
		if st.Mode&0o7777 != mode {
			t.Errorf("%s has mode %o, want %o", path, st.Mode&0o7777, mode)
		}
	}
	for _, path := range []string{"stage", "stage/kept", "dest", "dest/kept", "dest/half"} {
		mustDo(t, os.Chmod(filepath.Join(base, path), 0o700)) // for the clean-up
	}
	wantFile(t, filepath.Join(base, "dest/kept/f"), "22")
	wantFile(t, filepath.Join(base, "dest/was-dir"), "1")
	wantFile(t, filepath.Join(base, "dest/half/keep"), "1")
	for _, path := range []string{"dest/kept/old", "dest/olddir", "dest/half/f"} {
		if _, err := os.Lstat(filepath.Join(base, path)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}

// asOwner does what an owner without privileges would. Root gives base to
// nobody, and is nobody to the file system on a thread of its own.
func asOwner(t *testing.T, base string, do func() error) {
	t.Helper()
	if os.Geteuid() != 0 {
		mustDo(t, do())
		return
	}
	const nobody = 65534
	mustDo(t, filepath.WalkDir(base, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, nobody, nobody))
	}))
	mustDo(t, os.Chmod(filepath.Dir(base), 0o755)) // this test's own: see T.TempDir
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		err := errors.Join(unix.Setfsgid(nobody), unix.Setfsuid(nobody))
		if err == nil {
			err = do()
		}
		done <- err
	}()
	mustDo(t, <-done)
}

// TestMirrorAcrossFileSystems is for what is mounted inside a dest.
func TestMirrorAcrossFileSystems(t *testing.T) {
	base, err := os.MkdirTemp("/dev/shm", "mirror-test-")
	if err != nil {
		t.Skipf("no second file system to test with: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	long := strings.Repeat("n", 255)
	stage := plant(t, filepath.Join(base, "stage"), "a=new", "d/"+long+"=long", "big="+strings.Repeat("x", 9<<20), "l->a")
	mustDo(t, unix.Chmod(filepath.Join(stage, "a"), 0o4750))
	mustDo(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(stage, "l"), make([]unix.Timespec, 2), unix.AT_SYMLINK_NOFOLLOW))
	dest := plant(t, filepath.Join(t.TempDir(), "dest"), "a=older", "old=1")
	var one, two unix.Stat_t
	mustDo(t, errors.Join(unix.Stat(stage, &one), unix.Stat(dest, &two)))
	if one.Dev == two.Dev {
		t.Skip("the temporary directory is on /dev/shm too: no second file system to test with")
	}
	want := snapshot(t, stage)
	_, err = mirror(t.Context(), stage, dest, rules{}, SyncOptions{}, anywhere)
	mustDo(t, err)
	diff(t, snapshot(t, dest), want)
	wantFile(t, filepath.Join(dest, "a"), "new")

	mustDo(t, unix.Mkfifo(filepath.Join(stage, "pipe"), 0o600))
	if _, err := mirror(t.Context(), stage, dest, rules{}, SyncOptions{}, anywhere); err == nil || !strings.Contains(err.Error(), "mirror pipe: neither") {
		t.Errorf("a pipe: %v", err)
	}
}
