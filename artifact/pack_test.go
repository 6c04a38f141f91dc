package artifact

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// grow makes a tree: names that end in / are directories, contents that begin
// with -> are symlinks, with = hard links. Its mtimes are then and a fraction.
func grow(t testing.TB, dir string, tree ...[2]string) {
	t.Helper()
	for _, e := range tree {
		path := filepath.Join(dir, e[0])
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		target, isLink := strings.CutPrefix(e[1], "->")
		first, isHard := strings.CutPrefix(e[1], "=")
		switch {
		case strings.HasSuffix(e[0], "/"):
			must(t, os.MkdirAll(path, 0o755))
		case isLink:
			must(t, os.Symlink(target, path))
		case isHard:
			must(t, os.Link(filepath.Join(dir, first), path))
		default:
			must(t, os.WriteFile(path, []byte(e[1]), 0o644))
		}
	}
	age(t, dir)
}

// age sets the times of all that is below dir, of symlinks their own.
func age(t testing.TB, dir string) {
	t.Helper()
	ts := unix.NsecToTimespec(then.Add(789 * time.Millisecond).UnixNano())
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

func packed(t testing.TB, dir string, o PackOptions) ([]byte, PackStats) {
	t.Helper()
	var buf bytes.Buffer
	stats, err := Pack(context.Background(), &buf, dir, o)
	must(t, err)
	return buf.Bytes(), stats
}

// headers reads what was packed.
func headers(t testing.TB, format string, archive []byte) (all []*tar.Header) {
	t.Helper()
	var r io.Reader
	var err error
	if format == formatGz {
		r, err = gzip.NewReader(bytes.NewReader(archive))
	} else {
		r, err = zstd.NewReader(bytes.NewReader(archive))
	}
	must(t, err)
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		all = append(all, h)
	}
}

var cookbooks = [][2]string{
	{"solo.rb", "cookbook_path 'cookbooks'"}, {"a.b", "1"}, {"a/b", "2"}, {"a-b", "3"}, {"nodes/web.json", "{}"}, {"empty/", ""},
	{"log", "->/srv/shared/log"}, {"z/twin", "=a/b"}, {"caf\u00e9 \u65e5", "4"}, {strings.Repeat("n", 200), "5"},
	{"tmp/x", "6"}, {"a/tmp", "7"}, {"x.pid", "8"}, {".git/hook", "0"}, {"a/x.pid", "9"}, {"large", noise(700_000)},
}

// TestPackTwice: the same tree gives the same bytes, whoever packs it, when,
// in what order it was made, and on how many processors.
func TestPackTwice(t *testing.T) {
	for _, format := range []string{formatZst, formatGz} {
		one, two := t.TempDir(), t.TempDir()
		grow(t, one, cookbooks...)
		backwards := slices.Clone(cookbooks)
		slices.Reverse(backwards)
		slices.SortStableFunc(backwards, func(a, b [2]string) int { return strings.Count(a[1], "=a/") - strings.Count(b[1], "=a/") })
		grow(t, two, backwards...)
		if os.Geteuid() == 0 {
			must(t, os.Chown(filepath.Join(two, "solo.rb"), 4321, 8765))
		}
		must(t, os.Chtimes(filepath.Join(two, "solo.rb"), time.Now(), then.Add(time.Millisecond))) // the same second
		first, stats := packed(t, one, PackOptions{Format: format})
		procs := runtime.GOMAXPROCS(1)
		second, _ := packed(t, two, PackOptions{Format: format})
		runtime.GOMAXPROCS(procs)
		if !bytes.Equal(first, second) {
			a, b := headers(t, format, first), headers(t, format, second)
			for i := range min(len(a), len(b)) {
				if fmt.Sprint(*a[i]) != fmt.Sprint(*b[i]) {
					t.Errorf("%s: %+v\nand %+v", format, *a[i], *b[i])
				}
			}
			t.Errorf("%s: two packs of one tree differ", format)
		}
		if stats.Files != 21 || stats.Bytes != 700_000+int64(len("cookbook_path 'cookbooks'")+len("123{}4567890")) {
			t.Errorf("%s: stats are %+v", format, stats)
		}
	}
}

