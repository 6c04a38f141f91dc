package artifact

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// TestGS reads by the JSON API: the object's name is one segment of the path,
// slashes and all.
func TestGS(t *testing.T) {
	archive := tarOf(t, file("a", noise(100_000)))
	o := newOrigin(t, archive)
	o.etag = "CJ6Bw4/IkJEDEAE=" // Google's have no quotes
	o.cutAfter, o.cuts = 30_000, 1
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Get("alt") != "media":
			http.Error(w, "metadata", http.StatusTeapot)
		case r.URL.EscapedPath() == "/storage/v1/b/acme/o/deploy%2F%2Fapp%20v1%3F.tar":
			o.mu.Lock()
			quoted := o.etag
			o.mu.Unlock()
			if m := r.Header.Get("If-Match"); m != "" && m != quoted {
				w.WriteHeader(http.StatusPreconditionFailed)
				return
			}
			r.Header.Del("If-Match") // net/http only knows quoted ones
			o.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	for _, host := range []string{server.URL, server.URL + "/", strings.TrimPrefix(server.URL, "http://")} {
		t.Setenv("STORAGE_EMULATOR_HOST", host)
		f := &Fetcher{Sources: map[string]Source{"gs": NewGS()}, Wait: time.Millisecond, Part: 50_000}
		u, err := url.Parse("gs://acme/deploy//app%20v1%3F.tar")
		must(t, err)
		stage := t.TempDir()
		_, err = f.Unpack(t.Context(), u, sumOf("sha256", archive), stage)
		must(t, err)
		if got := entriesOf(t, stage); len(got) != 1 {
			t.Errorf("got %q", got)
		}
		for _, c := range []struct{ url, says string }{
			{"gs://acme/none", "gs://acme/none: 404 Not Found"},
			{"gs://acme", "a bucket and an object are wanted"},
			{"gs:///deploy/x", "a bucket and an object are wanted"},
		} {
			u, err := url.Parse(c.url)
			must(t, err)
			_, _, err = f.Read(t.Context(), u, 9)
			if err == nil || !strings.Contains(err.Error(), c.says) || transient(err) {
				t.Errorf("%s: err = %v, want %s", c.url, err, c.says)
			}
		}
	}
	server.Close()
	if o.cuts != 0 {
		t.Error("the body did not break off")
	}
}

// TestGSRedirects: to the same server it may lead, and to no other.
func TestGSRedirects(t *testing.T) {
	asked := 0
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked++ }))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/here":
			_, _ = io.WriteString(w, "manifest")
		case "/storage/v1/b/acme/o/same":
			http.Redirect(w, r, "/here", http.StatusTemporaryRedirect)
		default:
			http.Redirect(w, r, other.URL+"/?sig=hunter2", http.StatusTemporaryRedirect)
		}
	}))
	defer server.Close()
	t.Setenv("STORAGE_EMULATOR_HOST", server.URL)
	f := &Fetcher{Sources: map[string]Source{"gs": NewGS()}, Wait: time.Millisecond}
	read := func(raw string) (string, error) {
		u, err := url.Parse(raw)
		must(t, err)
		data, _, err := f.Read(t.Context(), u, 99)
		return string(data), err
	}
	if got, err := read("gs://acme/same"); got != "manifest" {
		t.Errorf("got %q, %v", got, err)
	}
	_, err := read("gs://acme/other")
	if err == nil || !strings.HasPrefix(err.Error(), "gs://acme/other: redirects to 127.0.0.1:") || strings.Contains(err.Error(), "hunter2") || transient(err) {
		t.Errorf("err = %v", err)
	}
	if asked > 0 {
		t.Error("the other server was asked")
	}
}

// TestGSTokens: Google's server of tokens has bad days too.
func TestGSTokens(t *testing.T) {
	for status, world := range map[int]bool{500: true, 503: true, 400: false, 401: false} {
		g := NewGS()
		g.endpoint = "http://never.invalid"
		g.client = &http.Client{Transport: &oauth2.Transport{Source: failingToken(status)}}
		u, err := url.Parse("gs://acme/x")
		must(t, err)
		_, _, err = g.Open(t.Context(), u, 0, -1, "")
		if err == nil || transient(err) != world {
			t.Errorf("%d: err = %v, want the world's %v", status, err, world)
		}
	}
	t.Run("no credentials", func(t *testing.T) {
		t.Setenv("STORAGE_EMULATOR_HOST", "")
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none.json"))
		u, err := url.Parse("gs://acme/x")
		must(t, err)
		_, _, err = NewGS().Open(t.Context(), u, 0, -1, "")
		if err == nil || !strings.Contains(err.Error(), "credentials for Google Cloud Storage") || transient(err) {
			t.Errorf("err = %v", err)
		}
	})
}

