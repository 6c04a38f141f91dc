package artifact

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestAllowlist(t *testing.T) {
	sources := []string{"s3://acme/a", "S3://Case/Dir/", "https://files.example.com/deploy/", "http://plain.example.com", "http://port.example.com:8080/", "file:///srv/artifacts", "gs://acme/"}
	allow, err := ParseAllowlist(sources)
	must(t, err)
	for _, c := range []struct {
		url string
		ok  bool
	}{
		{"s3://acme/a/x", true},
		{"s3://acme/a", true},
		{"s3://acme/a/", true},
		{"s3://acme//a//x", true}, // Stretcher's events have doubled slashes
		{"s3://acme/ab", false},
		{"s3://acme/", false},
		{"s3://acme", false},
		{"s3://acme/A/x", false},
		{"s3://acme.evil/a/x", false},
		{"s3://acm/a/x", false},
		{"s3://acme/b/../a/x", false},
		{"s3://acme/a/../b", false},
		{"s3://acme/a/..", false},
		{"s3://acme/a/./x", false},
		{"s3://acme/a/%2e%2e/b", false},
		{"s3://acme/a/%2E./b", false},
		{"s3://acme/a/.%252e/b", false},
		{"s3://acme/a/..%2fb", false},
		{"s3://acme/a/..%5cb", false},
		{`s3://acme/a/..\b`, false},
		{"s3://acme/a%2fx", false},
		{"s3://acme/a/x%00", false},
		{"s3://acme/a/..;v=1/b", false},
		{"s3://acme/a/..x/b", true},
		{"s3://acme/a/x?versionId=1#f", true},
		{"s3://key:secret@acme/a/x", true}, // userinfo says nothing of where
		{"s3://acme@evil/a/x", false},
		{"s3://case/Dir/x", false}, // names of buckets are told by their case
		{"s3://Case/Dir/x", true},
		{"s3:acme/a/x", false},
		{"https://files.example.com/deploy/x", true},
		{"HTTPS://FILES.example.COM/deploy/x", true},
		{"https://files.example.com:443/deploy/x", true},
		{"https://files.example.com./deploy/x", true},
		{"https://files.example.com:8443/deploy/x", false},
		{"http://files.example.com/deploy/x", false},
		{"https://files.example.com/deployed/x", false},
		{"https://files.example.com@evil.example/deploy/x", false},
		{"https://evil.example/https://files.example.com/deploy/x", false},
		{"https://files.example.com.evil.example/deploy/x", false},
		{"//files.example.com/deploy/x", false},
		{"http://plain.example.com", true},
		{"http://plain.example.com:80/any/where", true},
		{"http://port.example.com/x", false},
		{"http://port.example.com:8080/x", true},
		{"file:///srv/artifacts/x", true},
		{"file://localhost/srv/artifacts/x", true},
		{"file://elsewhere/srv/artifacts/x", false},
		{"file:///srv/artifacts2/x", false},
		{"file:///etc/shadow", false},
		{"gs://acme/x", true},
		{"", false},
	} {
		u, err := url.Parse(c.url)
		must(t, err)
		err = allow.Check(u)
		var denied *NotAllowedError
		if c.ok && err != nil || !c.ok && !errors.As(err, &denied) {
			t.Errorf("%s: %v, allowed should be %v", c.url, err, c.ok)
		}
		if err := (Allowlist{}).Check(u); err == nil {
			t.Errorf("%s: the zero list allows it", c.url)
		}
		if err := AllowAll().Check(u); err != nil {
			t.Errorf("%s: %v, though all is allowed", c.url, err)
		}
	}
}

func TestParseAllowlist(t *testing.T) {
	for _, bad := range []string{"", "/srv", "acme/deploy", "s3:acme/deploy", "s3://", "https:///x", "https://h/%2e%2e/x", "https://h/a%2fb", "http://[", "file:relative", "%"} {
		_, err := ParseAllowlist([]string{"s3://acme/", bad})
		if err == nil || !strings.Contains(err.Error(), "sources: item 2") {
			t.Errorf("%q: err = %v, want it to name item 2", bad, err)
		}
	}
}

// TestRedact: what may hold a secret is in no text, however the URL is made.
func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"https://user:s3cret@h.example/p/x?token=s3cret#s3cret": "https://h.example/p/x",
		"https://h.example/p%20x?":                              "https://h.example/p%20x",
		"https:user:s3cret@h.example/p":                         "https:…",
		"s3://acme//x//y":                                       "s3://acme//x//y",
		"file:///srv/x?s3cret":                                  "file:///srv/x",
	} {
		u, err := url.Parse(in)
		must(t, err)
		if got := Redact(u); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
		if u.String() != in {
			t.Errorf("%s became %s", in, u)
		}
	}
	if got := Redact(nil); got != "" {
		t.Errorf("nil: %q", got)
	}
}
