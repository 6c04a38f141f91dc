package artifact

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zip"
)

// TestRefused: archives that reach out of the stage, or bring what no release
// carries. unpackHere sees to it that nothing outside is touched; afterwards
// the stage is empty.
func TestRefused(t *testing.T) {
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "victim"), []byte("untouched"), 0o644))
	deep := strings.Repeat("a/", 2100) + "x"
	for _, c := range []struct {
		name    string
		archive []member
		says    string
	}{
		{"an absolute name", []member{file("/tmp/x", "x")}, "absolute"},
		{"..", []member{file("../x", "x")}, `".."`},
		{".. inside", []member{file("a/../../x", "x")}, `".."`},
		{".. that stays inside", []member{file("a/../x", "x")}, `".."`},
		{"a directory ..", []member{directory("..")}, `".."`},
		{"a symlink of a name with ..", []member{symlink("../x", "y")}, `".."`},
		{"through a symlink", []member{symlink("a", outside), file("a/b", "x")}, "symlinks are never followed"},
		{"through a symlink to a directory of the archive", []member{directory("d"), symlink("a", "d"), file("a/b", "x")}, "symlinks are never followed"},
		{"through a symlink, a large file", []member{symlink("a", outside), file("a/victim", noise(smallFile+1))}, "symlinks are never followed"},
		{"through a symlink, a directory", []member{symlink("a", outside), directory("a/b")}, "symlinks are never followed"},
		{"through a symlink, a symlink", []member{symlink("a", outside), symlink("a/b", "c")}, "symlinks are never followed"},
		{"through a symlink, a hard link", []member{file("f", "x"), symlink("a", outside), hardlink("a/b", "f")}, "symlinks are never followed"},
		{"through a chain of symlinks", []member{symlink("a", "."), symlink("b", "a/.."), file("b/x", "x")}, "symlinks are never followed"},
		{"a hard link's target through a symlink", []member{symlink("a", outside), hardlink("b", "a/victim")}, "symlinks are never followed"},
		{"a hard link to an absolute name", []member{hardlink("b", filepath.Join(outside, "victim"))}, "absolute"},
		{"a hard link out", []member{hardlink("b", "../outside/victim")}, `".."`},
		{"a hard link to nothing", []member{hardlink("b", "nothing")}, "hard link"},
		{"a hard link to a directory", []member{directory("d"), hardlink("b", "d")}, "hard link"},
		{"a hard link to a later entry", []member{hardlink("b", "f"), file("f", "x")}, "hard link"},
		{"a pipe", []member{special(tar.TypeFifo, "p")}, "named pipe"},
		{"a character device", []member{special(tar.TypeChar, "p")}, "device"},
		{"a block device", []member{special(tar.TypeBlock, "p")}, "device"},
		{"a file over a directory", []member{directory("d"), file("d", "x")}, "a directory of that name"},
		{"a symlink over a directory", []member{directory("d"), symlink("d", outside), file("d/x", "y")}, "a directory of that name"},
		{"a file below a file", []member{file("a", "x"), file("a/b", "y")}, "is no directory"},
		{"the root as a file", []member{file(".", "x")}, "root of an archive"},
		{"the root as a symlink", []member{symlink(".", outside)}, "root of an archive"},
		{"a symlink without a target", []member{symlink("a", "")}, "without a target"},
		{"a name that no program can open", []member{file(deep, "x")}, "longer than 4095 bytes"},
		{"a part of a name that no file system has", []member{file(strings.Repeat("n", 256), "x")}, "name too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// A good entry before and a lot after: refusing must not wait for
			// either, nor leave any of them.
			members := append([]member{file("good", "x")}, append(c.archive, file("more", noise(100_000)))...)
			stage, _, err := unpackHere(t, &Fetcher{}, "x", tarOf(t, members...))
			var entry *EntryError
			if !errors.As(err, &entry) || !strings.Contains(err.Error(), c.says) || transient(err) {
				t.Errorf("err = %v, want an *EntryError that says %s", err, c.says)
			}
			if left := entriesOf(t, stage); len(left) > 0 {
				t.Errorf("left in the stage: %q", left)
			}
			if got := entriesOf(t, outside); len(got) != 1 || got[0] != "f victim untouched" {
				t.Errorf("outside: %q", got)
			}
		})
	}
}

