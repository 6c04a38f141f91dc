package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"gurney/artifact"
)

// server is gofakes3 with a fault before it.
type server struct {
	*httptest.Server
	fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

	mu   sync.Mutex
	gets []string // Range of each GET
}

func newServer(t *testing.T) (*server, *Store) {
	t.Helper()
	// What the machine has must not reach the test, nor the test the machine's.
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test-key", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_SESSION_TOKEN": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"),
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "",
	} {
		t.Setenv(name, value)
	}
	backend := s3mem.New()
	must(t, backend.CreateBucket("acme"))
	fake := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			s.mu.Lock()
			s.gets = append(s.gets, r.Header.Get("Range"))
			s.mu.Unlock()
		}
		if s.fault != nil {
			s.fault(w, r, fake)
			return
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	store, err := New(t.Context(), Options{Endpoint: s.URL, PathStyle: true})
	must(t, err)
	return s, store
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func at(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	must(t, err)
	return u
}

// fetcher tries often and soon.
func fetcher(store *Store) *artifact.Fetcher {
	return &artifact.Fetcher{Sources: map[string]artifact.Source{"s3": store}, Wait: time.Millisecond}
}

// unseekable is a body that can only be read once, as what is packed.
type unseekable struct{ io.Reader }

// TestKeys: leading slashes of a key come off and no others, and what a URL
// encodes is what the key has.
func TestKeys(t *testing.T) {
	_, store := newServer(t)
	f := fetcher(store)
	keys := []struct{ put, read string }{
		{"s3://acme/chef/manifest.yml", "s3://acme/chef/manifest.yml"},
		{"s3://acme/x//y", "s3://acme/x//y"},
		{"s3://acme/x/y", "s3://acme/x/y"}, // not x//y
		{"s3://acme/lead", "s3://acme///lead"},
		{"s3://acme/a%20b+c%25d%3Fe", "s3://acme/a b+c%25d%3Fe"},
		{"s3://acme/%E6%97%A5%E6%9C%AC", "s3://acme/日本"},
	}
	for _, c := range keys {
		must(t, store.Put(t.Context(), at(t, c.put), unseekable{strings.NewReader(c.put)}, "text/yaml"))
	}
	for _, c := range keys {
		data, info, err := f.Read(t.Context(), at(t, c.read), 1000)
		if err != nil || string(data) != c.put || info.Size != int64(len(c.put)) || info.ETag == "" {
			t.Errorf("%s: %q, %+v, err = %v", c.read, data, info, err)
		}
		size, found, err := store.Exists(t.Context(), at(t, c.read))
		if err != nil || !found || size != int64(len(c.put)) {
			t.Errorf("%s: %d, %v, %v", c.read, size, found, err)
		}
	}
	if _, found, err := store.Exists(t.Context(), at(t, "s3://acme/none")); found || err != nil {
		t.Errorf("none: %v, %v", found, err)
	}
	for _, bad := range []string{"s3://acme", "s3://acme/", "s3://acme//", "s3:///key", "s3:acme/key"} {
		_, _, err := store.Open(t.Context(), at(t, bad), 0, -1, "")
		_, _, exists := store.Exists(t.Context(), at(t, bad))
		put := store.Put(t.Context(), at(t, bad), strings.NewReader("x"), "")
		for _, err := range []error{err, exists, put} {
			if err == nil || !strings.Contains(err.Error(), "a bucket and a key are wanted") {
				t.Errorf("%s: err = %v", bad, err)
			}
		}
	}
}

// archive is a tar.gz of some megabytes that does not compress.
func archive(t *testing.T, seed string) ([]byte, artifact.Digest) {
	t.Helper()
	dir := t.TempDir()
	var body []byte
	sum := sha256.Sum256([]byte(seed))
	for len(body) < 3<<20 {
		sum = sha256.Sum256(sum[:])
		body = append(body, sum[:]...)
	}
	must(t, os.WriteFile(filepath.Join(dir, seed), body, 0o644))
	var buf bytes.Buffer
	_, err := artifact.Pack(t.Context(), &buf, dir, artifact.PackOptions{Format: "tar.gz"})
	must(t, err)
	digest := sha256.Sum256(buf.Bytes())
	return buf.Bytes(), artifact.Digest{Algorithm: "sha256", Hex: hex.EncodeToString(digest[:])}
}

// TestUnpackInParts: an archive comes in ranges, side by side, each once; and
// whole although answers break off and servers have bad moments.
func TestUnpackInParts(t *testing.T) {
	body, sum := archive(t, "app")
	for name, fault := range map[string]func(n int, w http.ResponseWriter, r *http.Request, next http.Handler){
		"all is well": func(_ int, w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) },
		"every third answer breaks off": func(n int, w http.ResponseWriter, r *http.Request, next http.Handler) {
			if n%3 == 2 {
				w = &cut{w, 100_000}
			}
			next.ServeHTTP(w, r)
		},
		"every third is a SlowDown": func(n int, w http.ResponseWriter, r *http.Request, next http.Handler) {
			if n%3 == 2 {
				answer(w, 503, "SlowDown", "Please reduce your request rate.")
				return
			}
			next.ServeHTTP(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, store := newServer(t)
			u := at(t, "s3://acme/chef/app.tar.gz")
			must(t, store.Put(t.Context(), u, unseekable{bytes.NewReader(body)}, "application/gzip"))
			n := 0
			s.fault = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				s.mu.Lock()
				n++
				now := n
				s.mu.Unlock()
				fault(now, w, r, next)
			}
			f := fetcher(store)
			f.Part = 500_000
			stage := t.TempDir()
			stats, err := f.Unpack(t.Context(), u, sum, stage)
			must(t, err)
			if stats.Bytes != 3<<20 || stats.Fetched != int64(len(body)) {
				t.Errorf("stats are %+v", stats)
			}
			least := (len(body) + 499_999) / 500_000
			if name == "all is well" && len(s.gets) != least || len(s.gets) < least {
				t.Errorf("%d requests, want %d: %q", len(s.gets), least, s.gets)
			}
		})
	}
}

