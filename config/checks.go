package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The checks return what would be right, or "" where the value is.

var (
	appName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	dnsLabel   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	plainWord  = regexp.MustCompile(`^[A-Za-z0-9_-]*$`)
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
)

func oneOf(s string, words ...string) string {
	if slices.Contains(words, s) {
		return ""
	}
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "" })
	return fmt.Sprintf("must be one of %s; got %q", strings.Join(words, ", "), s)
}

func word(s string) string {
	if plainWord.MatchString(s) {
		return ""
	}
	return fmt.Sprintf("must be letters, digits, underscores and hyphens; got %q", s)
}

// segment checks what becomes one part of a key in Consul.
func segment(s string) string {
	if strings.Contains(s, "/") || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return fmt.Sprintf("must have no / and no spaces, for it is a part of keys in Consul; got %q", s)
	}
	return ""
}

func prefix(s string) string {
	for part := range strings.SplitSeq(strings.TrimSuffix(s, "/"), "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Sprintf("must be words with single slashes between them, such as gurney/; got %q", s)
		}
		if msg := segment(part); msg != "" {
			return msg
		}
	}
	return ""
}

func app(names []string, i int) string {
	switch name := names[i]; {
	case !appName.MatchString(name):
		return fmt.Sprintf("names must be 1 to 63 letters, digits, dots, underscores and hyphens, a letter or digit first; got %q", name)
	case slices.Contains(names[:i], name):
		return fmt.Sprintf("%s stands there twice", name)
	}
	return ""
}

// source quotes nothing: a URL may carry a password. What it takes matches URLs
// as artifact.Allowlist reads them.
func source(prefixes []string, i int) string {
	u, err := url.Parse(prefixes[i])
	if err != nil || !slices.Contains([]string{"s3", "gs", "http", "https", "file"}, u.Scheme) ||
		(u.Scheme == "file") != (u.Host == "") || u.Scheme == "file" && u.Path == "" {
		return fmt.Sprintf("item %d must be the beginning of a URL with scheme and bucket or host (s3, gs, http, https, file), such as s3://acme/deploy/", i+1)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Sprintf("item %d must have no user, query or fragment", i+1)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Sprintf("item %d must have a port from 1 to 65535, or none", i+1)
		}
	}
	segments := strings.Split(u.Path, "/")
	if slices.Contains(segments, ".") || slices.Contains(segments, "..") || encodedSlash.MatchString(u.EscapedPath()) {
		return fmt.Sprintf("item %d must be a plain path: no URL with dot segments, backslashes or encoded slashes is ever fetched", i+1)
	}
	return ""
}

// encodedSlash is what one reader takes for a slash, a backslash or a dot, and
// another does not.
var encodedSlash = regexp.MustCompile(`(?i)%2f|%5c|%25(2e|2f|5c)`)

func absolute(paths ...string) string {
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			return fmt.Sprintf("must be an absolute path, got %q", p)
		}
	}
	return ""
}

// file checks a path that may be left out.
func file(p string) string {
	if p == "" {
		return ""
	}
	return absolute(p)
}

func paired(p, other, name string) string {
	if p != "" && other == "" {
		return "needs " + name + " beside it"
	}
	return file(p)
}

func stateDir(p string) string {
	if filepath.Clean(p) == "/" {
		return "must be a directory of its own, not /"
	}
	return absolute(p)
}

// command takes a path, or a name for PATH.
func command(p string) string {
	if p == "" || filepath.IsAbs(p) || !strings.ContainsAny(p, "/ \t") {
		return ""
	}
	return fmt.Sprintf("must be an absolute path, or a name without slashes and arguments; got %q", p)
}

func token(c Consul) string {
	if c.Token != "" && c.TokenFile != "" {
		return "set token or token_file, not both"
	}
	if strings.ContainsFunc(c.Token, unicode.IsSpace) {
		return "must have no spaces or line ends"
	}
	return ""
}

// consulAddress takes what CONSUL_HTTP_ADDR does.
func consulAddress(s string) string {
	const want = "must be host:port, http://host:port, https://host:port or unix:///path"
	rest, isUnix := strings.CutPrefix(s, "unix://")
	switch {
	case s == "":
		return ""
	case isUnix:
		if !filepath.IsAbs(rest) {
			return want
		}
		return ""
	}
	for _, scheme := range []string{"http://", "https://"} {
		s = strings.TrimPrefix(s, scheme)
	}
	if s == "" || strings.ContainsAny(s, "@/ \t\n") {
		return want
	}
	return ""
}

func endpoint(s string) string {
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return "must be a URL such as https://s3.acme.test:9000, without user and query"
	}
	return ""
}

func headers(h map[string]string) string {
	for name, value := range h {
		if !headerName.MatchString(name) {
			return fmt.Sprintf("names must be letters, digits and hyphens; got %q", name)
		}
		if strings.ContainsFunc(value, unicode.IsControl) {
			return fmt.Sprintf("the value of %s must be one line", name)
		}
	}
	return ""
}

func listen(s string) string {
	if s == "" {
		return ""
	}
	_, port, err := net.SplitHostPort(s)
	if n, convErr := strconv.ParseUint(port, 10, 16); err != nil || convErr != nil || n == 0 {
		return fmt.Sprintf("must be host:port, such as 127.0.0.1:8599, or empty to be off; got %q", s)
	}
	return ""
}

// serviceName checks the name of a Consul service. Gurney's own and Consul's
// are taken.
func serviceName(s string) string {
	switch {
	case s == "gurney" || s == "consul":
		return fmt.Sprintf("must not be %s, which is another service's name", s)
	case s != "" && !dnsLabel.MatchString(s):
		return fmt.Sprintf("must be letters, digits and hyphens, at most 63, as in DNS, such as role; got %q", s)
	}
	return ""
}

func positive(n int64) string {
	if n <= 0 {
		return fmt.Sprintf("must be positive, got %d", n)
	}
	return ""
}

func notNegative(d time.Duration) string {
	if d < 0 {
		return fmt.Sprintf("must not be negative, got %s", d)
	}
	return ""
}

func offOrAtLeast(d, least time.Duration) string {
	if d != 0 && d < least {
		return fmt.Sprintf("must be 0s, which is never, or at least %s; got %s", least, d)
	}
	return ""
}

func atLeast(d, least time.Duration) string {
	if d < least {
		return fmt.Sprintf("must be at least %s, got %s", least, d)
	}
	return ""
}
