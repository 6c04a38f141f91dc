package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"gurney/kv"

	"github.com/hashicorp/consul/api"
)

// ErrUnregistered is in the chain of a Heartbeat that found no check on the
// Consul agent: it was restarted with an empty data directory, or someone
// deregistered the service. Register puts it back.
var ErrUnregistered error = unregistered{}

type unregistered struct{}

func (unregistered) Error() string {
	return "the gurney service is not registered on the Consul agent"
}

// Unregistered lets callers know it without importing this package.
func (unregistered) Unregistered() bool { return true }

// Error is what went wrong with one request.
type Error struct {
	Op     string // what we were doing, with the key or name
	Addr   string // whom we asked
	Status int    // HTTP status, 0 where there was no answer
	kind   error  // one of kv's, or nil
	err    error
}

func (e *Error) Error() string {
	if e.kind != nil {
		return fmt.Sprintf("%s (consul at %s): %v: %v", e.Op, e.Addr, e.kind, e.err)
	}
	return fmt.Sprintf("%s (consul at %s): %v", e.Op, e.Addr, e.err)
}

// Unwrap gives the kind (kv.ErrConflict, kv.ErrUnreachable, kv.ErrForbidden)
// and the cause.
func (e *Error) Unwrap() []error {
	if e.kind == nil {
		return []error{e.err}
	}
	return []error{e.kind, e.err}
}

// Transient says whether the same call can succeed later without anybody
// changing it: Consul was out of reach, had no leader, or was limiting rates.
// A conflict is not transient: what was read has to be read again.
func (e *Error) Transient() bool { return errors.Is(e.kind, kv.ErrUnreachable) }

// wrap says what we were doing when the library returned err. A context that
// ended is the caller's doing and no fault of Consul's, unless it was a
// deadline: then Consul did not answer in time.
func (c *Client) wrap(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, Addr: c.addr, err: err}
	if cause := ctx.Err(); errors.Is(cause, context.Canceled) {
		return fmt.Errorf("%s: %w", op, cause)
	}
	var se api.StatusError
	if !errors.As(err, &se) {
		// No answer at all: refused, reset, timed out, cut in the middle.
		e.kind = kv.ErrUnreachable
		var ue *url.Error
		if errors.As(err, &ue) {
			e.err = ue.Err // the rest repeats what and whom we asked
		}
		return e
	}
	e.Status = se.Code
	e.err = fmt.Errorf("%d %s", se.Code, firstLine(se.Body))
	e.kind = kindOf(se)
	return e
}

// kindOf sorts Consul's answers. The texts are those of its HTTP API: many
// server-side failures arrive as a plain 500 that only the body tells apart.
func kindOf(se api.StatusError) error {
	switch {
	case se.Code == http.StatusForbidden, se.Code == http.StatusUnauthorized,
		strings.Contains(se.Body, "Permission denied"), strings.Contains(se.Body, "ACL not found"):
		return kv.ErrForbidden
	case se.Code == http.StatusConflict:
		return kv.ErrConflict
	case se.Code == http.StatusTooManyRequests, se.Code >= 500 && !permanent(se.Body):
		return kv.ErrUnreachable
	}
	return nil
}

// permanent knows the 500s that are answers about the request itself.
func permanent(body string) bool {
	for _, s := range []string{"invalid session", "Invalid node filter", "Invalid service filter", "Invalid tag filter", "Cannot provide tag filter"} {
		if strings.Contains(body, s) {
			return true
		}
	}
	return false
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	const most = 300
	if len(s) > most {
		s = s[:most] + "…"
	}
	return s
}
