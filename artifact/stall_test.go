package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// silences are servers that accept and then keep silent, each in its own way.
// The content is sent with the length of a larger one.
var silences = map[string]http.HandlerFunc{
	"before the answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"before the first byte": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	},
	"in mid-body": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(make([]byte, 100_000))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	},
	"in the middle of a range": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		var from int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-999999/1000000", from))
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(make([]byte, 10_000)) // too little for new tries
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	},
}

// ways are the calls that fetch.
var ways = map[string]func(context.Context, *Fetcher, *url.URL, string) error{
	"unpack": func(ctx context.Context, f *Fetcher, u *url.URL, dir string) error {
		_, err := f.Unpack(ctx, u, sumOf("md5", []byte("promised")), dir)
		return err
	},
	"spool": func(ctx context.Context, f *Fetcher, u *url.URL, dir string) error {
		return f.Spool(ctx, u, sumOf("md5", []byte("promised")), dir+"/spool")
	},
	"read": func(ctx context.Context, f *Fetcher, u *url.URL, _ string) error {
		_, _, err := f.Read(ctx, u, 1<<20)
		return err
	},
}

// TestStalledServers: a server that keeps silent is given up, tried again,
// and is the world's fault. Nothing is left running or lying about.
func TestStalledServers(t *testing.T) {
	for silence, handler := range silences {
		for way, fetch := range ways {
			t.Run(way+" "+silence, func(t *testing.T) {
				leaks := goroutines(t)
				server := httptest.NewServer(handler)
				defer server.Close()
				u, err := url.Parse(server.URL + "/x?token=s3cret")
				must(t, err)
				f := webFetcher(t)
				f.Stall, f.Retries = 50*time.Millisecond, 2
				stage := t.TempDir()
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				err = fetch(ctx, f, u, stage)
				if ctx.Err() != nil {
					t.Fatal("it hung until the caller's own timeout")
				}
				if err == nil || !transient(err) || !strings.Contains(err.Error(), "nothing came for 50ms") || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("err = %v, want the world's", err)
				}
				if left := entriesOf(t, stage); len(left) > 0 {
					t.Errorf("left: %q", left)
				}
				server.Close()
				f.Sources["http"].(*HTTP).client.CloseIdleConnections()
				leaks()
			})
		}
	}
	t.Run("a server that does not even speak", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer func() { _ = l.Close() }()
		f := webFetcher(t)
		f.Stall, f.Retries = 50*time.Millisecond, 2
		u := &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/x"}
		if _, _, err := f.Read(t.Context(), u, 9); err == nil || !transient(err) {
			t.Errorf("err = %v", err)
		}
	})
}

// errOver is a cause that says nothing of itself, as the end of a run's time.
var errOver = errors.New("the time is over")

// TestDeadline: where a server keeps silent until the time is over, the error
// tells of that, and does not claim that trying again can't help.
func TestDeadline(t *testing.T) {
	check := func(t *testing.T, u *url.URL, f *Fetcher) {
		t.Helper()
		for way, fetch := range ways {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errOver)
			defer cancel()
			stage := t.TempDir()
			err := fetch(ctx, f, u, stage)
			var claim interface{ Transient() bool }
			if !errors.Is(err, errOver) && !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &claim) && !claim.Transient() || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: err = %v, claims %v", way, err, claim)
			}
			if left := entriesOf(t, stage); len(left) > 0 {
				t.Errorf("%s left: %q", way, left)
			}
		}
	}
	for silence, handler := range silences {
		for _, scheme := range []string{"http", "gs"} {
			t.Run(scheme+" "+silence, func(t *testing.T) {
				server := httptest.NewServer(handler)
				defer server.Close()
				u, err := url.Parse(server.URL + "/x?token=s3cret")
				must(t, err)
				f := webFetcher(t)
				if scheme == "gs" {
					t.Setenv("STORAGE_EMULATOR_HOST", server.URL)
					f.Sources["gs"] = NewGS()
					u = &url.URL{Scheme: "gs", Host: "acme", Path: "/x"}
				}
				check(t, u, f)
			})
		}
	}
	for _, scheme := range []string{"http", "https"} {
		t.Run("a "+scheme+" server that does not even speak", func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer func() { _ = l.Close() }()
			check(t, &url.URL{Scheme: scheme, Host: l.Addr().String(), Path: "/x"}, webFetcher(t))
		})
	}
	t.Run("while it waits to try again", func(t *testing.T) {
		o := newOrigin(t, nil)
		o.statuses = []int{503, 503, 503}
		f := webFetcher(t)
		f.Wait = time.Hour
		check(t, o.parsed("/x"), f)
	})
	t.Run("an answer that came is told", func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errOver)
		defer cancel()
		o := newOrigin(t, nil)
		o.statuses = []int{404}
		_, _, err := webFetcher(t).Read(ctx, o.parsed("/x"), 9)
		if err == nil || transient(err) || !strings.Contains(err.Error(), "404") {
			t.Errorf("err = %v", err)
		}
	})
}

