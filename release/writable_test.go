package release

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestCheckWritable asks in directories of which some can't be written, as
// nobody where the test runs as root.
func TestCheckWritable(t *testing.T) {
	if root := os.Getenv("GURNEY_TEST_WRITABLE"); root != "" {
		checkWritableIn(t, root)
		return
	}
	root, err := os.MkdirTemp("", "gurney-writable-") // nobody may not enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec.Command("chmod", "-R", "u+w", root).Run(); _ = os.RemoveAll(root) })
	for _, dir := range []string{"open/locked", "open/web", "locked/open"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(root+"/open/file", nil, 0o644), os.Symlink("locked", root+"/open/link"),
		os.Chmod(root, 0o755), os.Chmod(root+"/open", 0o777), os.Chmod(root+"/open/web", 0o777), os.Chmod(root+"/locked/open", 0o777),
		os.Chmod(root+"/open/locked", 0o555), os.Chmod(root+"/locked", 0o555)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		checkWritableIn(t, root)
		return
	}
	if err := os.Chown(root+"/locked/open", 65534, 65534); err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(root, "test") // nobody may not enter where this one is
	data, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(self, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, "-test.run=^TestCheckWritable$")
	c.Dir, c.Env = "/", append(os.Environ(), "GURNEY_TEST_WRITABLE="+root)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

func checkWritableIn(t *testing.T, root string) {
	for _, c := range []struct {
		dest  string
		s     Strategy
		fails string // "": it does not
	}{
		{"open/web", Symlink, ""},
		{"open/web", Rsync, ""},
		{"open/new", Mv, ""},
		{"open/new/deep/web", Symlink, ""}, // would be made
		{"open/locked", Symlink, "write to ROOT/open/locked: permission denied"},
		{"open/locked", Rsync, "write to ROOT/open/locked: permission denied"},
		{"open/link", Symlink, ""},
		{"open/link", Rsync, "write to ROOT/open/link: permission denied"},
		{"open/link/web", Symlink, "write to ROOT/open/link: permission denied"},
		{"locked/open", Symlink, "write to ROOT/locked: permission denied"},
		{"locked/open", Rsync, ""}, // its stages go inside
		{"locked/new", Rsync, "write to ROOT/locked: permission denied"},
		{"locked/open/", Mv, "write to ROOT/locked: permission denied"},
		{"locked/open/web", Symlink, ""},
		{"locked/new/deep/web", Symlink, "write to ROOT/locked: permission denied"},
		{"open/file/web", Symlink, "write to ROOT/open/file: not a directory"},
	} {
		err := CheckWritable(filepath.Join(root, c.dest), c.s)
		got := ""
		if err != nil {
			got = strings.ReplaceAll(err.Error(), root, "ROOT")
		}
		if got != c.fails {
			t.Errorf("%s %s: %q, want %q", c.dest, c.s, got, c.fails)
		}
	}
	mine := filepath.Join(root, "locked/open")
	r, err := Open(Options{Dest: mine, Allowed: []string{root}, Strategy: Rsync, ID: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	err = os.WriteFile(filepath.Join(r.Dir(), "f"), []byte("brought"), 0o600)
	if err == nil {
		_, err = r.Proven()
	}
	if err == nil {
		_, err = r.Sync(t.Context(), SyncOptions{})
	}
	if err = errors.Join(err, r.Discard()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(mine); err != nil || len(left) != 1 || left[0].Name() != "f" {
		t.Errorf("%v stand there, %v", left, err)
	}
	for _, dir := range []string{"open", "open/web", "open/locked"} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if want := map[string]int{"open": 4}[dir]; err != nil || len(entries) != want {
			t.Errorf("%s has %d entries, %v", dir, len(entries), err)
		}
	}
}
