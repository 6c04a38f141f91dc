package artifact

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// TestRedirects: each step must be allowed; headers and the query of where we
// come from stay with the host that they are meant for.
func TestRedirects(t *testing.T) {
	target := newOrigin(t, []byte("src: x\n"))
	var to string
	var got http.Header
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/deploy/here" {
			got = r.Header.Clone()
			_, _ = w.Write([]byte("src: x\n"))
			return
		}
		w.Header().Set("Location", strings.Replace(to, "SELF", "http://"+r.Host, 1))
		w.WriteHeader(http.StatusFound)
	}))
	defer first.Close()
	for _, c := range []struct {
		name  string
		to    string
		allow []string
		says  string // "": is read
		keeps bool   // the header
	}{
		{"to an allowed host", target.URL + "/files/x", []string{first.URL, target.URL + "/files"}, "", false},
		{"to another path of the same host", "/deploy/here", []string{first.URL + "/deploy"}, "", true},
		{"to a host that is not allowed", target.URL + "/files/x?token=s3cret", []string{first.URL}, "redirects to " + target.URL + "/files/x", false},
		{"to a path that is not allowed", "/other", []string{first.URL + "/deploy"}, "redirects to", false},
		{"to a path beside the allowed", target.URL + "/files2", []string{first.URL, target.URL + "/files"}, "redirects to", false},
		{"to a path with dots", target.URL + "/files/%2e%2e/x", []string{first.URL, target.URL + "/files"}, "redirects to", false},
		{"to a file", "file:///etc/passwd", []string{first.URL}, "redirects to", false},
		{"without an end", "SELF/deploy/again?token=s3cret", []string{first.URL}, "more than 10 redirects", false},
		{"to what is no URL", "http://[s3cret", []string{first.URL}, "can't be read as a URL", false},
		{"to a port that is none", "http://h:s3cret/", []string{first.URL}, "can't be read as a URL", false},
		{"to nowhere", "", []string{first.URL}, "302", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			allow, err := ParseAllowlist(c.allow)
			must(t, err)
			to, got = c.to, nil
			target.requests = nil
			web := NewHTTP(allow, map[string]string{"X-Token": "s3cret", "Authorization": "Bearer s3cret"})
			defer web.client.CloseIdleConnections()
			f := &Fetcher{Sources: map[string]Source{"http": web}, Wait: time.Millisecond}
			u, err := url.Parse(first.URL + "/deploy/x?token=s3cret")
			must(t, err)
			data, info, err := f.Read(t.Context(), u, 99)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "s3cret") || transient(err) {
					t.Errorf("err = %v, want it to say %s", err, c.says)
				}
				var denied *NotAllowedError
				if errors.As(err, &denied) != strings.HasPrefix(c.says, "redirects to") {
					t.Errorf("err = %#v", err)
				}
				if len(target.requests) > 0 {
					t.Errorf("the other host was asked: %v", target.requests)
				}
				return
			}
			must(t, err)
			if string(data) != "src: x\n" {
				t.Errorf("read %q", data)
			}
			if !c.keeps {
				got = target.requests[0].Header
				if info.URL != c.to {
					t.Errorf("read from %s, want %s", info.URL, c.to)
				}
			}
			if kept := got.Get("X-Token") == "s3cret" && got.Get("Authorization") == "Bearer s3cret"; kept != c.keeps {
				t.Errorf("headers there: %v", got)
			}
			if strings.Contains(got.Get("Referer"), "s3cret") {
				t.Errorf("Referer is %s", got.Get("Referer"))
			}
		})
	}
}

// TestHeadersAndEncoding: configured headers are sent, userinfo becomes basic
// authentication, and what is stored compressed arrives as it is stored.
func TestHeadersAndEncoding(t *testing.T) {
	archive := compressed(t, formatGz, tarOf(t, file("a", "x")))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "me" || password != "s3cret" || r.Header.Get("X-Team") != "web" || strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Encoding", "gzip") // as some servers say of every .tar.gz
		_, _ = w.Write(archive)
	}))
	defer server.Close()
	u, err := url.Parse(server.URL + "/x.tar.gz")
	must(t, err)
	u.User = url.UserPassword("me", "s3cret")
	f := webFetcher(t)
	f.Sources["http"] = NewHTTP(AllowAll(), map[string]string{"x-team": "web"})
	_, err = f.Unpack(t.Context(), u, sumOf("sha256", archive), t.TempDir())
	must(t, err)
}

