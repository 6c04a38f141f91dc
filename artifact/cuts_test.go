package artifact

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zip"
)

// TestCuts cuts every format at every place (a tar, which is mostly padding,
// at some of each kind). Each is an error of the archive's, though its
// checksum is that of the cut bytes.
func TestCuts(t *testing.T) {
	members := []member{file("a", noise(300)), file("b/c", ""), symlink("l", "a"), file("z", noise(700)), file("zeros", strings.Repeat("\x00", 1024))}
	plain := tarOf(t, members...)
	f := &Fetcher{}
	stage := t.TempDir()
	path := filepath.Join(t.TempDir(), "x")
	check := func(format string, archive []byte, cut int) {
		must(t, os.WriteFile(path, archive[:cut], 0o600))
		_, err := f.UnpackFile(t.Context(), path, stage)
		var broken *FormatError
		if !errors.As(err, &broken) {
			t.Errorf("%s of %d bytes cut at %d: err = %v, want a *FormatError", format, len(archive), cut, err)
		}
		must(t, clearDir(stage))
	}
	for _, format := range append([]string{formatZip}, tarFormats...) {
		archive := zipOf(t, members...)
		if format != formatZip {
			archive = compressed(t, format, plain)
		}
		must(t, os.WriteFile(path, archive, 0o600))
		_, err := f.UnpackFile(t.Context(), path, stage)
		must(t, err)
		must(t, clearDir(stage))
		for cut := 0; cut < len(archive); cut++ {
			near := min(cut%512, 512-cut%512) < 2 // of a block's border
			if format == formatTar && !near && cut%211 != 0 || format != formatTar && cut > 32 && cut < len(archive)-64 && cut%13 != 0 {
				continue
			}
			check(format, archive, cut)
		}
	}
	t.Run("inside the compression", func(t *testing.T) {
		// The compressed stream is whole, the tar in it is not.
		for _, format := range tarFormats[1:] {
			for _, cut := range []int{1, 511, 512, 513, 1023, 1024, len(plain) - 1536} {
				check(format, compressed(t, format, plain[:len(plain)-cut]), len(compressed(t, format, plain[:len(plain)-cut])))
			}
		}
	})
}

// TestTarEndsAnywhere: where the end of the archive falls says nothing about
// the archive; buffers on the way end in other places than blocks do.
func TestTarEndsAnywhere(t *testing.T) {
	stage := t.TempDir()
	path := filepath.Join(t.TempDir(), "x.tar")
	for _, first := range []int{0, 1, 70_001, 262_145, 300_000} { // read in one go, from then on buffers are askew
		for pad := range 132 {
			archive := tarOf(t, file("a", noise(first)), file("b", noise(pad*512)))
			must(t, os.WriteFile(path, archive, 0o600))
			_, err := (&Fetcher{}).UnpackFile(t.Context(), path, stage)
			if err != nil {
				t.Fatalf("a of %d bytes, b of %d blocks: %v", first, pad, err)
			}
		}
	}
}

// TestTarEndTold: a reader may tell the end together with the last bytes, or
// give one byte at a time.
func TestTarEndTold(t *testing.T) {
	for _, whole := range []bool{true, false} {
		archive := tarOf(t, file("a", "x"))
		if !whole {
			archive = archive[:len(archive)-512]
		}
		for name, r := range map[string]io.Reader{
			"with the last bytes": iotest.DataErrReader(bytes.NewReader(archive)),
			"byte by byte":        iotest.OneByteReader(bytes.NewReader(archive)),
		} {
			tree, err := newTree(t.TempDir(), Limits{})
			must(t, err)
			err = untar(t.Context(), formatTar, r, tree)
			must(t, tree.finish(err == nil))
			if whole != (err == nil) {
				t.Errorf("%s: err = %v, whole: %v", name, err, whole)
			}
		}
	}
}