// TestSlowIsNotStalled: who reads slowly, and a server that sends a little
// now and then, are no stalls.
func TestSlowIsNotStalled(t *testing.T) {
	archive, stage := tarOf(t, file("a", noise(20_000))), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &Fetcher{Sources: map[string]Source{"http": dripping(archive)}, Log: zerolog.Nop()}
		f.Stall, f.Bandwidth, f.Part, f.Retries = 400*time.Millisecond, 2000, 4000, 1
		began := time.Now()
		_, err := f.Unpack(t.Context(), &url.URL{Scheme: "http", Host: "slow.test", Path: "/x"}, sumOf("md5", archive), stage)
		must(t, err)
		if took := time.Since(began); took < 5*f.Stall {
			t.Errorf("took %v: nothing was slow", took)
		}
	})
}

// dripping is an object of which a twentieth comes every 300 ms.
type dripping []byte

func (d dripping) Open(ctx context.Context, _ *url.URL, _, _ int64, _ string) (io.ReadCloser, Info, error) {
	return &drip{ctx: ctx, rest: d, piece: len(d)/20 + 1}, Info{Size: -1}, nil
}

type drip struct {
	ctx   context.Context //nolint:containedctx // as a response's body has its request's
	rest  []byte
	piece int // bytes
}

func (d *drip) Read(p []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(300 * time.Millisecond):
	}
	n := copy(p[:min(len(p), d.piece)], d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

func (d *drip) Close() error { return nil }

// TestCancel: a cancel ends the download at once, wherever it stands, and
// leaves nothing running.
func TestCancel(t *testing.T) {
	for silence, handler := range silences {
		for way, fetch := range ways {
			t.Run(way+" "+silence, func(t *testing.T) {
				leaks := goroutines(t)
				arrived := make(chan struct{}, 16)
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					arrived <- struct{}{}
					handler(w, r)
				}))
				defer server.Close()
				u, err := url.Parse(server.URL)
				must(t, err)
				f := webFetcher(t)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				stage := t.TempDir()
				go func() { done <- fetch(ctx, f, u, stage) }()
				<-arrived
				began := time.Now()
				cancel()
				err = <-done
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("took %v", took)
				}
				if !errors.Is(err, context.Canceled) || transient(err) {
					t.Errorf("err = %v, want it cancelled", err)
				}
				if left := entriesOf(t, stage); len(left) > 0 {
					t.Errorf("left: %q", left)
				}
				server.Close()
				f.Sources["http"].(*HTTP).client.CloseIdleConnections()
				leaks()
			})
		}
	}
	t.Run("while it waits to try again", func(t *testing.T) {
		o := newOrigin(t, nil)
		o.statuses = []int{503, 503}
		f := webFetcher(t)
		f.Wait = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		f.Log = zerolog.New(writerFunc(func(p []byte) (int, error) {
			cancel() // it tells that it is about to wait
			return len(p), nil
		}))
		if _, _, err := f.Read(ctx, o.parsed("/x"), 9); !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// goroutines returns a check that no more goroutines run than now.
func goroutines(t *testing.T) func() {
	t.Helper()
	before := runtime.NumGoroutine()
	return func() {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				stacks := make([]byte, 64<<10)
				t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
			}
			time.Sleep(time.Millisecond)
		}
	}
}