// TestGSSilentTokens: who gives tokens may keep silent, and no request's
// context reaches there.
func TestGSSilentTokens(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
			http.Error(w, "so late", http.StatusForbidden)
		}
	}))
	defer server.Close()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	account, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "a@b.invalid", "token_uri": server.URL,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	must(t, err)
	path := filepath.Join(t.TempDir(), "account.json")
	must(t, os.WriteFile(path, account, 0o600))
	t.Setenv("STORAGE_EMULATOR_HOST", "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
	g := NewGS()
	g.patience = 50 * time.Millisecond
	_, _, err = g.Open(t.Context(), &url.URL{Scheme: "gs", Host: "acme", Path: "/x"}, 0, -1, "")
	if err == nil || !transient(err) || !strings.HasPrefix(err.Error(), "gs://acme/x: ") {
		t.Errorf("err = %v, want the world's", err)
	}
	if g.client.Timeout != 0 {
		t.Error("an archive may take no longer than a token")
	}
}

type failingToken int

func (status failingToken) Token() (*oauth2.Token, error) {
	return nil, &oauth2.RetrieveError{Response: &http.Response{StatusCode: int(status), Status: http.StatusText(int(status))}}
}

// TestFile: what is a file and what is none; and one that is replaced while
// it is read.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a b"), []byte("0123456789"), 0o600))
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	must(t, os.Symlink("a b", filepath.Join(dir, "link")))
	for _, c := range []struct{ url, want, says string }{
		{"file://" + dir + "/a%20b", "0123456789", ""},
		{"file://localhost" + dir + "/a%20b", "0123456789", ""},
		{"file://" + dir + "/link", "0123456789", ""},
		{"file://elsewhere" + dir + "/a%20b", "", "three slashes"},
		{"file://" + dir + "/none", "", "no such file or directory"},
		{"file://" + dir, "", "not a file"},
		{"file://" + dir + "/pipe", "", "not a file"}, // and does not hang
		{"file:///dev/zero", "", "not a file"},
	} {
		u, err := url.Parse(c.url)
		must(t, err)
		body, info, err := File{}.Open(t.Context(), u, 0, -1, "")
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) || transient(err) {
				t.Errorf("%s: err = %v, want %s", c.url, err, c.says)
			}
			continue
		}
		must(t, err)
		data, err := io.ReadAll(body)
		must(t, err)
		must(t, body.Close())
		if string(data) != c.want || info.Size != 10 || !info.Ranges {
			t.Errorf("%s: %q, %+v", c.url, data, info)
		}
	}
	u := fileURL(filepath.Join(dir, "a b"))
	for _, c := range []struct {
		offset, length int64
		want           string
	}{{3, 4, "3456"}, {8, -1, "89"}, {8, 5, "89"}, {10, -1, ""}, {99, 3, ""}, {99, -1, ""}} {
		body, info, err := File{}.Open(t.Context(), u, c.offset, c.length, "")
		must(t, err)
		data, err := io.ReadAll(body)
		must(t, err)
		must(t, body.Close())
		if string(data) != c.want || info.Size != 10 {
			t.Errorf("%d+%d: %q of %d, want %q", c.offset, c.length, data, info.Size, c.want)
		}
	}
	_, info, err := File{}.Open(t.Context(), u, 0, -1, "")
	must(t, err)
	must(t, os.WriteFile(u.Path, []byte("other"), 0o600))
	_, _, err = File{}.Open(t.Context(), u, 0, -1, info.ETag)
	var source *SourceError
	if !errors.As(err, &source) || !source.Changed {
		t.Errorf("err = %v, want it changed", err)
	}
}

// TestErrorsUnwrap: callers look through the package's errors for the disk's
// and the network's.
func TestErrorsUnwrap(t *testing.T) {
	cause := syscall.ENOSPC
	for _, err := range []error{&SourceError{Err: cause}, &FormatError{What: "x", Err: cause}, &EntryError{Name: "x", Err: cause}, &settledError{fmt.Errorf("x: %w", cause)}} {
		if !errors.Is(err, cause) || !isDisk(err) {
			t.Errorf("%T does not unwrap", err)
		}
	}
}

// TestDiskErrorsComeFirst: what the disk says is told as that, whatever the
// checksum, and is not the archive's fault.
func TestDiskErrorsComeFirst(t *testing.T) {
	archive := tarOf(t, file("a", "x"), file("b", noise(smallFile+1)))
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	must(t, os.WriteFile(path, archive, 0o600))
	f := &Fetcher{Sources: map[string]Source{"file": File{}}}
	_, err := f.Unpack(t.Context(), fileURL(path), sumOf("md5", nil), filepath.Join(dir, "no-stage"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v, want that the stage is not there", err)
	}
	full := filepath.Join(dir, "full") // a link, for what is left over is removed
	must(t, os.Symlink("/dev/full", full))
	err = f.Spool(t.Context(), fileURL(path), sumOf("md5", archive), full)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("err = %v, want that there is no space", err)
	}
}
