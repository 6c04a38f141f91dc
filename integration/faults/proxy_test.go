package faults_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between a node and a server.
func proxy(t *testing.T, target string, change func(*httputil.ReverseProxy) http.Handler) *httptest.Server {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u); r.Out.Host = r.In.Host }, // S3 signs its host
		FlushInterval: -1,
		Transport:     &http.Transport{},
		// The node sees what the server did: a connection that ends.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     quiet,
	}
	s := httptest.NewUnstartedServer(change(p))
	s.Config.ErrorLog = quiet
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// store is S3 as one node sees it.
type store struct {
	hold  string      // directory of points
	fail  atomic.Bool // answers 503
	cut   atomic.Bool // ends the answer that is held, once
	asked atomic.Int64
}

func (s *store) serve(p *httputil.ReverseProxy) http.Handler {
	p.ModifyResponse = func(r *http.Response) error {
		if r.Request.Method == http.MethodGet && r.StatusCode < 300 && r.ContentLength > 0 {
			r.Body = &slow{ReadCloser: r.Body, s: s, left: r.ContentLength / 2, gone: r.Request.Context().Done()}
		}
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if s.fail.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
			return
		}
		p.ServeHTTP(w, r)
	})
}

// slow is an answer that stands at the point fetch in its middle.
type slow struct {
	io.ReadCloser
	s    *store
	left int64
	gone <-chan struct{}
}

var errCut = errors.New("cut")

func (b *slow) Read(p []byte) (int, error) {
	if b.left <= 0 {
		standHere(b.s.hold, "fetch", b.gone)
		if b.s.fail.Load() || b.s.cut.CompareAndSwap(true, false) {
			return 0, errCut
		}
		return b.ReadCloser.Read(p)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// standHere is hold.At for this process.
func standHere(dir, point string, gone <-chan struct{}) {
	hold := filepath.Join(dir, point+".hold")
	for first := true; exists(hold); first = false {
		if first {
			held := filepath.Join(dir, point+".held") // whole, or not there
			_ = os.WriteFile(held+".new", []byte("0"), 0o600)
			_ = os.Rename(held+".new", held)
		}
		select {
		case <-gone:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// ledger is Consul as one node sees it; it counts the final results that the
// node wrote.
type ledger struct {
	mu     sync.Mutex
	finals map[string][]string // key → what was written there, in order
}

func (l *ledger) serve(p *httputil.ReverseProxy) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/txn" {
			p.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		answer := &status{ResponseWriter: w}
		p.ServeHTTP(answer, r)
		if answer.code == http.StatusOK {
			l.note(body)
		}
	})
}

type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }
