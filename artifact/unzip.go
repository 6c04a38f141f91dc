package artifact

import (
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
	if err := zipEnds(out, size); err != nil {
		return err
	}
	return extractZip(ctx, out, t)
}

// zipEnds checks that the end of the zip's directory is the end of the file:
// readers of zips look for it backwards and pass over what follows. (APPNOTE
// 4.3.16: signature, 16 bytes, the length of the comment, the comment.)
func zipEnds(f io.ReaderAt, size int64) error {
	const record, longest = 22, 22 + 1<<16 - 1
	tail := make([]byte, min(size, longest))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return err
	}
	at := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if at < 0 || len(tail)-at < record {
		return &FormatError{What: "the zip is truncated, or other bytes follow it: it does not end with its directory"}
	}
	comment := int(binary.LittleEndian.Uint16(tail[at+record-2:]))
	switch rest := len(tail) - at - record; {
	case rest > comment:
		return &FormatError{What: "bytes follow the end of the zip"}
	case rest < comment:
		return &FormatError{What: "the zip is truncated: its comment is cut"}
	}
	return nil
}