// TestHostHeader: a configured Host is sent, as long as it is the same server
// that is asked.
func TestHostHeader(t *testing.T) {
	got := map[string]string{}
	note := func(w http.ResponseWriter, r *http.Request) { got[r.URL.Path] = r.Host; _, _ = w.Write([]byte("x")) }
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(w, r)
	}))
	defer other.Close()
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/relative":
			http.Redirect(w, r, "/from-relative", http.StatusFound)
		case "/absolute":
			http.Redirect(w, r, server.URL+"/from-absolute", http.StatusFound)
		case "/away":
			http.Redirect(w, r, other.URL+"/gone", http.StatusFound)
		default:
			note(w, r)
		}
	}))
	defer server.Close()
	for _, name := range []string{"Host", "host"} {
		clear(got)
		f := webFetcher(t)
		f.Sources["http"] = NewHTTP(AllowAll(), map[string]string{name: "files.internal"})
		for _, path := range []string{"/direct", "/relative", "/absolute", "/away"} {
			u, err := url.Parse(server.URL + path)
			must(t, err)
			_, _, err = f.Read(t.Context(), u, 9)
			must(t, err)
		}
		for path, want := range map[string]string{"/direct": "files.internal", "/from-relative": "files.internal", "/from-absolute": "files.internal", "/gone": strings.TrimPrefix(other.URL, "http://")} {
			if got[path] != want {
				t.Errorf("%s: %s is asked as %q, want %q", name, path, got[path], want)
			}
		}
	}
}

// TestStrangeRanges: an answer to a range is looked at before it is used.
func TestStrangeRanges(t *testing.T) {
	archive := tarOf(t, file("a", noise(5000)))
	answer := func(status int, contentRange string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"one"`)
			if contentRange != "" {
				w.Header().Set("Content-Range", contentRange)
			}
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"another range than was asked": answer(206, "bytes 100-199/6656", archive[:100]),
		"a range of no size":           answer(206, "bytes 0-99/*", archive[:100]),
		"a range that is not said":     answer(206, "", archive[:100]),
		"nonsense":                     answer(206, "bytes x-y/z", archive[:100]),
		"a negative size":              answer(206, "bytes 0-99/-5", archive[:100]),
		"no range can be had":          answer(416, "bytes */0", nil),
		"shorter than it says": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "6656")
			_, _ = w.Write(archive[:100])
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			u, err := url.Parse(server.URL)
			must(t, err)
			f := webFetcher(t)
			f.Retries = 2
			stage := t.TempDir()
			_, err = f.Unpack(t.Context(), u, sumOf("md5", archive), stage)
			var source *SourceError
			if err == nil || !errors.As(err, &source) && name != "no range can be had" {
				t.Errorf("err = %v, want a *SourceError", err)
			}
			if left := entriesOf(t, stage); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// TestSecretsStayOut makes every kind of failure with a secret in the URL, and
// looks for it in the error and in the log.
func TestSecretsStayOut(t *testing.T) {
	archive := tarOf(t, file("a", noise(5000)))
	gone := newOrigin(t, nil)
	gone.Close()
	for name, set := range map[string]func(*origin){
		"404":            func(o *origin) { o.statuses = []int{404} },
		"503":            func(o *origin) { o.statuses = []int{503, 503, 503, 503, 503} },
		"breaks":         func(o *origin) { o.cuts, o.cutAfter = 99, 10 },
		"breaks, whole":  func(o *origin) { o.cuts, o.cutAfter, o.noRanges = 99, 10, true },
		"empty":          func(o *origin) { o.content = nil },
		"no archive":     func(o *origin) { o.content = []byte("<html>") },
		"wrong checksum": func(o *origin) { o.content = tarOf(t) },
		"refused":        func(o *origin) { o.content = tarOf(t, file("../x", "")) },
		"no server":      func(o *origin) { o.URL = gone.URL },
		"no host":        func(o *origin) { o.URL = "http://host.invalid" },
		"not HTTP's TLS": func(o *origin) { o.URL = strings.Replace(o.URL, "http:", "https:", 1) },
		"no scheme":      func(o *origin) { o.URL = strings.Replace(o.URL, "http:", "ftp:", 1) },
		"no such file":   func(o *origin) { o.URL = "file://" },
		"a file of a host": func(o *origin) {
			o.URL = strings.Replace(o.URL, "http:", "file:", 1)
		},
		"gs without a bucket": func(o *origin) { o.URL = "gs://" },
	} {
		for way := range ways {
			o := newOrigin(t, archive)
			set(o)
			var log bytes.Buffer
			f := webFetcher(t)
			f.Retries, f.Part, f.Log = 2, 4096, zerolog.New(zerolog.SyncWriter(&log))
			f.Sources["file"], f.Sources["gs"] = File{}, NewGS()
			u := o.parsed("/x?X-Amz-Signature=s3cret#s3cret")
			u.User = url.UserPassword("me", "s3cret")
			if strings.HasPrefix(u.Scheme, "file") && u.Host == "" || u.Scheme == "gs" {
				u.User = nil
			}
			err := ways[way](t.Context(), f, u, t.TempDir())
			if err == nil && way != "read" {
				t.Errorf("%s %s: no error", way, name)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") || strings.Contains(log.String(), "s3cret") {
				t.Errorf("%s %s: err = %v, log %s", way, name, err, log.String())
			}
		}
	}
}
