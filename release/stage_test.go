package release

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// bring unpacks n files that say version into a stage for id, and has it
// proven.
func bring(t *testing.T, dest, id, version string, n int) *Release {
	t.Helper()
	r, err := Open(Options{Dest: dest, Strategy: Symlink, ID: id})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(r.Dir(), fmt.Sprintf("f%d", i)), []byte(version), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Proven(); err != nil {
		t.Fatal(err)
	}
	return r
}

func activate(t *testing.T, r *Release) Activation {
	t.Helper()
	a, err := r.Activate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A retry brings the release that is live anew: nobody who reads dest meanwhile
// finds nothing there, and what was before it stays what was before it.
func TestTheLiveReleaseIsReplacedInOneStep(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "app")
	activate(t, bring(t, dest, "r1", "one", 1))
	activate(t, bring(t, dest, "r2", "two", 500))

	stop, missed := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(missed)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := os.Stat(filepath.Join(dest, "f0")); err != nil {
				missed <- err
				return
			}
		}
	}()
	again := bring(t, dest, "r2", "two, again", 500)
	close(stop)
	for err := range missed {
		t.Errorf("in the middle of it: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(dest, "f0")); string(got) != "two, again" {
		t.Errorf("live is %q, %v", got, err)
	}
	if a := activate(t, again); !a.Already || a.Previous != "r1" {
		t.Errorf("%+v, want r1 before it", a)
	}
	for i := range 3 {
		bring(t, dest, fmt.Sprintf("bad%d", i), "bad", 1)
	}
	gone, err := Prune(dest, 2)
	if err != nil || fmt.Sprint(gone) != "[bad0 bad1 bad2]" {
		t.Errorf("%v were removed, %v", gone, err)
	}
	if left, err := filepath.Glob(dest + ".releases/[^.]*"); err != nil || len(left) != 2 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// A directory that stands at dest is exchanged for the link, once, and kept:
// Prune never takes it, and Restore brings it back as what was before.
func TestADirectoryAtDestIsKept(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "app")
	if err := os.MkdirAll(dest, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dest, "f0"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	live := func() string {
		data, _ := os.ReadFile(filepath.Join(dest, "f0"))
		return string(data)
	}
	first := activate(t, bring(t, dest, "r1", "one", 1))
	if want := dest + ".releases/before-r1"; first.Kept != want || first.Previous != want || live() != "one" {
		t.Errorf("%+v, and %q is live", first, live())
	}
	if err := Restore(t.Context(), dest, first.Previous); err != nil || live() != "old" {
		t.Errorf("%q is live, %v", live(), err)
	}
	for _, id := range []string{"r2", "r3", "r4"} {
		activate(t, bring(t, dest, id, id, 1))
	}
	gone, err := Prune(dest, 2)
	if err != nil || fmt.Sprint(gone) != "[r1 r2]" || live() != "r4" {
		t.Errorf("%v were removed, %v; %q is live", gone, err, live())
	}
	if data, err := os.ReadFile(filepath.Join(first.Kept, "f0")); string(data) != "old" {
		t.Errorf("what stood there holds %q, %v", data, err)
	}
}

// A mirror that goes through dest's symlink writes into the release that is live:
// that one is no more what was proven, until it is brought anew.
func TestAReleaseThatWasMirroredInto(t *testing.T) {
	dir := t.TempDir()
	dest := filepath.Join(dir, "app")
	activate(t, bring(t, dest, "r1", "one", 1))
	activate(t, bring(t, dest, "r2", "two", 1))
	r, err := Open(Options{Dest: dest, Allowed: []string{dir}, Strategy: Rsync, ID: "r3"})
	mustDo(t, err)
	mustDo(t, os.WriteFile(filepath.Join(r.Dir(), "f0"), []byte("three"), 0o600))
	_, err = r.Proven()
	mustDo(t, err)
	_, err = r.Sync(t.Context(), SyncOptions{})
	mustDo(t, err)
	mustDo(t, r.Discard())
	for id, want := range map[string]bool{"r1": true, "r2": false} {
		if _, ok := Existing(dest, id); ok != want {
			t.Errorf("%s is here as it was: %v", id, ok)
		}
	}
	activate(t, bring(t, dest, "r2", "two", 1))
	if _, ok := Existing(dest, "r2"); !ok {
		t.Error("brought anew it is not here")
	}
	wantFile(t, filepath.Join(dest, "f0"), "two")
}

// What mv brought is known again by the id it has; anything else in its place is
// somebody's.
func TestMoved(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Lsetxattr(dir, movedAttribute, []byte("x"), 0); err != nil {
		t.Logf("this file system keeps no attributes, so nothing is known again: %v", err)
		return
	}
	dest := filepath.Join(dir, "app")
	open := func(id string) (*Release, error) {
		return Open(Options{Dest: dest, Allowed: []string{dir}, Strategy: Mv, ID: id})
	}
	r, err := open("r1")
	mustDo(t, err)
	if r.Moved() {
		t.Error("moved before it was")
	}
	_, err = r.Proven()
	mustDo(t, err)
	_, err = r.Sync(t.Context(), SyncOptions{})
	mustDo(t, err)
	if r, err = open("r1"); err != nil || !r.Moved() {
		t.Errorf("%+v, %v", r, err)
	}
	for _, id := range []string{"r10", "r", "r2"} {
		if _, err := open(id); err == nil || !strings.Contains(err.Error(), "mv replaces nothing") {
			t.Errorf("%s: %v", id, err)
		}
	}
	mustDo(t, os.RemoveAll(dest))
	mustDo(t, os.Mkdir(dest, 0o755))
	if _, err := open("r1"); err == nil {
		t.Error("another directory is taken for it")
	}
}

// What stands at dest and is no directory is somebody's: it is told before a
// byte is fetched.
func TestAFileAtDest(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(dest, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Strategy{Symlink, Rsync, Mv} {
		if _, err := Open(Options{Dest: dest, Allowed: []string{filepath.Dir(dest)}, Strategy: s, ID: "r1"}); err == nil || !strings.Contains(err.Error(), dest) {
			t.Errorf("%s: %v", s, err)
		}
	}
	if data, err := os.ReadFile(dest); string(data) != "precious" {
		t.Errorf("%q, %v", data, err)
	}
}

// dests are no good where releases are made behind a symlink.
func TestReleasesBehindASymlink(t *testing.T) {
	for _, s := range []Strategy{Symlink, Rsync} {
		dir, out := t.TempDir(), t.TempDir()
		for _, link := range []string{"app.releases", ".app.gurney"} {
			if err := os.Symlink(out, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		precious := filepath.Join(out, ".old"+unverified)
		if err := os.Mkdir(precious, 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := Open(Options{Dest: filepath.Join(dir, "app"), Allowed: []string{dir}, Strategy: s, ID: "r1"})
		var refused *RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "is a symlink") {
			t.Errorf("%s: %v", s, err)
		}
		if _, err := os.Stat(precious); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// Going back goes to what was live, also where a mirror has written into it since.
func TestRestoreOfWhatWasMirroredInto(t *testing.T) {
	dir := t.TempDir()
	dest := filepath.Join(dir, "app")
	activate(t, bring(t, dest, "r1", "one", 1))
	mustDo(t, markChanged(filepath.Join(dest+".releases", "r1", "sub")))
	if _, ok := Existing(dest, "r1"); ok {
		t.Error("it is here as it was")
	}
	third := activate(t, bring(t, dest, "r3", "three", 1))
	mustDo(t, Restore(t.Context(), dest, third.Previous))
	wantFile(t, filepath.Join(dest, "f0"), "one")
}

// What is noted beside a release is never written through a symlink: who owns the
// directory could name any file of root's.
func TestMetaIsNotWrittenThroughASymlink(t *testing.T) {
	dir := t.TempDir()
	dest, precious := filepath.Join(dir, "app"), filepath.Join(dir, "precious")
	mustDo(t, os.WriteFile(precious, []byte("x"), 0o600))
	activate(t, bring(t, dest, "r1", "one", 1))
	mustDo(t, os.Remove(metaPath(dest, "r1")))
	mustDo(t, os.Symlink(precious, metaPath(dest, "r1")))
	mustDo(t, markChanged(filepath.Join(dest+".releases", "r1")))
	wantFile(t, precious, "x")
	if _, ok := Existing(dest, "r1"); ok {
		t.Error("it is here as it was")
	}
}

// What a killed run had begun to note about a release is removed by the next.
func TestAHalfWrittenNoteIsRemoved(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "app")
	activate(t, bring(t, dest, "r1", "one", 1))
	half := filepath.Join(dest+".releases", "..r2.json123")
	mustDo(t, os.WriteFile(half, []byte("{"), 0o600))
	mustDo(t, bring(t, dest, "r2", "two", 1).Discard())
	if _, err := os.Lstat(half); err == nil {
		t.Error("it is still there")
	}
	if id := currentID(dest); id != "r1" {
		t.Errorf("%s is live", id)
	}
}