// cut breaks an answer off.
type cut struct {
	http.ResponseWriter
	left int
}

func (c *cut) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func answer(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("X-Amz-Request-Id", "REQUEST-ID")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message><RequestId>REQUEST-ID</RequestId></Error>", code, message)
}

// TestChangedInMidDownload: gofakes3 passes over If-Match, so the new object's
// tag must be seen in its answer; S3 says 412.
func TestChangedInMidDownload(t *testing.T) {
	before, _ := archive(t, "before")
	after, sum := archive(t, "after")
	for _, honest := range []bool{false, true} {
		s, store := newServer(t)
		u := at(t, "s3://acme/app.tar.gz")
		must(t, store.Put(t.Context(), u, bytes.NewReader(before), ""))
		n := 0
		s.fault = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if n++; n == 3 {
				s.fault = nil
				must(t, store.Put(t.Context(), u, bytes.NewReader(after), ""))
				if honest {
					answer(w, 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
					return
				}
			}
			next.ServeHTTP(w, r)
		}
		f := fetcher(store)
		f.Part, f.Workers = 500_000, 1
		stage := t.TempDir()
		if _, err := f.Unpack(t.Context(), u, sum, stage); err != nil {
			t.Errorf("412 said: %v: err = %v", honest, err)
		} else if _, err := os.Stat(filepath.Join(stage, "after")); err != nil {
			t.Error(err)
		}
	}
}

// TestRangesEnd: a server that gives one range and then the whole is read anew,
// in one stream.
func TestRangesEnd(t *testing.T) {
	body, sum := archive(t, "app")
	s, store := newServer(t)
	u := at(t, "s3://acme/app.tar.gz")
	must(t, store.Put(t.Context(), u, bytes.NewReader(body), ""))
	s.fault = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !strings.HasPrefix(r.Header.Get("Range"), "bytes=0-") {
			r.Header.Del("Range")
		}
		next.ServeHTTP(w, r)
	}
	f := fetcher(store)
	f.Part = 500_000
	stats, err := f.Unpack(t.Context(), u, sum, t.TempDir())
	if err != nil || stats.Fetched != int64(len(body)) {
		t.Errorf("%+v, err = %v", stats, err)
	}
}

