package artifact

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zip"
)

// release7 is a tree with one of everything that all formats have.
func release7() []member {
	return []member{
		directory("./"), file("REVISION", "1f2e"), directory("empty/"),
		file("bin/run", "#!/bin/sh\n").with(func(h *tar.Header) { h.Mode = 0o755 }),
		symlink("log", "/srv/shared/log"), file("large", noise(smallFile+999)), file("small", noise(777)),
	}
}

// TestFormatsGiveTheSameTree unpacks the same tree from every format, under
// names that say something else: the first bytes decide.
func TestFormatsGiveTheSameTree(t *testing.T) {
	archives := map[string][]byte{formatZip: zipOf(t, release7()...)}
	for _, format := range tarFormats {
		archives[format] = compressed(t, format, tarOf(t, release7()...))
	}
	stage, _, err := unpackHere(t, &Fetcher{}, "x", archives[formatTar])
	must(t, err)
	want := entriesOf(t, stage)
	if len(want) != 7 {
		t.Fatalf("the tar gave %q", want)
	}
	for format, archive := range archives {
		for _, name := range []string{"x." + format, "x.branch.tar.gz", "app.sz.tar", "no-suffix", "x.zip", "x.tar.br"} {
			t.Run(format+" as "+name, func(t *testing.T) {
				stage, stats, err := unpackHere(t, &Fetcher{}, name, archive)
				must(t, err)
				if got := entriesOf(t, stage); !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
				if info, err := os.Stat(filepath.Join(stage, "bin/run")); err != nil || info.Mode() != 0o755 || !info.ModTime().Equal(then) {
					t.Errorf("bin/run is %v, %v", info, err)
				}
				if stats.Format != format || stats.Fetched != int64(len(archive)) || stats.Bytes != smallFile+999+777+4+10 || stats.Files != 7 {
					t.Errorf("stats are %+v", stats)
				}
			})
		}
	}
}

// TestDumpDir: a directory of tar --listed-incremental is a directory, and its
// list is none of ours.
func TestDumpDir(t *testing.T) {
	list := "Ya\x00Nold\x00\x00"
	archive := tarOf(t, file("sub", list), file("sub/a", "x"))
	archive[3], archive[156] = '/', gnuDumpDir // as tar writes it
	checksummed(archive)
	stage, _, err := unpackHere(t, &Fetcher{}, "x", archive)
	must(t, err)
	if got := entriesOf(t, stage); !slices.Equal(got, []string{"d sub", "f sub/a x"}) {
		t.Errorf("got %q", got)
	}
}

// TestSpoolThenUnpack goes the way of manifests with a pre.
func TestSpoolThenUnpack(t *testing.T) {
	for _, format := range append([]string{formatZip}, tarFormats...) {
		archive := zipOf(t, release7()...)
		if format != formatZip {
			archive = compressed(t, format, tarOf(t, release7()...))
		}
		dir := t.TempDir()
		from, to, stage := filepath.Join(dir, "from"), filepath.Join(dir, "to"), filepath.Join(dir, "stage")
		must(t, os.WriteFile(from, archive, 0o600))
		must(t, os.Mkdir(stage, 0o755))
		f := &Fetcher{Sources: map[string]Source{"file": File{}}}
		must(t, f.Spool(t.Context(), fileURL(from), sumOf("sha1", archive), to))
		stats, err := f.UnpackFile(t.Context(), to, stage)
		must(t, err)
		if stats.Files != 7 || stats.Fetched != int64(len(archive)) {
			t.Errorf("%s: %+v", format, stats)
		}
		err = f.Spool(t.Context(), fileURL(from), sumOf("sha1", []byte("other")), to)
		var sum *ChecksumError
		if !errors.As(err, &sum) {
			t.Errorf("%s: err = %v, want a wrong checksum", format, err)
		}
		if _, err := os.Stat(to); !os.IsNotExist(err) {
			t.Errorf("%s: unproven bytes stand there: %v", format, err)
		}
	}
}

// TestChecksums: every algorithm, in either case; one digit off is an error
// that is no matter of the world's.
func TestChecksums(t *testing.T) {
	archive := compressed(t, formatGz, tarOf(t, file("a", "x")))
	for _, algorithm := range []string{"md5", "sha1", "sha256", "sha512"} {
		right := sumOf(algorithm, archive)
		wrong := right.Hex[:len(right.Hex)-1] + map[bool]string{true: "1", false: "0"}[strings.HasSuffix(right.Hex, "0")]
		for hex, ok := range map[string]bool{right.Hex: true, strings.ToUpper(right.Hex): true, wrong: false, "": false} {
			dir := t.TempDir()
			path, stage := filepath.Join(dir, "x"), filepath.Join(dir, "stage")
			must(t, os.WriteFile(path, archive, 0o600))
			must(t, os.Mkdir(stage, 0o755))
			f := &Fetcher{Sources: map[string]Source{"file": File{}}}
			_, err := f.Unpack(t.Context(), fileURL(path), Digest{algorithm, hex}, stage)
			var sum *ChecksumError
			if ok && err != nil || !ok && (!errors.As(err, &sum) || sum.Got != right.Hex || transient(err)) {
				t.Errorf("%s %q: err = %v", algorithm, hex, err)
			}
		}
	}
	if _, err := (Digest{Algorithm: "crc32"}).new(); err == nil {
		t.Error("crc32 is taken")
	}
	t.Run("of a broken archive", func(t *testing.T) {
		// That the bytes are not the promised ones says more than that they
		// don't inflate.
		dir := t.TempDir()
		path := filepath.Join(dir, "x")
		must(t, os.WriteFile(path, archive[:len(archive)-9], 0o600))
		f := &Fetcher{Sources: map[string]Source{"file": File{}}}
		_, err := f.Unpack(t.Context(), fileURL(path), sumOf("sha256", archive), t.TempDir())
		var sum *ChecksumError
		if !errors.As(err, &sum) {
			t.Errorf("err = %v, want a wrong checksum", err)
		}
	})
}

// A zip that no Unix made says nothing of modes: neither may everybody write
// what is in it, nor may nobody enter its directories.
func TestZipWithoutModes(t *testing.T) {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, h := range []zip.FileHeader{
		{Name: "go/"}, {Name: "go/f"}, // as Go's Create and Java write them
		{Name: "dos/", ExternalAttrs: 0x10}, {Name: "dos/f", ExternalAttrs: 0x20}, {Name: "dos/readonly", ExternalAttrs: 0x01},
		{Name: "unix/", CreatorVersion: 3 << 8}, {Name: "unix/f", CreatorVersion: 3 << 8},
		{Name: "own/", CreatorVersion: 3 << 8, ExternalAttrs: 0o040750 << 16}, {Name: "own/f", CreatorVersion: 3 << 8, ExternalAttrs: 0o100600 << 16},
	} {
		h.Modified = then
		_, err := w.CreateHeader(&h)
		must(t, err)
	}
	must(t, w.Close())
	stage, _, err := unpackHere(t, &Fetcher{}, "x.zip", buf.Bytes())
	must(t, err)
	for name, want := range map[string]fs.FileMode{
		"go": 0o755, "go/f": 0o644, "dos": 0o755, "dos/f": 0o644, "dos/readonly": 0o644, "unix": 0o755, "unix/f": 0o644, "own": 0o750, "own/f": 0o600,
	} {
		info, err := os.Stat(filepath.Join(stage, name))
		must(t, err)
		if info.Mode().Perm() != want {
			t.Errorf("%s is %s, want %s", name, info.Mode().Perm(), want)
		}
	}
}
