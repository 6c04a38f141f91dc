package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// untar inflates in a goroutine of its own and writes what it finds.
func untar(ctx context.Context, format string, r io.Reader, t *tree) error {
	in, closeInflate, err := inflate(format, r)
	if err != nil {
		return err
	}
	defer closeInflate()
	if format != formatTar {
		var stop func()
		in, stop = ahead(in)
		defer stop()
	}
	end := &tarEnd{r: in, most: t.limits.inflated()}
	if err := extractTar(ctx, end, t); err != nil {
		return err
	}
	err = end.check()
	if (format == formatZst || format == formatBz2) && errors.Is(err, io.ErrUnexpectedEOF) {
		// The tar is whole. Too few bytes for a magic, or too few for the end
		// of the stream: their readers tell both alike.
		err = &FormatError{What: "bytes follow the end of the " + format + ", or it is truncated there"}
	}
	return err
}

// inflated is how long a tar may be whose entries keep to the limits: what
// stands between contents (headers, long names, padding) is bounded too, for
// a few bytes can inflate to any number of headers that bring no entry.
func (l Limits) inflated() int64 {
	const (
		perEntry = 4 << 10
		padding  = 1 << 20 // after the end; tar fills up to its record, 10 KiB
	)
	return l.Bytes + l.Files*perEntry + padding
}

// tarEnd watches how a tar ends. The reader of tars takes the end of the file
// for the end of the archive, and leaves what follows the end unread.
type tarEnd struct {
	r    io.Reader
	read int64
	most int64
	dry  bool // the reader of tars was told of the end of the file
}

func (e *tarEnd) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if e.read += int64(n); e.read > e.most {
		return 0, &FormatError{What: fmt.Sprintf("the tar is longer than %d bytes, more than the limits of its entries allow", e.most)}
	}
	if errors.Is(err, io.EOF) {
		if n > 0 {
			return n, nil // who reads two whole blocks of zeros need not learn it
		}
		e.dry = true
	}
	return n, err
}

// check reads to the end of the stream: nothing but zeros may follow. Where
// the two blocks of zeros that end an archive were there, the reader of tars
// stopped at them, and was never told that the file is over.
func (e *tarEnd) check() error {
	if e.dry {
		return &FormatError{What: "the tar is truncated: its end-of-archive blocks are missing"}
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := e.Read(buf)
		if !allZero(buf[:n]) {
			return &FormatError{What: "bytes follow the end of the tar"}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