// TestErrors: what S3 answers is said in its own words, without what only its
// support can read, and judged by whose fault it is.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		world  bool
	}{
		{403, "AccessDenied", false},
		{403, "SignatureDoesNotMatch", false},
		{403, "InvalidAccessKeyId", false},
		{403, "RequestTimeTooSkewed", true},
		{404, "NoSuchKey", false},
		{404, "NoSuchBucket", false},
		{400, "RequestTimeout", true},
		{400, "InvalidArgument", false},
		{429, "TooManyRequests", true},
		{500, "InternalError", true},
		{502, "", true},
		{503, "SlowDown", true},
		{501, "NotImplemented", false},
	} {
		s, store := newServer(t)
		asked := 0
		s.fault = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			asked++
			answer(w, c.status, c.code, "in its own words")
		}
		f := fetcher(store)
		f.Retries = 3
		_, _, err := f.Read(t.Context(), at(t, "s3://acme/chef/m.yml?token=s3cret"), 9)
		var source *artifact.SourceError
		if !errors.As(err, &source) || source.Status != c.status || source.Transient() != c.world {
			t.Errorf("%d %s: err = %v, want the world's %v", c.status, c.code, err, c.world)
			continue
		}
		text := err.Error()
		if !strings.HasPrefix(text, "s3://acme/chef/m.yml: ") || strings.Contains(text, "REQUEST-ID") || strings.Contains(text, "s3cret") || c.code != "" && !strings.Contains(text, c.code+": in its own words") {
			t.Errorf("%d %s: it says %s", c.status, c.code, text)
		}
		if want := map[bool]int{true: 3, false: 1}[c.world]; asked != want {
			t.Errorf("%d %s: asked %d times, want %d", c.status, c.code, asked, want)
		}
	}
}

// TestRedirects: whatever an S3 server answers, no other is asked, nor is the
// same one elsewhere; and what the answer says of it has no secret.
func TestRedirects(t *testing.T) {
	s, store := newServer(t)
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, "src: evil\n")
	}))
	defer other.Close()
	for _, c := range []struct{ to, says string }{
		{other.URL + "/evil.yml?sig=hunter2", "it redirects to " + other.URL + "/evil.yml"},
		{"/acme/elsewhere.yml?sig=hunter2", "it redirects to " + s.URL + "/acme/elsewhere.yml"},
		{"http://[hunter2", "TemporaryRedirect"},
		{"", "TemporaryRedirect"},
	} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			s.fault = func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
				if strings.HasSuffix(r.URL.Path, "/elsewhere.yml") {
					asked.Add(1)
					return
				}
				if c.to != "" {
					w.Header().Set("Location", c.to)
				}
				answer(w, status, "TemporaryRedirect", "Please re-send this request to the specified temporary endpoint.")
			}
			u := at(t, "s3://acme/m.yml")
			data, _, err := fetcher(store).Read(t.Context(), u, 99)
			_, _, exists := store.Exists(t.Context(), u)
			put := store.Put(t.Context(), u, strings.NewReader("x"), "")
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%d to %q: %q, err = %v, want %s", status, c.to, data, err, c.says)
			}
			if exists == nil || put == nil || strings.Contains(exists.Error()+put.Error(), "hunter2") {
				t.Errorf("%d to %q: exists: %v, put: %v", status, c.to, exists, put)
			}
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("redirects were followed %d times", n)
	}
}

func TestEmptyObject(t *testing.T) {
	_, store := newServer(t)
	u := at(t, "s3://acme/empty")
	must(t, store.Put(t.Context(), u, strings.NewReader(""), ""))
	_, err := fetcher(store).Unpack(t.Context(), u, artifact.Digest{Algorithm: "md5", Hex: "d41d8cd98f00b204e9800998ecf8427e"}, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "the archive is empty") {
		t.Errorf("err = %v", err)
	}
	if _, _, err = fetcher(store).Read(t.Context(), u, 9); err == nil || !strings.Contains(err.Error(), "it is empty") {
		t.Errorf("err = %v", err)
	}
}

// TestOutOfReach: nobody there, nobody answering, nobody to sign for.
func TestOutOfReach(t *testing.T) {
	t.Run("nobody listens", func(t *testing.T) {
		s, store := newServer(t)
		s.Close()
		_, _, err := store.Open(t.Context(), at(t, "s3://acme/x?token=s3cret"), 0, -1, "")
		var source *artifact.SourceError
		if !errors.As(err, &source) || !source.Transient() || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "GetObject") {
			t.Errorf("err = %v, want the world's", err)
		}
	})
	t.Run("nobody answers", func(t *testing.T) {
		s, store := newServer(t)
		s.fault = func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }
		f := fetcher(store)
		f.Stall, f.Retries = 50*time.Millisecond, 2
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, _, err := f.Read(ctx, at(t, "s3://acme/x"), 9)
		if err == nil || !strings.Contains(err.Error(), "nothing came for 50ms") {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("no credentials", func(t *testing.T) {
		s, _ := newServer(t)
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		store, err := New(t.Context(), Options{Endpoint: s.URL, PathStyle: true})
		must(t, err)
		_, _, err = store.Open(t.Context(), at(t, "s3://acme/x"), 0, -1, "")
		var source *artifact.SourceError
		if !errors.As(err, &source) || source.Transient() || !strings.Contains(err.Error(), "credentials") {
			t.Errorf("err = %v, want it to speak of credentials", err)
		}
	})
	t.Run("a deadline", func(t *testing.T) {
		over := errors.New("the time is over") // says nothing of itself
		done := make(chan struct{})            // the SDK asks for credentials beyond the caller's time
		silent := func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
			select {
			case <-r.Context().Done():
			case <-done:
			}
		}
		check := func(what string, store *Store) {
			t.Helper()
			for call, do := range map[string]func(context.Context) error{
				"open": func(ctx context.Context) error {
					_, _, err := store.Open(ctx, at(t, "s3://acme/x"), 0, -1, "")
					return err
				},
				"read": func(ctx context.Context) error {
					_, _, err := fetcher(store).Read(ctx, at(t, "s3://acme/x"), 99)
					return err
				},
				"exists": func(ctx context.Context) error { _, _, err := store.Exists(ctx, at(t, "s3://acme/x")); return err },
				"put": func(ctx context.Context) error {
					return store.Put(ctx, at(t, "s3://acme/x"), strings.NewReader("x"), "")
				},
			} {
				ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, over)
				err := do(ctx)
				cancel()
				var source *artifact.SourceError
				if !errors.Is(err, over) || !errors.As(err, &source) || !source.Transient() || err.Error() != "s3://acme/x: the time is over" {
					t.Errorf("%s, %s: err = %v", what, call, err)
				}
			}
		}
		s, store := newServer(t)
		t.Cleanup(func() { close(done) }) // before the server closes
		s.fault = silent
		check("S3", store)
		for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": s.URL} {
			t.Setenv(name, value)
		}
		store, err := New(t.Context(), Options{Endpoint: s.URL, PathStyle: true})
		must(t, err)
		check("who gives credentials", store)
	})
	t.Run("a cancel", func(t *testing.T) {
		s, store := newServer(t)
		ctx, cancel := context.WithCancel(t.Context())
		s.fault = func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { cancel(); <-r.Context().Done() }
		_, _, err := fetcher(store).Read(ctx, at(t, "s3://acme/x"), 9)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
	})
}

// TestPutLarge goes in parts; what breaks off leaves no object behind.
func TestPutLarge(t *testing.T) {
	_, store := newServer(t)
	body := bytes.Repeat([]byte("0123456789abcdef"), 20<<16) // 20 MiB
	u := at(t, "s3://acme/large")
	must(t, store.Put(t.Context(), u, unseekable{bytes.NewReader(body)}, "application/zstd"))
	size, found, err := store.Exists(t.Context(), u)
	if err != nil || !found || size != int64(len(body)) {
		t.Errorf("%d, %v, %v", size, found, err)
	}
	broken := at(t, "s3://acme/broken")
	cause := errors.New("the disk is gone")
	err = store.Put(t.Context(), broken, io.MultiReader(bytes.NewReader(body), failing{cause}), "")
	if !errors.Is(err, cause) {
		t.Errorf("err = %v, want the cause", err)
	}
	if _, found, err := store.Exists(t.Context(), broken); found || err != nil {
		t.Errorf("an object of half a body: %v, %v", found, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