// TestTrailing: what follows an archive is an error, but for a tar's zeros.
func TestTrailing(t *testing.T) {
	plain := tarOf(t, file("a", noise(300)))
	zeros := func(n int) []byte { return make([]byte, n) }
	for _, format := range append([]string{formatZip}, tarFormats...) {
		archive := zipOf(t, file("a", noise(300)))
		if format != formatZip {
			archive = compressed(t, format, plain)
		}
		for _, c := range []struct {
			name  string
			bytes []byte
			legal bool
		}{
			{"nothing", nil, true},
			{"one byte", []byte("x"), false},
			{"two bytes", []byte("xy"), false},
			{"three bytes", []byte("xyz"), false},
			{"half a zstd magic", []byte{0x28, 0xb5}, false},
			{"a block of text", bytes.Repeat([]byte("x"), 512), false},
			{"the archive again", archive, false},
			{"zeros to a record of 10 KiB", zeros(10<<10 - len(archive)%(10<<10)), format == formatTar || format == formatXz},
			{"zeros and then a byte", append(zeros(20<<10), 'x'), false},
		} {
			if format == formatXz && len(c.bytes)%4 != 0 && c.legal {
				c.legal = len(c.bytes) == 0 // xz pads by fours
			}
			_, _, err := unpackHere(t, &Fetcher{}, "x", append(bytes.Clone(archive), c.bytes...))
			var broken *FormatError
			if c.legal && err != nil || !c.legal && !errors.As(err, &broken) {
				t.Errorf("%s and %s: err = %v, legal: %v", format, c.name, err, c.legal)
			}
			if !c.legal && err != nil && format != formatXz && !strings.Contains(err.Error(), "follow") && !strings.Contains(err.Error(), "or it is two") {
				t.Errorf("%s and %s: err = %v", format, c.name, err)
			}
		}
	}
}

