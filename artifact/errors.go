package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// Redact is u for people: without userinfo, query and fragment, which may
// hold secrets.
func Redact(u *url.URL) string {
	if u == nil {
		return ""
	}
	if u.Opaque != "" {
		return u.Scheme + ":…" // the rest is not told apart
	}
	c := *u
	c.User, c.RawQuery, c.ForceQuery, c.Fragment, c.RawFragment = nil, "", false, "", ""
	return c.String()
}

// SourceError is an object that could not be read or written.
type SourceError struct {
	URL    string // redacted
	Status int    // HTTP status; 0: none
	Code   string // S3's word for it, such as NoSuchKey; "": none
	Err    error
	Wait   bool // the world's fault
	// Changed says that the object is not the one that reading began with.
	Changed bool
}

func (e *SourceError) Error() string { return e.URL + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *SourceError) Unwrap() error { return e.Err }

// ErrNoRanges is an answer with the whole, where a range from the middle was
// asked for: some server of a pool does not know them.
var ErrNoRanges = errors.New("the server does not know ranges any more")

// Transient says whether trying again can help.
func (e *SourceError) Transient() bool { return e.Wait }

// StatusTransient says whether an HTTP status tells of the world's fault.
func StatusTransient(status int) bool {
	return status >= 500 && status != http.StatusNotImplemented ||
		status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// NetworkTransient says whether err is one of connections and names, and not
// of what was asked. Certificates that don't hold are not.
func NetworkTransient(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return true
	}
	var op *net.OpError
	var timeout interface{ Timeout() bool }
	return errors.As(err, &op) || errors.As(err, &timeout) && timeout.Timeout() ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "server closed idle connection") ||
		strings.Contains(err.Error(), "http2: ")
}

func transient(err error) bool {
	var t interface{ Transient() bool }
	return errors.As(err, &t) && t.Transient()
}

// Ended is why ctx ended what was done with u; nil while ctx lives. net/http
// gives the context's cause in the place of what the network did, and a time
// that is over is the world's fault, whatever the cause says of itself.
func Ended(ctx context.Context, u *url.URL) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return &SourceError{URL: Redact(u), Err: context.Cause(ctx), Wait: true}
	}
	return context.Cause(ctx)
}

// FormatError is an archive that is broken, or of a kind that is not read.
type FormatError struct {
	What string
	Err  error // nil: What says it all
}

func (e *FormatError) Error() string {
	if e.Err == nil {
		return e.What
	}
	return e.What + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// EntryError is an entry of an archive that was refused or could not be
// written; errors.Is finds the disk's error in it.
type EntryError struct {
	Name string
	Err  error
}

func (e *EntryError) Error() string { return fmt.Sprintf("unpack %q: %v", e.Name, e.Err) }

// Unwrap returns the cause.
func (e *EntryError) Unwrap() error { return e.Err }

func refuse(name, format string, args ...any) error {
	return &EntryError{Name: name, Err: fmt.Errorf(format, args...)}
}

// isDisk says whether err is the disk's: what is read on would not help.
func isDisk(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EROFS, syscall.EIO, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
