package artifact

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// TestRoundTrip: any tree that is packed and unpacked is the same tree, and
// packed again the same bytes.
func TestRoundTrip(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(base, "tree")
		must(t, err)
		stage, err := os.MkdirTemp(base, "stage")
		must(t, err)
		defer func() { // shut directories too
			must(t, clearDir(dir))
			must(t, clearDir(stage))
			must(t, os.Remove(dir))
			must(t, os.Remove(stage))
		}()
		randomTree(t, rt, dir)
		o := PackOptions{Format: rapid.SampledFrom([]string{formatGz, formatZst}).Draw(rt, "format")}
		archive, packedStats := packed(t, dir, o)
		path := filepath.Join(base, "archive")
		must(t, os.WriteFile(path, archive, 0o600))
		f := &Fetcher{Sources: map[string]Source{"file": File{}}, Part: int64(rapid.IntRange(1000, 100_000).Draw(rt, "part"))}
		stats, err := f.Unpack(t.Context(), fileURL(path), sumOf("sha256", archive), stage)
		if err != nil {
			rt.Fatal(err)
		}
		if stats.Files != packedStats.Files || stats.Bytes != packedStats.Bytes {
			rt.Fatalf("packed %+v, unpacked %+v", packedStats, stats)
		}
		if want, got := details(t, dir), details(t, stage); !slices.Equal(want, got) {
			rt.Fatalf("packed:\n%s\nunpacked:\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
		}
		if again, _ := packed(t, stage, o); !bytes.Equal(again, archive) {
			rt.Fatal("packed again, the bytes differ")
		}
	})
}

// randomTree fills dir with up to some ten entries of all kinds.
func randomTree(t *testing.T, rt *rapid.T, dir string) {
	name := rapid.OneOf(rapid.StringMatching(`[a-c]{1,2}`), rapid.StringMatching(`[^/\x00]{1,20}`), rapid.Just(strings.Repeat("long", 60)))
	dirs, files := []string{"."}, []string{}
	for range rapid.IntRange(0, 12).Draw(rt, "entries") {
		path := filepath.Join(rapid.SampledFrom(dirs).Draw(rt, "parent"), "x"+name.Draw(rt, "name"))
		full := filepath.Join(dir, path)
		if _, err := os.Lstat(full); err == nil || len(filepath.Base(path)) > 255 {
			continue
		}
		mode := fs.FileMode(rapid.IntRange(0, 0o777).Draw(rt, "mode"))
		switch kind := rapid.IntRange(0, 9).Draw(rt, "kind"); {
		case kind < 3:
			must(t, os.Mkdir(full, 0o700))
			dirs = append(dirs, path)
		case kind == 3:
			must(t, os.Symlink(rapid.StringMatching(`[^\x00]{1,150}`).Draw(rt, "target"), full))
		case kind == 4 && len(files) > 0:
			must(t, os.Link(filepath.Join(dir, rapid.SampledFrom(files).Draw(rt, "link")), full))
		default:
			size := rapid.SampledFrom([]int{0, 1, 511, 512, 513, 5000, smallFile, smallFile + 1}).Draw(rt, "size")
			must(t, os.WriteFile(full, []byte(noise(size)), 0o600))
			must(t, os.Chmod(full, mode|0o400)) // or it can't be packed
			files = append(files, path)
		}
	}
	slices.Reverse(dirs) // the deepest first: then their times and modes stay
	set := func(path string) {
		ts := unix.NsecToTimespec(time.Unix(rapid.Int64Range(-1<<31, 1<<32).Draw(rt, "mtime"), 0).UnixNano())
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			set(path)
		}
		return err
	}))
	for _, d := range dirs[:len(dirs)-1] {
		must(t, os.Chmod(filepath.Join(dir, d), fs.FileMode(rapid.IntRange(0, 0o777).Draw(rt, "dirmode"))|0o500))
		set(filepath.Join(dir, d))
	}
}

// details lists all that an archive keeps of a tree.
func details(t testing.TB, dir string) []string {
	t.Helper()
	var lines []string
	first := map[uint64]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		line := fmt.Sprintf("%q %o %d", name, st.Mode, st.Mtim.Nano())
		switch {
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			must(t, err)
			line += fmt.Sprintf(" -> %q", target)
		case d.Type() == 0:
			body, err := os.ReadFile(path)
			must(t, err)
			if first[st.Ino] == "" {
				first[st.Ino] = name
			}
			line += fmt.Sprintf(" %q as %q", brief(string(body)), first[st.Ino])
		}
		lines = append(lines, line)
		return nil
	}))
	return lines
}
