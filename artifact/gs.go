package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// GS reads gs URLs by the JSON API of Google Cloud Storage
// (https://cloud.google.com/storage/docs/json_api/v1/objects/get), with
// Google's default credentials.
type GS struct {
	mu       sync.Mutex
	client   *http.Client
	endpoint string
	patience time.Duration // with who gives tokens
}

const gsScope = "https://www.googleapis.com/auth/devstorage.read_only"

// NewGS makes a source; credentials are looked for when it is first used.
// STORAGE_EMULATOR_HOST names another server, which is asked without any.
func NewGS() *GS { return &GS{patience: 30 * time.Second} }

func (g *GS) connect(ctx context.Context) (*http.Client, string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.client != nil {
		return g.client, g.endpoint, nil
	}
	if host := os.Getenv("STORAGE_EMULATOR_HOST"); host != "" {
		if !strings.Contains(host, "://") {
			host = "http://" + host
		}
		g.client, g.endpoint = &http.Client{CheckRedirect: googles}, strings.TrimSuffix(host, "/")
		return g.client, g.endpoint, nil
	}
	// The client outlives this call, and with it the tokens that it renews.
	// No request's context reaches those: they have a bound of their own.
	tokens := &http.Client{Timeout: g.patience}
	c, err := google.DefaultClient(context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, tokens), gsScope)
	if err != nil {
		return nil, "", fmt.Errorf("credentials for Google Cloud Storage: %w", err)
	}
	c.CheckRedirect = googles
	c.Timeout = 0 // that of the tokens; an archive may take longer
	g.client, g.endpoint = c, "https://storage.googleapis.com"
	return c, g.endpoint, nil
}

// googles lets redirects lead to Google, or to the same server, and nowhere
// else: sources don't speak of other hosts, and the token would go along.
func googles(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	first := via[0].URL
	if req.URL.Scheme == first.Scheme && (hostOf(req.URL) == hostOf(first) || strings.HasSuffix(req.URL.Hostname(), ".googleapis.com")) {
		return nil
	}
	return fmt.Errorf("redirects to %s, which is not where it was asked for", hostOf(req.URL))
}

// Open implements Source.
func (g *GS) Open(ctx context.Context, u *url.URL, offset, length int64, ifMatch string) (io.ReadCloser, Info, error) {
	object := strings.TrimPrefix(u.Path, "/")
	if u.Host == "" || object == "" {
		return nil, Info{}, &SourceError{URL: Redact(u), Err: errors.New("a bucket and an object are wanted, as gs://bucket/object")}
	}
	client, endpoint, err := g.connect(ctx)
	if end := Ended(ctx, u); err != nil && end != nil {
		return nil, Info{}, end
	}
	if err != nil {
		return nil, Info{}, &SourceError{URL: Redact(u), Err: err}
	}
	target := fmt.Sprintf("%s/storage/v1/b/%s/o/%s?alt=media", endpoint, url.PathEscape(u.Host), url.PathEscape(object))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, Info{}, &SourceError{URL: Redact(u), Err: err}
	}
	body, info, err := get(client, req, u, offset, length, ifMatch)
	info.URL = Redact(u)
	var source *SourceError
	var token *oauth2.RetrieveError
	switch {
	case !errors.As(err, &source):
	case errors.As(err, &token) && token.Response != nil:
		source.Wait = StatusTransient(token.Response.StatusCode)
	case strings.HasPrefix(source.Err.Error(), "oauth2: cannot fetch token: "):
		source.Wait = true // no answer came; the library keeps the network's error as text only
	}
	return body, info, err
}
