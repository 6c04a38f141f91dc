package artifact

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// unzip spools the zip, for its directory stands at its end, and unpacks that.
func unzip(ctx context.Context, r io.Reader, t *tree, path string) error {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	_ = os.Remove(path) // nothing can be left over
	defer func() { _ = out.Close() }()
	most := t.limits.inflated()
	size, err := io.Copy(out, io.LimitReader(r, most+1))
	if err != nil {
		return err
	}
	if size > most {
		return &FormatError{What: fmt.Sprintf("the zip is longer than %d bytes, more than the limits of its entries allow", most)}
	}
	end, err := zipEnds(out, size)
	if err != nil {
		return err
	}
	if err := zipBegins(out, end); err != nil {
		return err
	}
	return extractZip(ctx, out, t)
}

// The signatures and the fixed lengths of a zip's parts (APPNOTE 4.3.7 to
// 4.3.16).
const (
	zipEndLength       = 22
	zipLocatorLength   = 20
	zip64EndLength     = 56
	zipDirectoryLength = 46
	unknown32          = 1<<32 - 1 // the zip64 record, or extra field, has it
)

// zipEnds checks that the end of the zip's directory is the end of the file:
// readers of zips look for it backwards and pass over what follows. It returns
// where the record of the end stands.
func zipEnds(f io.ReaderAt, size int64) (at int64, err error) {
	const longest = zipEndLength + 1<<16 - 1
	tail := make([]byte, min(size, longest))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return 0, err
	}
	end := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if end < 0 || len(tail)-end < zipEndLength {
		return 0, &FormatError{What: "the zip is truncated, or other bytes follow it: it does not end with its directory"}
	}
	comment := int(binary.LittleEndian.Uint16(tail[end+zipEndLength-2:]))
	switch rest := len(tail) - end - zipEndLength; {
	case rest > comment:
		return 0, &FormatError{What: "bytes follow the end of the zip"}
	case rest < comment:
		return 0, &FormatError{What: "the zip is truncated: its comment is cut"}
	}
	return size - int64(len(tail)-end), nil
}

// zipBegins checks that the zip whose record of the end stands at end begins
// where the file does: readers take its directory's word for where, so that of
// two zips one after the other the first would be passed over.
func zipBegins(f io.ReaderAt, end int64) error {
	var record [zipEndLength]byte
	if _, err := f.ReadAt(record[:], end); err != nil {
		return err
	}
	size, start := uint64(binary.LittleEndian.Uint32(record[12:])), uint64(binary.LittleEndian.Uint32(record[16:]))
	var locator [zipLocatorLength]byte
	if _, err := f.ReadAt(locator[:], max(end-zipLocatorLength, 0)); err == nil && end >= zipLocatorLength && bytes.HasPrefix(locator[:], []byte("PK\x06\x07")) {
		at := binary.LittleEndian.Uint64(locator[8:])
		if at > uint64(end) {
			return &FormatError{What: "the zip's directory is said to stand behind its end"}
		}
		end = int64(at)
		var large [zip64EndLength]byte
		if _, err := f.ReadAt(large[:], max(end, 0)); err != nil || !bytes.HasPrefix(large[:], []byte("PK\x06\x06")) {
			return errZipBegins
		}
		size, start = binary.LittleEndian.Uint64(large[40:]), binary.LittleEndian.Uint64(large[48:])
	}
	if size == 0 && end == 0 {
		return nil // an empty zip
	}
	if start > uint64(end) || size != uint64(end)-start {
		return errZipBegins
	}
	// Whichever entry stands first, it stands at 0.
	dir := bufio.NewReaderSize(io.NewSectionReader(f, int64(start), int64(size)), 64<<10)
	for {
		var h [zipDirectoryLength]byte
		if _, err := io.ReadFull(dir, h[:]); err != nil {
			return errZipBegins
		}
		rest := make([]byte, int(binary.LittleEndian.Uint16(h[28:]))+int(binary.LittleEndian.Uint16(h[30:]))+int(binary.LittleEndian.Uint16(h[32:])))
		if _, err := io.ReadFull(dir, rest); err != nil || !bytes.HasPrefix(h[:], []byte("PK\x01\x02")) {
			return errZipBegins
		}
		name, extra := int(binary.LittleEndian.Uint16(h[28:])), int(binary.LittleEndian.Uint16(h[30:]))
		if zipOffset(h[:], rest[name:name+extra]) == 0 {
			return nil
		}
	}
}

var errZipBegins = &FormatError{What: "other bytes stand before the zip, or it is two: its directory does not begin with the file"}

// zipOffset is where an entry of the directory stands. (APPNOTE 4.5.3: what
// did not fit into the header stands in the extra field, in the header's order.)
func zipOffset(h, extra []byte) uint64 {
	offset := uint64(binary.LittleEndian.Uint32(h[42:]))
	if offset != unknown32 {
		return offset
	}
	for len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		extra = extra[4:]
		if n > len(extra) {
			break
		}
		if id == 1 {
			at := 0
			for _, field := range []int{24, 20} { // the sizes
				if binary.LittleEndian.Uint32(h[field:]) == unknown32 {
					at += 8
				}
			}
			if at+8 <= n {
				return binary.LittleEndian.Uint64(extra[at:])
			}
		}
		extra = extra[n:]
	}
	return offset
}
