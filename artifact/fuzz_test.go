package artifact

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// FuzzUnpack: whatever the bytes, unpacking ends, keeps to the stage and to
// the limits, brings no special files, and what it says is what stands there.
func FuzzUnpack(f *testing.F) {
	members := []member{directory("./"), file("a/b", "hello"), symlink("l", "../outside"), hardlink("h", "a/b"), directory("l"), file("a/b", "again")}
	for _, format := range tarFormats {
		f.Add(compressed(f, format, tarOf(f, members...)))
	}
	f.Add(zipOf(f, file("a/b", "hello"), symlink("l", "../outside")))
	f.Add(tarOf(f, symlink("l", "../outside"), file("l/x", "x")))
	f.Add(tarOf(f, file(strings.Repeat("n", 300), "x")))
	f.Add([]byte{})
	limits := Limits{Files: 40, Bytes: 64 << 10}
	f.Fuzz(func(t *testing.T, archive []byte) {
		base := t.TempDir()
		stage, path := filepath.Join(base, "stage"), filepath.Join(base, "archive")
		must(t, os.Mkdir(stage, 0o755))
		must(t, os.Mkdir(filepath.Join(base, "outside"), 0o755))
		must(t, os.WriteFile(path, archive, 0o600))
		defer func() { must(t, clearDir(stage)) }()
		before := listing(t, base, "stage")
		stats, err := (&Fetcher{Limits: limits}).UnpackFile(t.Context(), path, stage)
		if now := listing(t, base, "stage"); !slices.Equal(now, before) {
			t.Fatalf("outside the stage: %q, before: %q", now, before)
		}
		root, e := os.OpenRoot(stage)
		must(t, e)
		defer func() { _ = root.Close() }()
		openUp(root, ".")
		var entries, bytes int64
		seen := map[uint64]bool{} // hard links are one file
		must(t, fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			switch entries++; d.Type() {
			case 0:
				if ino := info.Sys().(*syscall.Stat_t).Ino; !seen[ino] {
					seen[ino] = true
					bytes += info.Size()
				}
			case fs.ModeDir, fs.ModeSymlink:
			default:
				t.Errorf("%q is %v", name, d.Type())
			}
			return nil
		}))
		// Twice: those that entries name, and the directories that none does.
		if entries > 2*limits.Files+2100 || bytes > limits.Bytes {
			t.Errorf("%d entries and %d bytes stand there", entries, bytes)
		}
		if err == nil && (stats.Files > limits.Files || stats.Bytes > limits.Bytes) {
			t.Errorf("it said %+v", stats)
		}
	})
}