// TestPackHeaders: sorted, nobody's, whole seconds, links as they are.
func TestPackHeaders(t *testing.T) {
	dir := t.TempDir()
	grow(t, dir, cookbooks...)
	must(t, os.Chmod(filepath.Join(dir, "a/b"), 0o755|os.ModeSetuid))
	epoch := time.Unix(1_234_567_890, 5)
	for _, mtime := range []*time.Time{nil, &epoch} {
		archive, _ := packed(t, dir, PackOptions{Format: formatGz, Mtime: mtime})
		var names []string
		for _, h := range headers(t, formatGz, archive) {
			names = append(names, h.Name)
			want := then
			if mtime != nil {
				want = time.Unix(1_234_567_890, 0)
			}
			if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || !h.AccessTime.IsZero() || !h.ChangeTime.IsZero() {
				t.Errorf("%s is of %d:%d %q:%q", h.Name, h.Uid, h.Gid, h.Uname, h.Gname)
			}
			if !h.ModTime.Equal(want) {
				t.Errorf("%s is of %v, want %v", h.Name, h.ModTime, want)
			}
			switch h.Name {
			case "a/b":
				if h.Mode != 0o4755 {
					t.Errorf("a/b has mode %o", h.Mode)
				}
			case "log":
				if h.Typeflag != tar.TypeSymlink || h.Linkname != "/srv/shared/log" {
					t.Errorf("log is %c to %s", h.Typeflag, h.Linkname)
				}
			case "z/twin":
				if h.Typeflag != tar.TypeLink || h.Linkname != "a/b" {
					t.Errorf("z/twin is %c to %s", h.Typeflag, h.Linkname)
				}
			}
		}
		want := []string{".git/", ".git/hook", "a/", "a/b", "a/tmp", "a/x.pid", "a-b", "a.b", "caf\u00e9 \u65e5", "empty/", "large", "log", "nodes/", "nodes/web.json", strings.Repeat("n", 200), "solo.rb", "tmp/", "tmp/x", "x.pid", "z/", "z/twin"}
		if slices.Sort(names); !slices.Equal(names, sorted(want)) {
			t.Errorf("names are %q", names)
		}
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }

// TestPackExcludes: below a directory that is left out nobody is asked.
func TestPackExcludes(t *testing.T) {
	dir := t.TempDir()
	grow(t, dir, cookbooks...)
	var asked []string
	archive, stats := packed(t, dir, PackOptions{Format: formatGz, Excluded: func(path string, isDir bool) bool {
		if isDir {
			path += "/"
		}
		asked = append(asked, path)
		return path == "a/" || path == "x.pid" || path == "nodes/web.json"
	}})
	var names []string
	for _, h := range headers(t, formatGz, archive) {
		names = append(names, h.Name)
	}
	want := []string{".git/", ".git/hook", "a-b", "a.b", "caf\u00e9 \u65e5", "empty/", "large", "log", "nodes/", strings.Repeat("n", 200), "solo.rb", "tmp/", "tmp/x", "z/", "z/twin"}
	if !slices.Equal(sorted(names), sorted(slices.Clone(want))) || stats.Files != int64(len(want)) {
		t.Errorf("%d entries, names are %q", stats.Files, names)
	}
	if want = append(want, "a/", "x.pid", "nodes/web.json"); !slices.Equal(sorted(asked), sorted(want)) {
		t.Errorf("asked for %q", asked)
	}
}

func TestPackRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(dir string) (PackOptions, string)
		says string
	}{
		{"a pipe", func(dir string) (PackOptions, string) {
			must(t, syscall.Mkfifo(filepath.Join(dir, "p"), 0o600))
			return PackOptions{Format: formatGz}, dir
		}, `"p"`},
		{"no format", func(dir string) (PackOptions, string) { return PackOptions{}, dir }, "tar.zst and tar.gz are written"},
		{"a format that is only read", func(dir string) (PackOptions, string) { return PackOptions{Format: formatXz}, dir }, "tar.zst and tar.gz are written"},
		{"no directory", func(dir string) (PackOptions, string) { return PackOptions{Format: formatGz}, dir + "/none" }, "no such file"},
		{"a file", func(dir string) (PackOptions, string) { return PackOptions{Format: formatGz}, dir + "/a" }, "not a directory"},
	} {
		dir := t.TempDir()
		grow(t, dir, [2]string{"a", "x"})
		o, where := c.set(dir)
		_, err := Pack(t.Context(), io.Discard, where, o)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: err = %v, want %s", c.name, err, c.says)
		}
	}
	t.Run("an excluded pipe is no matter", func(t *testing.T) {
		dir := t.TempDir()
		must(t, syscall.Mkfifo(filepath.Join(dir, "p"), 0o600))
		_, err := Pack(t.Context(), io.Discard, dir, PackOptions{Format: formatGz, Excluded: func(path string, _ bool) bool { return path == "p" }})
		must(t, err)
	})
	t.Run("a cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		dir := t.TempDir()
		grow(t, dir, [2]string{"a", "x"})
		if _, err := Pack(ctx, io.Discard, dir, PackOptions{Format: formatGz}); !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("a writer that fails", func(t *testing.T) {
		dir := t.TempDir()
		grow(t, dir, [2]string{"a", noise(2 << 20)})
		for _, format := range []string{formatGz, formatZst} {
			leaks := goroutines(t)
			_, err := Pack(t.Context(), writerFunc(func([]byte) (int, error) { return 0, syscall.ENOSPC }), dir, PackOptions{Format: format})
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s: err = %v", format, err)
			}
			leaks()
		}
	})
}
