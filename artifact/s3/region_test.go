package s3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"gurney/artifact"
)

// amazon stands for Amazon's servers of all regions: the host's name tells
// which one was asked.
type amazon struct {
	*server
	store *Store

	mu    sync.Mutex
	home  string                            // the bucket's region
	says  func(http.ResponseWriter, string) // how others answer
	asked []string                          // METHOD REGION
	down  string                            // a region that can't be reached
}

// newAmazon has the bucket acme in eu-west-1.
func newAmazon(t *testing.T, o Options) *amazon {
	t.Helper()
	s, _ := newServer(t)
	a := &amazon{server: s, home: "eu-west-1", says: permanently}
	s.fault = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		host := strings.TrimSuffix(strings.TrimPrefix(r.Host, "acme."), ".amazonaws.com")
		region := strings.TrimPrefix(host, "s3.")
		a.mu.Lock()
		a.asked = append(a.asked, r.Method+" "+region)
		home := a.home
		a.mu.Unlock()
		if !strings.Contains(r.Header.Get("Authorization"), "/"+region+"/s3/aws4_request") {
			t.Errorf("%s is signed for another region: %s", r.Host, r.Header.Get("Authorization"))
		}
		if region != home {
			a.says(w, home)
			return
		}
		if strings.HasPrefix(r.Host, "acme.") { // the fake wants the bucket in the path
			r.URL.Path = "/acme" + r.URL.Path
		}
		if decoded, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64); err == nil {
			// Over TLS the SDK sends chunks and a checksum after them.
			r.Body, r.ContentLength = io.NopCloser(httputil.NewChunkedReader(r.Body)), decoded
			r.Header.Set("Content-Length", r.Header.Get("X-Amz-Decoded-Content-Length"))
		}
		next.ServeHTTP(w, r)
	}
	var err error
	a.store, err = newStore(t.Context(), o, func(aws.HTTPClient) http.RoundTripper { return a })
	must(t, err)
	return a
}

// RoundTrip sends to the server what is meant for one of Amazon's.
func (a *amazon) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Host, ".amazonaws.com") {
		return nil, fmt.Errorf("%s is not Amazon's", r.URL.Host)
	}
	if a.down != "" && strings.Contains(r.URL.Host, a.down) {
		return nil, &net.OpError{Op: "dial", Err: errors.New("no route")}
	}
	to, err := url.Parse(a.URL)
	if err != nil {
		return nil, err
	}
	sent := r.Clone(r.Context())
	sent.Host, sent.URL.Scheme, sent.URL.Host = r.URL.Host, to.Scheme, to.Host
	return http.DefaultTransport.RoundTrip(sent)
}

func permanently(w http.ResponseWriter, home string) {
	w.Header().Set("X-Amz-Bucket-Region", home)
	answer(w, 301, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint.")
}

func temporarily(w http.ResponseWriter, home string) {
	w.Header().Set("X-Amz-Bucket-Region", home)
	w.Header().Set("Location", "https://acme.s3-"+home+".amazonaws.com/x")
	answer(w, 307, "TemporaryRedirect", "Please re-send this request to the specified temporary endpoint.")
}

func malformed(w http.ResponseWriter, home string) {
	answer(w, 400, "AuthorizationHeaderMalformed", "The authorization header is malformed; the region 'us-east-1' is wrong; expecting '"+home+"'")
}

// TestRegions: a bucket elsewhere is found, once, for reads and for uploads,
// whole and in parts.
func TestRegions(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 20<<16)
	for name, says := range map[string]func(http.ResponseWriter, string){"301": permanently, "307": temporarily, "400": malformed} {
		for _, o := range []Options{{}, {PathStyle: true}, {Region: "us-west-2"}} {
			for what, first := range map[string]func(*amazon) error{
				"exists": func(a *amazon) error { _, _, err := a.store.Exists(t.Context(), at(t, "s3://acme/x")); return err },
				"read": func(a *amazon) error {
					_, _, err := fetcher(a.store).Read(t.Context(), at(t, "s3://acme/x"), 9)
					var source *artifact.SourceError
					if errors.As(err, &source) && source.Code == "NoSuchKey" {
						return nil
					}
					return err
				},
				"put": func(a *amazon) error {
					return a.store.Put(t.Context(), at(t, "s3://acme/x"), strings.NewReader("src: x"), "")
				},
				"put large": func(a *amazon) error {
					return a.store.Put(t.Context(), at(t, "s3://acme/x"), unseekable{bytes.NewReader(large)}, "")
				},
			} {
				if name == "400" && what == "exists" {
					continue // the answer to HEAD has no words: no region in it
				}
				a := newAmazon(t, o)
				a.says = says
				if err := first(a); err != nil {
					t.Errorf("%s, %+v: %s: %v", name, o, what, err)
					continue
				}
				want := map[string]int64{"put": 6, "put large": int64(len(large))}[what]
				if size, _, err := a.store.Exists(t.Context(), at(t, "s3://acme/x")); err != nil || size != want {
					t.Errorf("%s, %+v: %s: %d bytes stand there, err = %v", name, o, what, size, err)
				}
				elsewhere := 0
				must(t, a.store.Put(t.Context(), at(t, "s3://acme/y"), strings.NewReader("src: y"), ""))
				data, _, err := fetcher(a.store).Read(t.Context(), at(t, "s3://acme/y"), 9)
				if err != nil || string(data) != "src: y" {
					t.Errorf("%s, %+v: then it reads %q, %v", name, o, data, err)
				}
				for _, r := range a.asked {
					if !strings.HasSuffix(r, " eu-west-1") {
						elsewhere++
					}
				}
				if elsewhere != 1 {
					t.Errorf("%s, %+v: %s: asked elsewhere %d times: %q", name, o, what, elsewhere, a.asked)
				}
			}
		}
	}
}

// TestRegionMoves: what is remembered of a bucket is not for ever.
func TestRegionMoves(t *testing.T) {
	a := newAmazon(t, Options{})
	u := at(t, "s3://acme/x")
	for _, home := range []string{"eu-west-1", "ap-northeast-1"} {
		a.mu.Lock()
		a.home = home
		a.mu.Unlock()
		must(t, a.store.Put(t.Context(), u, strings.NewReader("x"), ""))
	}
}

