// Package artifact is BYTES → TREE: it fetches an archive, proves its
// checksum, unpacks it aside, and packs a tree into an archive that has the
// same bytes every time. It is the only importer of mholt/archiver/v4.
package artifact

import (
	"context"
	"io"
	"net/url"
)

// Source reads objects of one URL scheme. artifact/s3, and this package for
// http, gs and file, implement it.
type Source interface {
	// Open reads the object from offset on; length < 0 reads to its end.
	// ifMatch, where not empty, is the ETag that the object must still have.
	Open(ctx context.Context, u *url.URL, offset, length int64, ifMatch string) (io.ReadCloser, Info, error)
}

// Info is what an answer said about its object.
type Info struct {
	Size   int64  // of the whole object in bytes; -1 when unknown
	ETag   string // "" when unknown: then no range is joined to another
	Ranges bool   // ranges of it can be asked for
	URL    string // where it was in the end read, after redirects
}

// Sink writes objects of one URL scheme.
type Sink interface {
	Put(ctx context.Context, u *url.URL, body io.Reader, contentType string) error
}

// Limits bound what an archive may unpack to.
type Limits struct {
	Files int64 // entries of any kind; 0: 1,000,000
	Bytes int64 // of file content; 0: 20 GiB
}

// Progress is called with the archive bytes read so far and the whole size
// (-1 when unknown); from any goroutine, often. It must be quick.
type Progress func(done, total int64)
