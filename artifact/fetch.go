package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

// Fetcher reads objects through its sources, and unpacks archives while they
// arrive.
type Fetcher struct {
	Sources    map[string]Source // by URL scheme
	Limits     Limits
	Workers    int           // requests for ranges of one object at a time; 0: 4
	Part       int64         // bytes of a range; 0: 1 MiB
	Retries    uint          // of each step, with the first try; 0: 5
	Wait       time.Duration // before the first retry, doubled by each; 0: 500 ms
	Stall      time.Duration // how long an answer or its next bytes may keep us waiting; 0: 1 minute
	Bandwidth  int64         // bytes/s; 0: no limit
	OnProgress Progress      // may be nil
	Log        zerolog.Logger
}

const (
	defaultWorkers = 4
	defaultPart    = 1 << 20
	defaultRetries = 5
	defaultWait    = 500 * time.Millisecond
	mostWait       = 15 * time.Second
	defaultStall   = time.Minute
)

func (f *Fetcher) source(u *url.URL) (Source, error) {
	s, ok := f.Sources[u.Scheme]
	if !ok {
		return nil, &SourceError{URL: Redact(u), Err: fmt.Errorf("scheme %q is not read; s3, gs, http, https and file are", u.Scheme)}
	}
	return s, nil
}

// retry calls try until it succeeds, fails for good, or the tries are used up.
func (f *Fetcher) retry(ctx context.Context, what string, try func() error) error {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = f.Wait, mostWait
	if f.Wait == 0 {
		b.InitialInterval = defaultWait
	}
	tries := f.Retries
	if tries == 0 {
		tries = defaultRetries
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := try()
		if err == nil || transient(err) && ctx.Err() == nil {
			return struct{}{}, err
		}
		return struct{}{}, backoff.Permanent(err)
	}, backoff.WithBackOff(b), backoff.WithMaxTries(tries), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		f.Log.Warn().Err(err).Stringer("again_in", wait.Round(time.Millisecond)).Msg(what + ": trying again")
	}))
	var permanent *backoff.PermanentError
	if errors.As(err, &permanent) {
		err = permanent.Unwrap()
	}
	return err
}

// Read returns a small object whole: a manifest. An empty one, or one of more
// than most bytes, is an error.
func (f *Fetcher) Read(ctx context.Context, u *url.URL, most int64) (data []byte, info Info, err error) {
	src, err := f.source(u)
	if err != nil {
		return nil, Info{}, err
	}
	err = f.retry(ctx, "read "+Redact(u), func() error {
		var body io.ReadCloser
		if body, info, err = f.request(ctx, src, u, 0, -1, ""); err != nil {
			return err
		}
		defer func() { _ = body.Close() }()
		data, err = io.ReadAll(io.LimitReader(body, most+1))
		if err == nil && info.Size > int64(len(data)) && int64(len(data)) <= most {
			err = io.ErrUnexpectedEOF
		}
		if end := Ended(ctx, u); err != nil && end != nil {
			return end
		}
		if err != nil {
			return &SourceError{URL: Redact(u), Err: err, Wait: NetworkTransient(err)}
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, Info{}, err
	case len(data) == 0:
		return nil, Info{}, &SourceError{URL: Redact(u), Err: errors.New("it is empty")}
	case int64(len(data)) > most:
		return nil, Info{}, &SourceError{URL: Redact(u), Err: fmt.Errorf("it is larger than %d bytes", most)}
	}
	return data, info, nil
}

// Spool writes the archive to path, proven. On an error nothing is left there.
func (f *Fetcher) Spool(ctx context.Context, u *url.URL, sum Digest, path string) error {
	return f.whole(ctx, u, func(ctx context.Context, o *object) (err error) {
		out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer func() {
			if e := out.Close(); err == nil {
				err = e
			}
			if err != nil {
				_ = os.Remove(path)
			}
		}()
		return f.verify(ctx, o, sum, func(_ context.Context, r *chunkReader) error {
			_, err := io.Copy(out, r)
			return err
		})
	})
}

// whole opens u and lets take read it from the beginning; again where its
// bytes broke off and could not be resumed; in one stream where a server that
// gave a range gives no more.
func (f *Fetcher) whole(ctx context.Context, u *url.URL, take func(context.Context, *object) error) error {
	inOne := false
	err := f.retry(ctx, "fetch "+Redact(u), func() error {
		o, err := f.open(ctx, u, inOne)
		if err != nil {
			return &settledError{err} // opening was retried already
		}
		defer func() { _ = o.body.Close() }() // where take did not come to it
		err = take(ctx, o)
		inOne = inOne || errors.Is(err, ErrNoRanges)
		return err
	})
	var settled *settledError
	if errors.As(err, &settled) {
		err = settled.error // whose fault it is, the caller must still see
	}
	return err
}

// settledError hides that an error is transient: the step that met it has
// tried often enough. errors.As still finds the cause.
type settledError struct{ error }

func (e *settledError) Unwrap() error   { return e.error }
func (e *settledError) Transient() bool { return false }

// verify lets take read the object's bytes while they are hashed on the side,
// and reads on to their end. Bytes that are not the promised ones are an error
// before anything that take says of them, but the disk's errors.
func (f *Fetcher) verify(ctx context.Context, o *object, sum Digest, take func(context.Context, *chunkReader) error) error {
	h, err := sum.new()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	hashing, taking := make(chan *chunk, 1), make(chan *chunk, 1)
	g.Go(func() error {
		defer close(hashing)
		defer close(taking)
		return o.feed(ctx, func(c *chunk) error {
			c.share(2)
			for _, to := range []chan<- *chunk{hashing, taking} {
				select {
				case to <- c:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	})
	g.Go(func() error {
		for c := range hashing {
			_, _ = h.Write(c.bytes)
			c.done()
		}
		return nil
	})
	var taken error
	g.Go(func() error {
		r := &chunkReader{ctx: ctx, in: taking}
		defer r.close()
		taken = take(ctx, r)
		var format *FormatError
		var entry *EntryError
		if taken != nil && !errors.As(taken, &format) && !errors.As(taken, &entry) || isDisk(taken) {
			return taken
		}
		return r.drain()
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if err := sum.check(h, Redact(o.url)); err != nil {
		return err
	}
	return taken
}
