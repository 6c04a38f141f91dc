package consul_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gurney/consul"
	"gurney/kv"
)

func TestConfigIsChecked(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  consul.Config
		want string
	}{
		{"half a certificate", consul.Config{CertFile: "c.pem"}, "both cert_file and key_file"},
		{"a prefix that a URL would lose", consul.Config{Prefix: "a/../b"}, `prefix "a/../b"`},
		{"a token file that is not there", consul.Config{TokenFile: "/nonexistent/token"}, "/nonexistent/token"},
		{"a CA file that is not there", consul.Config{CAFile: "/nonexistent/ca"}, "/nonexistent/ca"},
		{"an odd scheme", consul.Config{Address: "ftp://x"}, "ftp"},
	} {
		if _, err := consul.New(test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want it to say %q", test.name, err, test.want)
		}
	}
}

func TestPrefix(t *testing.T) {
	var path string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		http.NotFound(w, r)
	}))
	defer srv.Close()
	for prefix, want := range map[string]string{
		"": "/v1/kv/gurney/k", "/": "/v1/kv/k", "ops/deploy": "/v1/kv/ops/deploy/k", "/ops/": "/v1/kv/ops/k",
	} {
		c, err := consul.New(consul.Config{Address: srv.URL, Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(t.Context(), "k", kv.Default); err != nil || path != want {
			t.Errorf("prefix %q: asked for %s, want %s (%v)", prefix, path, want, err)
		}
	}
}

func TestTokenAndDatacenter(t *testing.T) {
	var token, dc string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, dc = r.Header.Get("X-Consul-Token"), r.URL.Query().Get("dc")
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		env  map[string]string
		cfg  consul.Config
		want string
	}{
		{"none", nil, consul.Config{}, ""},
		{"environment", map[string]string{"CONSUL_HTTP_TOKEN": "env"}, consul.Config{}, "env"},
		{"environment's file", map[string]string{"CONSUL_HTTP_TOKEN_FILE": file}, consul.Config{}, "from-file"},
		{"ours over the environment's", map[string]string{"CONSUL_HTTP_TOKEN": "env"}, consul.Config{Token: "ours"}, "ours"},
		{"ours over the environment's file", map[string]string{"CONSUL_HTTP_TOKEN_FILE": file}, consul.Config{Token: "ours"}, "ours"},
		{"our file over all", map[string]string{"CONSUL_HTTP_TOKEN": "env"}, consul.Config{Token: "ours", TokenFile: file}, "from-file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			test.cfg.Address, test.cfg.DC = srv.URL, "east"
			c, err := consul.New(test.cfg)
			if err != nil {
				t.Fatal(err)
			}
			// Both ways that requests are made.
			if err := c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: "k"}); err != nil || token != test.want || dc != "east" {
				t.Errorf("Txn: token %q, dc %q (%v), want %q", token, dc, err, test.want)
			}
			if err := c.SetMaintenance(t.Context(), true, ""); err != nil || token != test.want || dc != "" {
				t.Errorf("SetMaintenance: token %q, dc %q (%v), want %q", token, dc, err, test.want)
			}
		})
	}
}
