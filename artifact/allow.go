package artifact

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"strings"
)

// Allowlist is the URL prefixes below which manifests and archives may stand.
// The zero value allows nothing.
type Allowlist struct {
	all      bool
	prefixes []*url.URL
}

// AllowAll is for who runs a manifest by hand, without a configuration.
func AllowAll() Allowlist { return Allowlist{all: true} }

// ParseAllowlist reads prefixes such as s3://acme/deploy/ or
// https://files.example.com/.
func ParseAllowlist(prefixes []string) (Allowlist, error) {
	var a Allowlist
	for i, p := range prefixes {
		u, err := url.Parse(p)
		if err != nil || u.Scheme == "" || u.Host == "" && u.Scheme != "file" {
			return Allowlist{}, fmt.Errorf("sources: item %d is not the beginning of a URL, such as s3://acme/deploy/", i+1)
		}
		if _, err := cleanPath(u); err != nil {
			return Allowlist{}, fmt.Errorf("sources: item %d: %w", i+1, err)
		}
		a.prefixes = append(a.prefixes, u)
	}
	return a, nil
}

// NotAllowedError is a URL that no configured source covers.
type NotAllowedError struct {
	URL    string // redacted
	Reason string
}

func (e *NotAllowedError) Error() string { return e.URL + ": " + e.Reason }

// Check says whether u may be read: scheme and host are the same, and the
// prefix's path is u's own or a directory above it, by whole segments. Where
// one reader could take a path for another (dot segments, encoded slashes) it
// is refused. Userinfo, query and fragment don't count.
func (a Allowlist) Check(u *url.URL) error {
	if a.all {
		return nil
	}
	have, err := cleanPath(u)
	if err != nil {
		return &NotAllowedError{URL: Redact(u), Reason: err.Error()}
	}
	for _, p := range a.prefixes {
		want, err := cleanPath(p)
		if err != nil || !strings.EqualFold(p.Scheme, u.Scheme) || hostOf(p) != hostOf(u) {
			continue
		}
		if want == "/" || have == want || strings.HasPrefix(have, want+"/") {
			return nil
		}
	}
	return &NotAllowedError{URL: Redact(u), Reason: "not below any of the configured sources"}
}

// CheckRaw is Check for what has not been parsed.
func (a Allowlist) CheckRaw(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("the URL can't be parsed") // err repeats it, with its secrets
	}
	return a.Check(u)
}

// cleanPath is the path with one slash between segments, or an error where it
// could be read in two ways.
func cleanPath(u *url.URL) (string, error) {
	if u.Opaque != "" {
		return "", fmt.Errorf("a URL needs // after its scheme")
	}
	escaped := strings.ToLower(u.EscapedPath())
	for _, code := range []string{"%2f", "%5c", "%252e", "%252f", "%255c"} {
		if strings.Contains(escaped, code) {
			return "", fmt.Errorf("encoded slashes, backslashes and twice encoded dots in a path are refused")
		}
	}
	if strings.ContainsAny(u.Path, "\\\x00") {
		return "", fmt.Errorf("backslashes and zero bytes in a path are refused")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		// Some servers take /..;x/ for /../.
		if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
			return "", fmt.Errorf("dot segments in a path are refused")
		}
	}
	return path.Clean("/" + u.Path), nil
}

// hostOf is the host with its port, in one spelling. The names of buckets
// are left as they are: their case may count.
func hostOf(u *url.URL) string {
	if scheme := strings.ToLower(u.Scheme); scheme == "s3" || scheme == "gs" {
		return u.Host
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if host == "localhost" && strings.EqualFold(u.Scheme, "file") {
		host = ""
	}
	return net.JoinHostPort(host, port)
}
