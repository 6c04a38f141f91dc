package artifact

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// then is the mtime of entries that don't say theirs.
var then = time.Unix(1_600_000_000, 0)

// member is an entry of an archive that a test makes.
type member struct {
	h    tar.Header
	body string
}

func file(name, body string) member {
	return member{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body)), ModTime: then}, body}
}

func directory(name string) member {
	return member{tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: then}, ""}
}

func symlink(name, target string) member {
	return member{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: then}, ""}
}

func hardlink(name, target string) member {
	return member{tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644, ModTime: then}, ""}
}

func special(kind byte, name string) member {
	return member{tar.Header{Typeflag: kind, Name: name, Mode: 0o644, ModTime: then}, ""}
}

func (m member) with(change func(*tar.Header)) member {
	change(&m.h)
	return m
}

// tarOf is a tar that ends with its two blocks of zeros and no padding.
func tarOf(t testing.TB, members ...member) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, m := range members {
		must(t, w.WriteHeader(&m.h))
		_, err := io.WriteString(w, m.body)
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}

// zipOf is the same as a zip, which has no hard links.
func zipOf(t testing.TB, members ...member) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.h.Name, Method: zip.Deflate, Modified: m.h.ModTime}
		h.SetMode(m.h.FileInfo().Mode())
		out, err := w.CreateHeader(h)
		must(t, err)
		_, err = io.WriteString(out, m.body+m.h.Linkname)
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}

// compressed is a tar in one of the formats.
func compressed(t testing.TB, format string, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	var err error
	switch format {
	case formatTar:
		return data
	case formatGz:
		w = gzip.NewWriter(&buf)
	case formatZst:
		w, err = zstd.NewWriter(&buf)
	case formatXz:
		w, err = xz.NewWriter(&buf)
	case formatBz2:
		w, err = bzip2.NewWriter(&buf, nil)
	default:
		t.Fatalf("no compressor for %s", format)
	}
	must(t, err)
	_, err = w.Write(data)
	must(t, err)
	must(t, w.Close())
	return buf.Bytes()
}

var tarFormats = []string{formatTar, formatGz, formatZst, formatXz, formatBz2}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sumOf is the digest that data has.
func sumOf(algorithm string, data []byte) Digest {
	h := map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}[algorithm]()
	h.Write(data)
	return Digest{Algorithm: algorithm, Hex: hex.EncodeToString(h.Sum(nil))}
}

// unpackHere writes the archive to a file and unpacks that, with its checksum,
// into a directory that has neighbours; they must stay what they are.
func unpackHere(t testing.TB, f *Fetcher, name string, archive []byte) (stage string, stats Stats, err error) {
	t.Helper()
	base := t.TempDir()
	stage = filepath.Join(base, "stage")
	must(t, os.Mkdir(stage, 0o755))
	must(t, os.Mkdir(filepath.Join(base, "outside"), 0o755))
	must(t, os.WriteFile(filepath.Join(base, "outside", "victim"), []byte("untouched"), 0o644))
	path := filepath.Join(base, name)
	must(t, os.WriteFile(path, archive, 0o600))
	around := listing(t, base, "stage")
	f.Sources = map[string]Source{"file": File{}}
	stats, err = f.Unpack(context.Background(), fileURL(path), sumOf("sha256", archive), stage)
	if now := listing(t, base, "stage"); !slices.Equal(now, around) {
		t.Errorf("outside the stage:\n%s\nbefore:\n%s", strings.Join(now, "\n"), strings.Join(around, "\n"))
	}
	return stage, stats, err
}

// listing lists what is below dir, line by line, but for what stands under skip:
// kind, name, and content or target.
func listing(t testing.TB, dir, skip string) []string {
	t.Helper()
	var lines []string
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case name == ".":
		case name == skip:
			return fs.SkipDir
		case d.IsDir():
			lines = append(lines, "d "+name)
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			must(t, err)
			lines = append(lines, "l "+name+" -> "+target)
		default:
			body, err := os.ReadFile(path)
			must(t, err)
			lines = append(lines, "f "+name+" "+brief(string(body)))
		}
		return nil
	}))
	return lines
}

// brief is a content, or what tells it from another.
func brief(body string) string {
	if len(body) <= 64 {
		return body
	}
	return fmt.Sprintf("%d bytes %x", len(body), sha256.Sum256([]byte(body)))
}

func entriesOf(t testing.TB, dir string) []string { return listing(t, dir, "") }

// noise is content that does not compress, always the same.
func noise(n int) string { return allNoise()[:n] }

var allNoise = sync.OnceValue(func() string {
	b := make([]byte, 4<<20)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 32)
	}
	return string(b)
})

// relabel makes the first entry of a tar GNU tar's volume label.
func relabel(archive []byte) []byte {
	archive = bytes.Clone(archive)
	archive[156] = gnuLabel
	return checksummed(archive)
}

// checksummed sets the checksum of a tar's first header anew.
func checksummed(archive []byte) []byte {
	copy(archive[148:156], "        ")
	sum := 0
	for _, b := range archive[:512] {
		sum += int(b)
	}
	copy(archive[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return archive
}

func fileURL(path string) *url.URL { return &url.URL{Scheme: "file", Path: path} }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// octal is a number as a tar's header has it.
func octal(n int64) string { return fmt.Sprintf("%011o\x00", n) }

// paxRecord is "LENGTH KEY=VALUE\n", where LENGTH counts itself.
func paxRecord(key, value string) string {
	rest := " " + key + "=" + value + "\n"
	n := len(rest) + len(strconv.Itoa(len(rest)))
	if len(strconv.Itoa(n))+len(rest) != n {
		n = len(strconv.Itoa(n)) + len(rest)
	}
	return strconv.Itoa(n) + rest
}
