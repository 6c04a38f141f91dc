package artifact

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// sniffed is how many bytes tell a format: a tar's magic ends at 262.
const sniffed = 512

// maxWindow bounds the memory that a zstd or xz stream may ask for, in bytes.
const maxWindow = 128 << 20

// Formats that are read, as names in errors and logs.
const (
	formatTar = "tar"
	formatGz  = "tar.gz"
	formatZst = "tar.zst"
	formatXz  = "tar.xz"
	formatBz2 = "tar.bz2"
	formatZip = "zip"
)

// sniff tells the format by the first bytes, never by a name.
func sniff(head []byte) (string, error) {
	switch {
	case len(head) == 0:
		return "", &FormatError{What: "the archive is empty: it has no bytes at all"}
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return formatGz, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) || len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return formatZst, nil
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return formatXz, nil
	case bytes.HasPrefix(head, []byte("BZh")):
		return formatBz2, nil
	case bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return formatZip, nil
	case isTar(head):
		return formatTar, nil
	}
	return "", &FormatError{What: fmt.Sprintf("this is no archive that is read (tar, tar.gz, tar.zst, tar.xz, tar.bz2, zip): it begins with %q", head[:min(len(head), 16)])}
}

// isTar checks the first header's checksum: old tars have no magic. Two
// blocks of zeros are an empty archive.
func isTar(head []byte) bool {
	if len(head) < 512 {
		return false
	}
	block, sum := head[:512], 256 // the checksum's own bytes count as blanks
	for i, b := range block {
		if i < 148 || i >= 156 {
			sum += int(b)
		}
	}
	var want int
	field := bytes.Trim(block[148:156], " \x00")
	if _, err := fmt.Sscanf(string(field), "%o", &want); err != nil {
		return len(bytes.Trim(block, "\x00")) == 0
	}
	return want == sum
}

// inflate undoes the compression. The reader's errors are of type
// *FormatError where the bytes are to blame; close frees what it holds.
func inflate(format string, r io.Reader) (out io.Reader, closer func(), err error) {
	none := func() {}
	switch format {
	case formatTar:
		return r, none, nil
	case formatGz:
		in := bufio.NewReaderSize(r, 64<<10)
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, none, broken(format, err)
		}
		z.Multistream(false)
		return &judged{format, &gzipMembers{z, in}}, none, nil
	case formatZst:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, none, broken(format, err)
		}
		return &judged{format, z}, z.Close, nil
	case formatXz:
		z, err := xz.NewReader(bufio.NewReaderSize(r, 64<<10), maxWindow)
		if err != nil {
			return nil, none, broken(format, err)
		}
		return &judged{format, z}, none, nil
	case formatBz2:
		return &judged{format, bzip2.NewReader(bufio.NewReaderSize(r, 64<<10))}, none, nil
	}
	return nil, none, &FormatError{What: "format " + format + " is not a stream"}
}

// gzipMembers reads one gzip member after the other. The reader of gzip does
// too, but takes whatever follows the last for a further one that is broken.
type gzipMembers struct {
	z  *gzip.Reader
	in *bufio.Reader
}

func (g *gzipMembers) Read(p []byte) (int, error) {
	n, err := g.z.Read(p)
	if n > 0 || !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if n > 0 && errors.Is(err, io.EOF) {
			err = nil // it will be said again
		}
		return n, err
	}
	magic, err := g.in.Peek(2)
	switch {
	case len(magic) == 0:
		return 0, err // io.EOF, or the source's
	case !bytes.Equal(magic, []byte{0x1f, 0x8b}):
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		return 0, errFollow
	}
	if err := g.z.Reset(g.in); err != nil {
		return 0, cut(err)
	}
	g.z.Multistream(false)
	return 0, nil
}

// cut keeps an end in mid-header from being taken for the end.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errFollow = errors.New("bytes follow its end")

// judged tells a broken stream from one whose source failed.
type judged struct {
	format string
	r      io.Reader
}

func (j *judged) Read(p []byte) (int, error) {
	n, err := j.r.Read(p)
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return n, err
	}
	return n, broken(j.format, err)
}

func broken(format string, err error) error {
	// What begins with another magic than sniff saw is no part of the archive.
	if errors.Is(err, errFollow) || errors.Is(err, zstd.ErrMagicMismatch) || errors.Is(err, bzip2.StructuralError("bad magic value in continuation file")) {
		return &FormatError{What: "bytes follow the end of the " + format}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return &FormatError{What: "the " + format + " is truncated", Err: io.ErrUnexpectedEOF}
	}
	return &FormatError{What: "the " + format + " is broken", Err: err}
}

// ahead runs read in a goroutine of its own, a few blocks ahead of whoever
// reads: inflating and writing overlap.
func ahead(read io.Reader) (r io.Reader, stop func()) {
	a := &aheadReader{blocks: make(chan block, aheadBlocks), free: make(chan []byte, aheadBlocks+2), quit: make(chan struct{}), gone: make(chan struct{})}
	for range cap(a.free) {
		a.free <- make([]byte, aheadSize)
	}
	go a.run(read)
	return a, func() { close(a.quit); <-a.gone }
}

const (
	aheadBlocks = 4
	aheadSize   = 128 << 10 // bytes
)

type block struct {
	data []byte
	err  error
}

type aheadReader struct {
	blocks     chan block
	free       chan []byte
	quit, gone chan struct{}
	cur, rest  []byte
	err        error
}

func (a *aheadReader) run(read io.Reader) {
	defer close(a.gone)
	for {
		var buf []byte
		select {
		case buf = <-a.free:
		case <-a.quit:
			return
		}
		n, err := io.ReadFull(read, buf)
		if errors.Is(err, io.ErrUnexpectedEOF) && !isFormat(err) {
			err = io.EOF
		}
		select {
		case a.blocks <- block{buf[:n], err}:
		case <-a.quit:
			return
		}
		if err != nil {
			return
		}
	}
}

func isFormat(err error) bool {
	var f *FormatError
	return errors.As(err, &f)
}

func (a *aheadReader) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		if a.cur != nil {
			a.free <- a.cur[:cap(a.cur)]
			a.cur = nil
		}
		b := <-a.blocks
		a.cur, a.rest, a.err = b.data, b.data, b.err
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}
