package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"
)

// request opens a range at src. Neither the answer nor any of its bytes may
// keep us waiting for longer than f.Stall: a server that accepts and is then
// silent would hold the run until its own timeout. Waiting for who reads the
// body does not count.
func (f *Fetcher) request(ctx context.Context, src Source, u *url.URL, offset, length int64, ifMatch string) (io.ReadCloser, Info, error) {
	patience := f.Stall
	if patience <= 0 {
		patience = defaultStall
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stalled := &stallError{patience}
	timer := time.AfterFunc(patience, func() { cancel(stalled) })
	body, info, err := src.Open(ctx, u, offset, length, ifMatch)
	timer.Stop()
	if err == nil {
		return &patient{ctx: ctx, cancel: cancel, body: body, timer: timer, patience: patience, stalled: stalled}, info, nil
	}
	if errors.Is(context.Cause(ctx), stalled) {
		err = &SourceError{URL: Redact(u), Err: stalled, Wait: true}
	}
	cancel(nil)
	return nil, Info{}, err
}

// stallError is a server that keeps silent.
type stallError struct{ patience time.Duration }

func (e *stallError) Error() string { return fmt.Sprintf("nothing came for %s", e.patience) }

// Timeout makes it one of the network's.
func (e *stallError) Timeout() bool { return true }

// patient is a body that may be silent for so long and no longer.
type patient struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	body     io.ReadCloser
	timer    *time.Timer
	patience time.Duration
	stalled  *stallError
	once     sync.Once
	closed   error
}

func (p *patient) Read(b []byte) (int, error) {
	p.timer.Reset(p.patience)
	n, err := p.body.Read(b)
	p.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(p.ctx), p.stalled) {
		err = p.stalled
	}
	return n, err
}

// Close ends a Read that waits, too.
func (p *patient) Close() error {
	p.once.Do(func() {
		p.cancel(context.Canceled)
		p.timer.Stop()
		p.closed = p.body.Close()
	})
	return p.closed
}
