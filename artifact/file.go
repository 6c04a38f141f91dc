package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"syscall"
)

// File reads file URLs.
type File struct{}

// Open implements Source.
func (File) Open(_ context.Context, u *url.URL, offset, length int64, ifMatch string) (io.ReadCloser, Info, error) {
	if u.Host != "" && u.Host != "localhost" {
		return nil, Info{}, &SourceError{URL: Redact(u), Err: fmt.Errorf("a file URL has no host; it has three slashes: file:///path")}
	}
	// A pipe without a writer must not hang the open.
	f, err := os.OpenFile(u.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, Info{}, &SourceError{URL: Redact(u), Err: err}
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("not a file")
	}
	if err != nil {
		_ = f.Close()
		return nil, Info{}, &SourceError{URL: Redact(u), Err: err}
	}
	info := Info{Size: st.Size(), ETag: fmt.Sprintf("%d-%d", st.ModTime().UnixNano(), st.Size()), Ranges: true, URL: Redact(u)}
	if ifMatch != "" && ifMatch != info.ETag {
		_ = f.Close()
		return nil, Info{}, &SourceError{URL: Redact(u), Err: errChanged, Changed: true}
	}
	if length < 0 {
		length = max(0, st.Size()-offset)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, offset, length), f}, info, nil
}