// TestZipBegins: a zip is the whole file, from its first byte on, whichever
// entry comes first in it and in its directory.
func TestZipBegins(t *testing.T) {
	one, two := zipOf(t, file("a", noise(300)), file("b", "b")), zipOf(t, file("c", noise(200)))
	at := func(archive []byte, offset int) []byte { // written at offset, and says so
		var buf bytes.Buffer
		w := zip.NewWriter(&buf)
		w.SetOffset(int64(offset))
		r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
		must(t, err)
		for _, f := range r.File {
			must(t, w.Copy(f))
		}
		must(t, w.Close())
		return buf.Bytes()
	}
	for name, archive := range map[string][]byte{
		"two":                          slices.Concat(one, two),
		"two that know it":             slices.Concat(one, at(two, len(one))),
		"one and an empty one":         slices.Concat(one, zipOf(t)),
		"an empty one and one":         slices.Concat(zipOf(t), one),
		"an empty one before, known":   slices.Concat(zipOf(t), at(one, len(zipOf(t)))),
		"a local header before it":     slices.Concat([]byte("PK\x03\x04"), one),
		"a local header before, known": slices.Concat([]byte("PK\x03\x04"), at(one, 4)),
	} {
		_, _, err := unpackHere(t, &Fetcher{}, "x", archive)
		var broken *FormatError
		if !errors.As(err, &broken) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
	many := make([]member, 1<<16+10) // more than the plain record can count: zip64
	for i := range many {
		many[i] = file("f"+strconv.Itoa(i), "")
	}
	for name, archive := range map[string][]byte{"none": zipOf(t), "one": one, "zip64": zipOf(t, many...), "two, zip64": slices.Concat(one, zipOf(t, many...))} {
		r := bytes.NewReader(archive)
		end, err := zipEnds(r, r.Size())
		must(t, err)
		if err := zipBegins(r, end); (err == nil) == strings.HasPrefix(name, "two") {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Run("zip64's offsets", func(t *testing.T) {
		h := make([]byte, zipDirectoryLength)
		copy(h[20:], "\xff\xff\xff\xff\xff\xff\xff\xff")
		copy(h[42:], "\xff\xff\xff\xff")
		extra := make([]byte, 4+5+4+24)
		copy(extra, "\x55\x54\x05\x00")
		copy(extra[9:], "\x01\x00\x18\x00")
		extra[9+4+16] = 7
		if got := zipOffset(h, extra); got != 7 {
			t.Errorf("offset is %d", got)
		}
		for n := range extra {
			if got := zipOffset(h, extra[:n]); got != unknown32 {
				t.Errorf("%d bytes of the extra field give %d", n, got)
			}
		}
	})
}

// TestPaddingAndPieces: a tar may be padded with zeros, and compressed in
// pieces; both are common.
func TestPaddingAndPieces(t *testing.T) {
	plain := tarOf(t, file("a", noise(3000)))
	padded := append(bytes.Clone(plain), make([]byte, 10<<10-len(plain)%(10<<10)+4*(10<<10))...)
	for _, format := range tarFormats {
		for name, archive := range map[string][]byte{
			"padded":    compressed(t, format, padded),
			"in pieces": append(compressed(t, format, plain[:1234]), compressed(t, format, plain[1234:])...),
			"and zeros": append(compressed(t, format, plain), compressed(t, format, make([]byte, 1024))...),
		} {
			stage, _, err := unpackHere(t, &Fetcher{}, "x", archive)
			if err != nil {
				t.Errorf("%s %s: %v", format, name, err)
			} else if got := entriesOf(t, stage); len(got) != 1 || got[0] != "f a "+brief(noise(3000)) {
				t.Errorf("%s %s: %q", format, name, got)
			}
		}
	}
	t.Run("skippable zstd frames", func(t *testing.T) {
		skip := []byte{0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'} // as pzstd and seekable zstd have them
		z := compressed(t, formatZst, plain)
		_, _, err := unpackHere(t, &Fetcher{}, "x", slices.Concat(skip, z, skip))
		must(t, err)
		_, _, err = unpackHere(t, &Fetcher{}, "x", slices.Concat(z, skip[:9]))
		if err == nil {
			t.Error("a frame that is cut is taken")
		}
	})
}

// TestBrokenBytes flips one byte at a time where a checksum of the format's
// own watches over it.
func TestBrokenBytes(t *testing.T) {
	stage := t.TempDir()
	path := filepath.Join(t.TempDir(), "x")
	stored := func() []byte {
		var buf bytes.Buffer
		w := zip.NewWriter(&buf)
		out, err := w.CreateHeader(&zip.FileHeader{Name: "a", Method: zip.Store})
		must(t, err)
		_, err = out.Write([]byte(noise(100)))
		must(t, err)
		must(t, w.Close())
		return buf.Bytes()
	}()
	var gz bytes.Buffer
	w, err := gzip.NewWriterLevel(&gz, gzip.NoCompression)
	must(t, err)
	_, err = w.Write(tarOf(t, file("a", noise(100))))
	must(t, err)
	must(t, w.Close())
	for name, archive := range map[string][]byte{"zip": stored, "gz": gz.Bytes()} {
		at := bytes.Index(archive, []byte(noise(100)))
		if at < 0 {
			t.Fatalf("%s is not stored", name)
		}
		archive[at+50] ^= 1
		must(t, os.WriteFile(path, archive, 0o600))
		_, err := (&Fetcher{}).UnpackFile(t.Context(), path, stage)
		var broken *FormatError
		if !errors.As(err, &broken) {
			t.Errorf("%s: err = %v, want a *FormatError", name, err)
		}
		must(t, clearDir(stage))
	}
}

// TestNoArchive: what is none says by what it begins.
func TestNoArchive(t *testing.T) {
	for body, want := range map[string]string{
		"":                           "it has no bytes at all",
		"<html>not found":            `it begins with "<html>not found"`,
		strings.Repeat("a", 600):     "this is no archive",
		"\x1f\x8b":                   "truncated",
		"\x1f\x8b\xff broken header": "broken",
		"7z\xbc\xaf\x27\x1c" + strings.Repeat("x", 600): "this is no archive",
	} {
		_, _, err := unpackHere(t, &Fetcher{}, "x.tar.gz", []byte(body))
		var broken *FormatError
		if !errors.As(err, &broken) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: err = %v, want it to say %s", body, err, want)
		}
	}
}
