package artifact

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// chunk is a piece of an object that several readers share.
type chunk struct {
	bytes  []byte
	bufs   *buffers
	shared atomic.Int32
}

func (o *object) newChunk() *chunk {
	c := &chunk{bytes: o.bufs.get(), bufs: o.bufs}
	c.shared.Store(1)
	return c
}

func (c *chunk) share(n int32) { c.shared.Store(n) }

// done gives the buffer back when the last reader is through with it.
func (c *chunk) done() {
	if c.shared.Add(-1) == 0 {
		c.bufs.put(c.bytes)
	}
}

// chunkReader reads chunks as one stream.
type chunkReader struct {
	ctx context.Context
	in  <-chan *chunk
	cur *chunk
	off int
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for r.cur == nil || r.off == len(r.cur.bytes) {
		r.next(nil)
		select {
		case c, ok := <-r.in:
			if !ok {
				if err := r.ctx.Err(); err != nil {
					return 0, err // what is missing is not the end
				}
				return 0, io.EOF
			}
			r.next(c)
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
	n := copy(p, r.cur.bytes[r.off:])
	r.off += n
	return n, nil
}

func (r *chunkReader) next(c *chunk) {
	if r.cur != nil {
		r.cur.done()
	}
	r.cur, r.off = c, 0
}

func (r *chunkReader) drain() error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func (r *chunkReader) close() { r.next(nil) }

// pacer keeps to a bandwidth.
type pacer struct {
	bytesPerSecond int64
	began          time.Time
}

func (p pacer) wait(ctx context.Context, done int64) error {
	if p.bytesPerSecond <= 0 {
		return nil
	}
	due := time.Duration(float64(done) / float64(p.bytesPerSecond) * float64(time.Second))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(due - time.Since(p.began)):
		return nil
	}
}
