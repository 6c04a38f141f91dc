package release

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckDest(t *testing.T) {
	dir := t.TempDir()
	for link, to := range map[string]string{"etc": "/etc", "nowhere": "/nowhere/x"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		dest    string
		allowed []string
		says    string // "": it may
	}{
		{"srv/app", nil, "an absolute path is wanted"},
		{"", nil, "an absolute path is wanted"},
		{"/", nil, "the root directory is never a dest"},
		{"//", []string{"/"}, "the root directory is never a dest"},
		{"/srv/..", nil, "the root directory is never a dest"},
		{"/srv", nil, "a top-level directory is never a dest"},
		{"/srv/", []string{"/"}, "a top-level directory is never a dest"},
		{"/srv", []string{"/srv"}, ""},
		{"/srv/app", nil, ""},
		{"/srv/app", []string{"/srv"}, ""},
		{"/srv/app", []string{"/srv/app/"}, ""},
		{"/srv/app2", []string{"/srv/app"}, "in none of the configured dests"},
		{"/srv/app/../other", []string{"/srv/app"}, "in none of the configured dests"},
		{"/etc/app", nil, "the system's own directories are no dest"},
		{"/etc/app", []string{"/"}, "the system's own directories are no dest"}, // which names everything, and so nothing
		{"/etc/app", []string{"/etc/app"}, ""},
		{"/etc/app/conf.d", []string{"/etc/app"}, ""},
		{"/etcetera/app", nil, ""},
		{"/usr/share/app", nil, "the system's own directories are no dest"},
		{"/usr/local", nil, "the system's own directories are no dest"},
		{"/usr/local/app", nil, ""},
		{"/usr/localhost/app", nil, "the system's own directories are no dest"},
		{"/lib64/app", nil, "the system's own directories are no dest"},
		{"/libx32/app", nil, "the system's own directories are no dest"},
		{"/var/lib/app", nil, ""},
		{"/boot/app", nil, "the system's own directories are no dest"},
		{"/dev/app", nil, "the system's own directories are no dest"},
		{"/proc/app", nil, "the system's own directories are no dest"},
		{"/run/app", nil, "the system's own directories are no dest"},
		{"/sbin/app", nil, "the system's own directories are no dest"},
		{"/sys/app", nil, "the system's own directories are no dest"},
		{"/bin/app", nil, "the system's own directories are no dest"},
		// It is the real place that counts.
		{dir + "/etc/app", nil, "the system's own directories are no dest (it is really /etc/app)"},
		{dir + "/etc/app", []string{dir}, "in none of the configured dests (it is really /etc/app)"},
		{dir + "/nowhere/app", nil, dir + "/nowhere is a symlink to nowhere"},
		{dir + "/new/app", []string{dir}, ""},
	} {
		err := CheckDest(tt.dest, Symlink, tt.allowed)
		if tt.says == "" {
			if err != nil {
				t.Errorf("%q in %q: %v", tt.dest, tt.allowed, err)
			}
			continue
		}
		var refused *RefusedError
		if err == nil || !strings.Contains(err.Error(), tt.says) || !errors.As(err, &refused) && !strings.Contains(tt.says, "nowhere") {
			t.Errorf("%q in %q: %v, want: %s", tt.dest, tt.allowed, err, tt.says)
		}
	}
}

// rsync writes into what a symlink at dest points at: that has to be a place
// that may be written to, too. The other strategies replace the symlink.
func TestDestThatIsASymlink(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	mustDo(t, err)
	for _, d := range []string{"ok/real", "outside"} {
		mustDo(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for link, to := range map[string]string{
		"ok/in": dir + "/ok/real", "ok/out": dir + "/outside", "ok/twice": "out", "ok/system": "/etc", "ok/deeper": "/etc/ssl", "ok/root": "/", "ok/top": "/srv", "ok/nowhere": dir + "/ok/none",
		"named": dir + "/ok",
	} {
		mustDo(t, os.Symlink(to, filepath.Join(dir, link)))
	}
	ok := []string{dir + "/ok"}
	for _, tt := range []struct {
		dest     string
		strategy Strategy
		allowed  []string
		says     string
	}{
		{"ok/in", Rsync, ok, ""},
		{"ok/out", Rsync, ok, "in none of the configured dests (it is really " + dir + "/outside)"},
		{"ok/out", Symlink, ok, ""},
		{"ok/out", Mv, ok, ""},
		{"ok/twice", Rsync, ok, "in none of the configured dests (it is really " + dir + "/outside)"},
		{"ok/out", Rsync, nil, ""},
		{"ok/system", Rsync, nil, "a top-level directory is never a dest (it is really /etc)"},
		{"ok/deeper", Rsync, nil, "the system's own directories are no dest (it is really /etc/ssl)"},
		{"ok/system", Rsync, append(ok, "/etc"), ""},
		{"ok/system", Symlink, nil, ""},
		{"ok/root", Rsync, nil, "the root directory is never a dest"},
		{"ok/nowhere", Rsync, ok, ""}, // to be refused when it is written to
		{"named", Rsync, []string{dir + "/named"}, ""},
		{"named/real", Rsync, []string{dir + "/named"}, ""},
		{"outside", Rsync, []string{dir + "/named"}, "in none of the configured dests"},
	} {
		err := CheckDest(filepath.Join(dir, tt.dest), tt.strategy, tt.allowed)
		var refused *RefusedError
		if tt.says == "" && err != nil || tt.says != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s by %s in %q: %v, want %q", tt.dest, tt.strategy, tt.allowed, err, tt.says)
		}
	}
}

// A symlink that comes after dest was judged is found when it is opened.
func TestDestThatBecomesASymlink(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	mustDo(t, err)
	dest, outside := filepath.Join(dir, "ok", "app"), filepath.Join(dir, "outside")
	mustDo(t, os.MkdirAll(filepath.Dir(dest), 0o755))
	mustDo(t, os.MkdirAll(outside, 0o755))
	precious := filepath.Join(outside, "precious")
	mustDo(t, os.WriteFile(precious, []byte("x"), 0o600))
	r, err := Open(Options{Dest: dest, Allowed: []string{dir + "/ok"}, Strategy: Rsync, ID: "one"})
	mustDo(t, err)
	mustDo(t, os.Symlink(outside, dest))
	_, err = r.Sync(t.Context(), SyncOptions{})
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Errorf("it ended with %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("what stood there is gone: %v", err)
	}
}

// anywhere is a mirror's check that nothing is wrong with.
func anywhere(string) error { return nil }
