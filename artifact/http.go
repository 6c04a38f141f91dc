package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// HTTP reads http and https URLs. The status is checked, and every redirect
// must be allowed too.
type HTTP struct {
	client  *http.Client
	headers map[string]string
	allow   Allowlist
}

// maxRedirects is how many redirects are followed.
const maxRedirects = 10

// NewHTTP makes a source whose redirects stay within allow. The headers go to
// the host that was asked, and not where it redirects to.
func NewHTTP(allow Allowlist, headers map[string]string) *HTTP {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = time.Minute
	t.MaxIdleConnsPerHost = 8
	t.DisableCompression = true // the bytes are hashed as they are stored
	h := &HTTP{headers: headers, allow: allow}
	h.client = &http.Client{Transport: t, CheckRedirect: h.redirect}
	return h
}

func (h *HTTP) redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if err := h.allow.Check(req.URL); err != nil {
		return err
	}
	req.Header.Del("Referer") // it has the query of where we come from
	req.Host = via[0].Host
	if hostOf(req.URL) != hostOf(via[0].URL) || req.URL.Scheme != via[0].URL.Scheme {
		req.Host = ""
		for name := range h.headers {
			req.Header.Del(name)
		}
	}
	return nil
}

// Open implements Source.
func (h *HTTP) Open(ctx context.Context, u *url.URL, offset, length int64, ifMatch string) (io.ReadCloser, Info, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, Info{}, &SourceError{URL: Redact(u), Err: errors.New("no valid request can be made of it")}
	}
	for name, value := range h.headers {
		req.Header.Set(name, value)
		if strings.EqualFold(name, "Host") {
			req.Host = value // net/http passes over the header
		}
	}
	return get(h.client, req, u, offset, length, ifMatch)
}

// get asks for a range and checks what comes back. It serves every source
// that speaks plain HTTP.
func get(client *http.Client, req *http.Request, u *url.URL, offset, length int64, ifMatch string) (io.ReadCloser, Info, error) {
	ranged := offset > 0 || length >= 0
	if ranged {
		req.Header.Set("Range", byteRange(offset, length))
	}
	if ifMatch != "" {
		req.Header.Set("If-Match", ifMatch)
	}
	resp, err := client.Do(req)
	if err != nil {
		var refused *NotAllowedError
		if errors.As(err, &refused) {
			return nil, Info{}, fmt.Errorf("%s redirects to %w", Redact(u), refused)
		}
		if end := Ended(req.Context(), u); end != nil {
			return nil, Info{}, end
		}
		var ue *url.Error // repeats the URL, with its secrets
		if errors.As(err, &ue) {
			err = ue.Err
		}
		if strings.Contains(err.Error(), "Location header") {
			err = errors.New("it redirects to what can't be read as a URL") // and may hold a secret
		}
		return nil, Info{}, &SourceError{URL: Redact(u), Err: err, Wait: NetworkTransient(err)}
	}
	info := Info{Size: -1, ETag: strong(resp.Header.Get("ETag")), URL: Redact(resp.Request.URL)}
	switch {
	case resp.StatusCode == http.StatusPartialContent && ranged:
		first, size, ok := contentRange(resp.Header.Get("Content-Range"))
		if ok && first == offset {
			info.Size, info.Ranges = size, true
			return resp.Body, info, nil
		}
		err = fmt.Errorf("asked for %s, got Content-Range %.60q", req.Header.Get("Range"), resp.Header.Get("Content-Range"))
	case resp.StatusCode == http.StatusOK && offset == 0:
		info.Size = resp.ContentLength // the server does not know ranges, or was not asked
		info.Ranges = !ranged && strings.EqualFold(resp.Header.Get("Accept-Ranges"), "bytes")
		return resp.Body, info, nil
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && offset == 0:
		info.Size = 0 // an empty object has no first byte to ask for
		_ = resp.Body.Close()
		return http.NoBody, info, nil
	case resp.StatusCode == http.StatusOK:
		err = ErrNoRanges
	default:
		err = errors.New(strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))))
	}
	_ = resp.Body.Close()
	return nil, Info{}, &SourceError{URL: Redact(u), Status: resp.StatusCode, Err: err, Wait: StatusTransient(resp.StatusCode),
		Changed: resp.StatusCode == http.StatusPreconditionFailed}
}

func byteRange(offset, length int64) string {
	if length < 0 {
		return fmt.Sprintf("bytes=%d-", offset)
	}
	return fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
}

// contentRange reads "bytes 0-99/1234".
func contentRange(s string) (first, size int64, ok bool) {
	rest, found := strings.CutPrefix(s, "bytes ")
	span, total, slash := strings.Cut(rest, "/")
	from, _, dash := strings.Cut(span, "-")
	first, err1 := strconv.ParseInt(from, 10, 64)
	size, err2 := strconv.ParseInt(total, 10, 64)
	return first, size, found && slash && dash && err1 == nil && err2 == nil && 0 <= first && first < size
}

// strong is the ETag where it names the very bytes.
func strong(etag string) string {
	if strings.HasPrefix(etag, "W/") {
		return ""
	}
	return etag
}
