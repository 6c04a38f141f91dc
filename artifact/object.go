package artifact

import (
	"context"
	"errors"
	"io"
	"net/url"
	"sync"
	"time"
)

// object is one open object on its way here.
type object struct {
	f    *Fetcher
	url  *url.URL
	src  Source
	info Info
	body io.ReadCloser // of the first part, or of the whole where there are no ranges
	part int64
	bufs *buffers

	fetched int64 // bytes that were emitted
}

// open asks for the first part: the answer tells the size, and whether the
// rest can be had in parts too. Where inOne says so it asks for the whole.
func (f *Fetcher) open(ctx context.Context, u *url.URL, inOne bool) (*object, error) {
	src, err := f.source(u)
	if err != nil {
		return nil, err
	}
	o := &object{f: f, url: u, src: src, part: f.Part}
	if o.part <= 0 {
		o.part = defaultPart
	}
	o.bufs = newBuffers(o.part, 2*o.workers())
	first := o.part
	if inOne {
		first = -1
	}
	err = f.retry(ctx, "open "+Redact(u), func() error {
		o.body, o.info, err = f.request(ctx, src, u, 0, first, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	if inOne {
		o.info.Ranges = false
	}
	if o.info.Ranges && o.info.ETag == "" && o.info.Size > o.part {
		// Without a tag, two ranges could be of two objects: read it as one.
		_ = o.body.Close()
		err = f.retry(ctx, "open "+Redact(u), func() error {
			o.body, o.info, err = f.request(ctx, src, u, 0, -1, "")
			return err
		})
		o.info.Ranges = false
	}
	return o, err
}

// feed emits the object's bytes in their order.
func (o *object) feed(ctx context.Context, emit func(*chunk) error) error {
	pace := pacer{bytesPerSecond: o.f.Bandwidth, began: time.Now()}
	out := func(c *chunk) error {
		o.fetched += int64(len(c.bytes))
		if o.f.OnProgress != nil {
			o.f.OnProgress(o.fetched, o.info.Size)
		}
		if err := pace.wait(ctx, o.fetched); err != nil {
			return err
		}
		return emit(c)
	}
	if o.info.Ranges {
		return o.feedParts(ctx, out)
	}
	return o.feedWhole(ctx, out)
}

// feedWhole reads one body to its end. A body that breaks off can't be
// resumed: it is an error that makes the caller begin anew.
func (o *object) feedWhole(ctx context.Context, emit func(*chunk) error) error {
	defer func() { _ = o.body.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = o.body.Close() })
	defer stop()
	var read int64
	for {
		c := o.newChunk()
		n, err := fill(o.body, c.bytes[:min(len(c.bytes), 256<<10)])
		read += int64(n)
		c.bytes = c.bytes[:n]
		if n > 0 {
			if err := emit(c); err != nil {
				return err
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
		case errors.Is(err, io.EOF):
			if o.info.Size >= 0 && read != o.info.Size {
				return &SourceError{URL: Redact(o.url), Err: io.ErrUnexpectedEOF, Wait: true}
			}
			return nil
		default:
			return &SourceError{URL: Redact(o.url), Err: err, Wait: true}
		}
	}
}

// fill reads until p is full or r ends; the error is r's own. (io.ReadFull
// would give a body that ends the name of one that breaks off.)
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var got int
		got, err = r.Read(p[n:])
		n += got
	}
	if n == len(p) && errors.Is(err, io.EOF) {
		err = nil // it will be said again
	}
	return n, err
}

// feedParts reads parts side by side and emits them in their order. What waits
// for its turn is bounded by the number of workers.
func (o *object) feedParts(ctx context.Context, emit func(*chunk) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	type part struct {
		c   *chunk
		err error
	}
	order := make(chan chan part, o.workers()-1)
	wg.Go(func() {
		defer close(order)
		body := o.body
		for offset := int64(0); offset < o.info.Size; offset += o.part {
			turn, first := make(chan part, 1), body
			body = nil
			select {
			case order <- turn:
			case <-ctx.Done():
				if first != nil {
					_ = first.Close()
				}
				return
			}
			wg.Go(func() {
				c, err := o.fetchPart(ctx, offset, min(o.part, o.info.Size-offset), first)
				turn <- part{c, err}
			})
		}
		if body != nil {
			_ = body.Close()
		}
	})
	for turn := range order {
		p := <-turn
		if p.err != nil {
			return p.err
		}
		if err := emit(p.c); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// workers is how many parts are read at a time.
func (o *object) workers() int {
	if o.f.Workers > 0 {
		return o.f.Workers
	}
	return defaultWorkers
}

// fetchPart reads one part whole; where its body breaks off it goes on from
// there, as long as the object is still the same.
func (o *object) fetchPart(ctx context.Context, offset, length int64, body io.ReadCloser) (*chunk, error) {
	c := o.newChunk()
	c.bytes = c.bytes[:length]
	var got int64
	try := func() (err error) {
		b := body
		body = nil
		if b == nil {
			if o.info.ETag == "" {
				got = 0 // the one part of a small object: what it began with may be gone
			}
			if b, err = o.reopen(ctx, offset+got, length-got); err != nil {
				return err
			}
		}
		defer func() { _ = b.Close() }()
		n, err := io.ReadFull(b, c.bytes[got:])
		got += int64(n)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return &SourceError{URL: Redact(o.url), Err: err, Wait: true}
		}
		return nil
	}
	// Tries are counted from the last good piece: a connection that breaks
	// often is slow, not dead.
	var err error
	for good := int64(0); ; good = got {
		err = o.f.retry(ctx, "fetch "+Redact(o.url), try)
		if err == nil || !transient(err) || got-good < length/16+1 {
			break
		}
	}
	var se *SourceError
	switch {
	case !errors.As(err, &se):
		return c, err
	case se.Changed, errors.Is(se, ErrNoRanges):
		again := *se
		again.Wait = true // begin anew, with what stands there now or in one stream
		return nil, &again
	}
	return nil, &settledError{err}
}

// reopen asks for a further range of the object that reading began with.
// Servers exist that pass over If-Match, so the answer is looked at too.
func (o *object) reopen(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	body, info, err := o.f.request(ctx, o.src, o.url, offset, length, o.info.ETag)
	if err != nil {
		return nil, err
	}
	if info.ETag != o.info.ETag || info.Size != o.info.Size {
		_ = body.Close()
		return nil, &SourceError{URL: Redact(o.url), Err: errChanged, Changed: true}
	}
	return body, nil
}

var errChanged = errors.New("changed while it was read")