// TestRefusedZips: a zip has ways of its own.
func TestRefusedZips(t *testing.T) {
	raw := func(h zip.FileHeader, body string) []byte {
		var buf bytes.Buffer
		w := zip.NewWriter(&buf)
		h.CompressedSize64 = uint64(len(body))
		out, err := w.CreateRaw(&h)
		must(t, err)
		_, err = out.Write([]byte(body))
		must(t, err)
		must(t, w.Close())
		return buf.Bytes()
	}
	pipe := zip.FileHeader{Name: "p"}
	pipe.SetMode(os.ModeNamedPipe | 0o644)
	link := zip.FileHeader{Name: "l", UncompressedSize64: 5000}
	link.SetMode(os.ModeSymlink | 0o777)
	zero := zip.FileHeader{Name: "a\x00b"}
	for _, c := range []struct {
		name    string
		archive []byte
		says    string
	}{
		{"..", zipOf(t, file("../x", "x")), `".."`},
		{"an absolute name", zipOf(t, file("/x", "x")), "absolute"},
		{"a name with a zero byte", raw(zero, ""), "zero byte"},
		{"through a symlink", zipOf(t, symlink("a", "/tmp"), file("a/b", "x")), "symlinks are never followed"},
		{"a pipe", raw(pipe, ""), "special file"},
		{"a symlink of a target too long", raw(link, strings.Repeat("t", 5000)), "longer than 4096 bytes"},
		{"a size that is none", raw(zip.FileHeader{Name: "a", UncompressedSize64: 1 << 63}, "x"), "negative"},
		{"a size that is too small", raw(zip.FileHeader{Name: "a", UncompressedSize64: 3}, "12345"), "is broken"},
		{"a size that is too large", raw(zip.FileHeader{Name: "a", UncompressedSize64: 300_000}, "12345"), "truncated"},
		{"xz of broken bytes, which archiver panics at", raw(zip.FileHeader{Name: "a", Method: 95, UncompressedSize64: 9}, "x"), "method 95"},
		{"zstd, which may want any memory", raw(zip.FileHeader{Name: "a", Method: 93, UncompressedSize64: 9}, "x"), "method 93"},
		{"encrypted", raw(zip.FileHeader{Name: "a", Flags: 1, UncompressedSize64: 5, CRC32: 7}, "12345"), "is broken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			stage, _, err := unpackHere(t, &Fetcher{}, "x.zip", c.archive)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("err = %v, want it to say %s", err, c.says)
			}
			if left := entriesOf(t, stage); len(left) > 0 {
				t.Errorf("left in the stage: %q", left)
			}
		})
	}
}

