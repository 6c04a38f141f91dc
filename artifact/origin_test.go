package artifact

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// origin is a web server with one object, and with the faults of others.
type origin struct {
	*httptest.Server
	t testing.TB

	mu       sync.Mutex
	content  []byte
	etag     string
	noRanges bool  // answers with the whole, whatever is asked
	noLength bool  // and does not say how much that is
	noMatch  bool  // passes over If-Match
	statuses []int // of the first answers
	cutAfter int   // bytes after which an answer breaks off
	cuts     int   // how many answers do
	onCut    func(*origin)
	before   func(*http.Request) // called with each request, without the lock

	requests []*http.Request
	sent     int
}

func newOrigin(t testing.TB, content []byte) *origin {
	o := &origin{t: t, content: content, etag: `"one"`}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if o.before != nil {
		o.before(r)
	}
	o.mu.Lock()
	o.requests = append(o.requests, r.Clone(r.Context()))
	if len(o.statuses) > 0 {
		status := o.statuses[0]
		o.statuses = o.statuses[1:]
		o.mu.Unlock()
		http.Error(w, "no", status)
		return
	}
	out := &counting{ResponseWriter: w, o: o, left: -1}
	if o.cuts > 0 {
		o.cuts--
		out.left = o.cutAfter
	}
	content, etag, noRanges, noLength, noMatch := o.content, o.etag, o.noRanges, o.noLength, o.noMatch
	o.mu.Unlock()
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	if noMatch {
		r.Header.Del("If-Match")
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	switch {
	case noLength:
		w.WriteHeader(http.StatusOK)
		for piece := range slices.Chunk(content, 16<<10) {
			_, _ = out.Write(piece)
			_ = http.NewResponseController(w).Flush()
		}
	case noRanges:
		w.Header().Set("Content-Length", itoa(int64(len(content))))
		_, _ = out.Write(content)
	default:
		http.ServeContent(out, r, "", time.Time{}, bytes.NewReader(content))
	}
}

// counting counts what is sent, and breaks the connection where it is told to.
type counting struct {
	http.ResponseWriter
	o    *origin
	left int // bytes; < 0: no end
}

func (c *counting) Write(p []byte) (int, error) {
	if c.left < 0 || len(p) < c.left {
		n, err := c.ResponseWriter.Write(p)
		c.o.mu.Lock()
		c.o.sent += n
		c.o.mu.Unlock()
		if c.left > 0 {
			c.left -= n
		}
		return n, err
	}
	n, _ := c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	c.o.mu.Lock()
	c.o.sent += n
	if c.o.onCut != nil {
		c.o.onCut(c.o)
	}
	c.o.mu.Unlock()
	panic(http.ErrAbortHandler)
}

func (o *origin) asked() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.requests)
}

// parsed is the URL of the object.
func (o *origin) parsed(path string) *url.URL {
	u, err := url.Parse(o.URL + path)
	must(o.t, err)
	return u
}

// webFetcher tries often and soon.
func webFetcher(t testing.TB) *Fetcher {
	web := NewHTTP(AllowAll(), nil)
	t.Cleanup(web.client.CloseIdleConnections)
	return &Fetcher{Sources: map[string]Source{"http": web, "https": web}, Wait: time.Millisecond, Log: zerolog.Nop()}
}