// TestRegionsSaid: where it does not help, the error says what would be right.
func TestRegionsSaid(t *testing.T) {
	u := at(t, "s3://acme/x")
	calls := func(s *Store) map[string]error {
		_, _, read := fetcher(s).Read(t.Context(), u, 9)
		_, _, exists := s.Exists(t.Context(), u)
		return map[string]error{"read": read, "exists": exists, "put": s.Put(t.Context(), u, strings.NewReader("x"), "")}
	}
	const says = "(right would be s3.region: eu-west-1)"
	t.Run("a server of one's own", func(t *testing.T) {
		for name, answers := range map[string]func(http.ResponseWriter, string){"PermanentRedirect: The bucket": permanently, "AuthorizationHeaderMalformed: The": malformed} {
			s, store := newServer(t)
			asked := 0
			s.fault = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { asked++; answers(w, "eu-west-1") }
			for what, err := range calls(store) {
				var source *artifact.SourceError
				if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), name) || !errors.As(err, &source) || source.Transient() {
					t.Errorf("%s %s: err = %v", name, what, err)
				}
			}
			if asked != 4 { // exists asks for the words
				t.Errorf("%s: asked %d times", name, asked)
			}
		}
	})
	t.Run("an endpoint of the environment", func(t *testing.T) {
		s, _ := newServer(t)
		t.Setenv("AWS_ENDPOINT_URL_S3", s.URL)
		store, err := New(t.Context(), Options{PathStyle: true})
		must(t, err)
		s.fault = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { permanently(w, "eu-west-1") }
		for what, err := range calls(store) {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: err = %v", what, err)
			}
		}
	})
	t.Run("regions that send on and on", func(t *testing.T) {
		a := newAmazon(t, Options{})
		n := 0
		a.says = func(w http.ResponseWriter, _ string) {
			n++
			permanently(w, []string{"eu-west-1", "eu-west-2"}[n%2])
		}
		a.home = "nowhere-1"
		for what, err := range calls(a.store) {
			if err == nil || !strings.Contains(err.Error(), "(right would be s3.region: eu-west-") {
				t.Errorf("%s: err = %v", what, err)
			}
		}
		if n > 8 {
			t.Errorf("asked %d times", n)
		}
	})
	t.Run("a region that is out of reach", func(t *testing.T) {
		a := newAmazon(t, Options{})
		a.down = "eu-west-1"
		_, _, err := a.store.Open(t.Context(), u, 0, -1, "")
		var source *artifact.SourceError
		if !errors.As(err, &source) || !source.Transient() || !strings.Contains(err.Error(), "no route "+says) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("no region at all", func(t *testing.T) {
		for _, named := range []string{"", "evil.example/", "Eu West", "a.b"} {
			a := newAmazon(t, Options{})
			a.says = func(w http.ResponseWriter, _ string) { permanently(w, named) }
			_, _, err := a.store.Open(t.Context(), u, 0, -1, "")
			if err == nil || strings.Contains(err.Error(), "s3.region") || len(a.asked) != 1 {
				t.Errorf("%q: err = %v, asked %q", named, err, a.asked)
			}
		}
	})
}

// TestWords: a refusal is told by its code and in the store's own words, by
// whatever it was asked; where it has none, by its status.
func TestWords(t *testing.T) {
	u := at(t, "s3://acme/app.tar.zst")
	for _, c := range []struct {
		status        int
		code, message string
		says          string
	}{
		{403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", "InvalidAccessKeyId: The AWS Access Key Id you"},
		{403, "AccessDenied", "User: arn:aws:iam::1:user/ci is not authorized to perform: s3:PutObject on resource: acme", "AccessDenied: User: arn:aws:iam::1:user/ci is not authorized to perform: s3:PutObject"},
		{403, "", "", "403 Forbidden"},
		{301, "PermanentRedirect", "The bucket must be addressed using the specified endpoint.", "PermanentRedirect: The bucket must"},
		{301, "", "", "301 Moved Permanently"},
	} {
		s, store := newServer(t)
		s.fault = func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			if c.code == "" {
				w.WriteHeader(c.status)
				return
			}
			answer(w, c.status, c.code, c.message)
		}
		_, found, exists := store.Exists(t.Context(), u)
		_, _, read := store.Open(t.Context(), u, 0, -1, "")
		put := store.Put(t.Context(), u, strings.NewReader("x"), "")
		for what, err := range map[string]error{"exists": exists, "read": read, "put": put} {
			var source *artifact.SourceError
			if found || !errors.As(err, &source) || source.Status != c.status || !strings.HasPrefix(err.Error(), "s3://acme/app.tar.zst: "+c.says) {
				t.Errorf("%s: err = %v, want %s", what, err, c.says)
			}
		}
	}
	t.Run("only HEAD is refused", func(t *testing.T) {
		s, store := newServer(t)
		must(t, store.Put(t.Context(), u, strings.NewReader("0123456789"), ""))
		must(t, store.Put(t.Context(), at(t, "s3://acme/empty"), strings.NewReader(""), ""))
		s.fault = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		}
		for raw, want := range map[string]int64{u.String(): 10, "s3://acme/empty": 0, "s3://acme/none": -1} {
			size, found, err := store.Exists(t.Context(), at(t, raw))
			if err != nil || found != (want >= 0) || found && size != want {
				t.Errorf("%s: %d, %t, %v", raw, size, found, err)
			}
		}
	})
}