// TestLimits: what an archive may unpack to, counted and not believed.
func TestLimits(t *testing.T) {
	nothing := directory("./")
	many := func(n int, m func(i int) member) (all []member) {
		for i := range n {
			all = append(all, m(i))
		}
		return all
	}
	numbered := func(prefix string, i int) string {
		return prefix + strings.Repeat("/d", 50) + "/" + string(rune('a'+i))
	}
	zstBomb := compressed(t, formatZst, make([]byte, 64<<20))
	global := member{h: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"comment": strings.Repeat("x", 1<<19)}}}
	for _, c := range []struct {
		name    string
		limits  Limits
		archive []byte
		says    string // "": unpacks
	}{
		{"as many files as allowed", Limits{Files: 3}, tarOf(t, nothing, file("a", ""), file("b", "")), ""},
		{"one file more", Limits{Files: 2}, tarOf(t, nothing, file("a", ""), file("b", "")), "more than 2 entries"},
		{"the same name, over and over", Limits{Files: 9}, tarOf(t, many(10, func(int) member { return file("a", "") })...), "more than 9 entries"},
		{"directories that no entry names", Limits{Files: 99}, tarOf(t, many(4, func(i int) member { return file(numbered(string(rune('a'+i)), i), "") })...), "more than 99 entries"},
		{"as many bytes as allowed", Limits{Bytes: 10}, tarOf(t, file("a", "12345"), file("b", "12345")), ""},
		{"one byte more", Limits{Bytes: 10}, tarOf(t, file("a", "12345"), file("b", "123456")), "more than 10 bytes"},
		{"one byte more, in a large file", Limits{Bytes: smallFile + 9}, tarOf(t, file("a", noise(smallFile+10))), "bytes"},
		{"links cost no bytes", Limits{Bytes: 5}, tarOf(t, file("a", "12345"), hardlink("b", "a"), symlink("c", "a")), ""},
		{"a zip of more files", Limits{Files: 1}, zipOf(t, file("a", ""), file("b", "")), "more than 1 entries"},
		{"a zip of more bytes", Limits{Bytes: 1 << 20}, zipOf(t, file("a", strings.Repeat("0", 1<<20+1))), "more than 1048576 bytes"},
		{"a zip that lies", Limits{Bytes: 1 << 20}, lying(zipOf(t, file("a", strings.Repeat("0", 8<<20)))), "is broken"},
		{"a zip that is longer than its limits", Limits{Bytes: 1, Files: 1}, append(zipOf(t, file("a", "x")), noise(2<<20)...), "the zip is longer than"},
		{"zeros after the end, compressed", Limits{Bytes: 1 << 20, Files: 9}, append(compressed(t, formatZst, tarOf(t, file("a", "x"))), zstBomb...), "the tar is longer than"},
		{"headers that bring no entry", Limits{Bytes: 1 << 20, Files: 9}, compressed(t, formatZst, tarOf(t, many(9, func(int) member { return global })...)), "the tar is longer than"},
		{"a sparse file of a terabyte", Limits{}, sparse(t, 1<<40), "more than 21474836480 bytes"},
		{"a tar's file of a terabyte that is not there", Limits{}, tarHeader(t, 1<<40), "more than 21474836480 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			stage, _, err := unpackHere(t, &Fetcher{Limits: c.limits}, "x", c.archive)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("err = %v, want it to say %q", err, c.says)
			}
			if err != nil && len(entriesOf(t, stage)) > 0 {
				t.Errorf("left in the stage: %q", entriesOf(t, stage))
			}
		})
	}
	t.Run("the defaults", func(t *testing.T) {
		tree, err := newTree(t.TempDir(), Limits{})
		must(t, err)
		must(t, tree.finish(false))
		if tree.limits != (Limits{Files: 1_000_000, Bytes: 20 << 30}) {
			t.Errorf("limits are %+v", tree.limits)
		}
	})
}

// lying makes the zip's one entry claim ten bytes.
func lying(archive []byte) []byte {
	at := bytes.LastIndex(archive, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(archive[at+24:], 10)
	return archive
}

// sparse is a tar of one file, as GNU tar writes those of holes: PAX 1.0.
func sparse(t *testing.T, size int64) []byte {
	t.Helper()
	data := "1\n0\n5\n" // one piece, at 0, of 5 bytes
	data += strings.Repeat("\x00", 512-len(data)) + "hello"
	m := file("GNUSparseFile.0/a", data)
	archive := tarOf(t, m.with(func(h *tar.Header) { h.Format = tar.FormatPAX; h.PAXRecords = map[string]string{"GURNEY.x": "y"} }))
	records := ""
	for _, kv := range [][2]string{{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.name", "a"}, {"GNU.sparse.realsize", itoa(size)}} {
		records += paxRecord(kv[0], kv[1])
	}
	// The writer of tars makes no sparse files: put the records in by hand.
	copy(archive[124:136], octal(int64(len(records))))
	block := make([]byte, 512)
	copy(block, records)
	copy(archive[512:1024], block)
	return checksummed(archive)
}

// tarHeader is a header without what it announces.
func tarHeader(t *testing.T, size int64) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: size}))
	return buf.Bytes()
}

// TestSparse unpacks a small sparse file: its holes are zeros.
func TestSparse(t *testing.T) {
	stage, _, err := unpackHere(t, &Fetcher{}, "x", sparse(t, 20))
	must(t, err)
	if got := entriesOf(t, stage); len(got) != 1 || got[0] != "f a hello"+strings.Repeat("\x00", 15) {
		t.Errorf("got %q", got)
	}
}
