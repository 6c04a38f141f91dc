package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"gurney/strictyaml"
)

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

// load writes doc to a file and loads it; the file's directory is taken out
// of the error's text.
func load(t *testing.T, doc string, env map[string]string) (*Config, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gurney.yml")
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, lookup(env))
	if err != nil {
		var ps strictyaml.Problems
		if !errors.As(err, &ps) {
			t.Errorf("%T is not Problems", err)
		}
		return c, strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", "")
	}
	return c, ""
}

func TestDefaultIsValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	c, err := Load("", nil)
	if err != nil || !reflect.DeepEqual(c, Default()) {
		t.Errorf("got %+v, %v", c, err)
	}
	if err := c.RequireAgent(); err == nil || !strings.HasPrefix(err.Error(), "sources: ") {
		t.Errorf("got %v, want that sources are missing", err)
	}
	if _, err := Load("/nowhere/gurney.yml", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestValidate changes one thing of a valid configuration and wants one message.
func TestValidate(t *testing.T) {
	tests := []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Node = "a/b" }, `node: must have no / and no spaces, for it is a part of keys in Consul; got "a/b"`},
		{func(c *Config) { c.Apps = []string{"ok", "-x"} }, `apps: names must be 1 to 63 letters, digits, dots, underscores and hyphens, a letter or digit first; got "-x"`},
		{func(c *Config) { c.Apps = []string{"a", "a"} }, "apps: a stands there twice"},
		{func(c *Config) { c.Sources = []string{"s3://acme/", "acme/x"} }, "sources: item 2 must be the beginning of a URL with scheme and bucket or host (s3, gs, http, https, file), such as s3://acme/deploy/"},
		{func(c *Config) { c.Sources = []string{"https://u:hunter2@acme/"} }, "sources: item 1 must have no user, query or fragment"},
		{func(c *Config) { c.Sources = []string{"https://acme.test:70000/"} }, "sources: item 1 must have a port from 1 to 65535, or none"},
		{func(c *Config) { c.Sources = []string{"s3://acme/a/../b"} }, "sources: item 1 must be a plain path: no URL with dot segments, backslashes or encoded slashes is ever fetched"},
		{func(c *Config) { c.Sources = []string{"s3://acme/a%2Fb"} }, "sources: item 1 must be a plain path: no URL with dot segments, backslashes or encoded slashes is ever fetched"},
		{func(c *Config) { c.Sources = []string{"s3://acme/a.b/c..d/", "s3://acme/a%20b"} }, ""},
		{func(c *Config) { c.Dests = []string{"srv"} }, `dests: must be an absolute path, got "srv"`},
		{func(c *Config) { c.StateDir = "" }, `state_dir: must be an absolute path, got ""`},
		{func(c *Config) { c.StateDir = "/" }, "state_dir: must be a directory of its own, not /"},
		{func(c *Config) { c.Log.Level = "loud" }, `log.level: must be one of trace, debug, info, warn, error; got "loud"`},
		{func(c *Config) { c.Log.Format = "xml" }, `log.format: must be one of console, json; got "xml"`},
		{func(c *Config) { c.Consul.Address = "http://a/b" }, "consul.address: must be host:port, http://host:port, https://host:port or unix:///path"},
		{func(c *Config) { c.Consul.Token = "hunter2"; c.Consul.TokenFile = "/t" }, "consul.token: set token or token_file, not both"},
		{func(c *Config) { c.Consul.Token = "hunter2\n" }, "consul.token: must have no spaces or line ends"},
		{func(c *Config) { c.Consul.TokenFile = "t" }, `consul.token_file: must be an absolute path, got "t"`},
		{func(c *Config) { c.Consul.Prefix = "/gurney" }, `consul.prefix: must be words with single slashes between them, such as gurney/; got "/gurney"`},
		{func(c *Config) { c.Consul.DC = "eu west" }, `consul.dc: must be letters, digits, underscores and hyphens; got "eu west"`},
		{func(c *Config) { c.Consul.CAFile = "ca.pem" }, `consul.ca_file: must be an absolute path, got "ca.pem"`},
		{func(c *Config) { c.Consul.CertFile = "/c" }, "consul.cert_file: needs key_file beside it"},
		{func(c *Config) { c.Consul.KeyFile = "/k" }, "consul.key_file: needs cert_file beside it"},
		{func(c *Config) { c.S3.Endpoint = "minio:9000" }, "s3.endpoint: must be a URL such as https://s3.acme.test:9000, without user and query"},
		{func(c *Config) { c.S3.Region = "eu/1" }, `s3.region: must be letters, digits, underscores and hyphens; got "eu/1"`},
		{func(c *Config) { c.HTTP.Headers = map[string]string{"A b": "hunter2"} }, `http.headers: names must be letters, digits and hyphens; got "A b"`},
		{func(c *Config) { c.HTTP.Headers = map[string]string{"A": "hunter2\nB: x"} }, "http.headers: the value of A must be one line"},
		{func(c *Config) { c.Limits.Files = 0 }, "limits.files: must be positive, got 0"},
		{func(c *Config) { c.Limits.Bytes = -1 }, "limits.bytes: must be positive, got -1"},
		{func(c *Config) { c.Chef.Command = "bin/chef-solo" }, `chef.command: must be an absolute path, or a name without slashes and arguments; got "bin/chef-solo"`},
		{func(c *Config) { c.Chef.HostnamePrefixFile = "x" }, `chef.hostname_prefix_file: must be an absolute path, got "x"`},
		{func(c *Config) { c.Chef.Timeout = -1 }, "chef.timeout: must not be negative, got -1ns"},
		{func(c *Config) { c.Chef.License = "yes" }, `chef.license: must be one of accept, accept-no-persist, accept-silent; got "yes"`},
		{func(c *Config) { c.Chef.Environment = "a b" }, `chef.environment: must be letters, digits, underscores and hyphens; got "a b"`},
		{func(c *Config) { c.Role.Service = "gurney" }, "role.service: must not be gurney, which is another service's name"},
		{func(c *Config) { c.Role.Service = "my role" }, `role.service: must be letters, digits and hyphens, at most 63, as in DNS, such as role; got "my role"`},
		{func(c *Config) { c.Maintenance = "" }, `maintenance: must be one of hold, skip, ignore; got ""`},
		{func(c *Config) { c.DrainWait = -time.Second }, "drain_wait: must not be negative, got -1s"},
		{func(c *Config) { c.DrainUntil = "" }, `drain_until: must be one of passing, ended; got ""`},
		{func(c *Config) { c.Bootstrap.Timeout = 0 }, "bootstrap.timeout: must be at least 1s, got 0s"},
		{func(c *Config) { c.Reconcile = 0 }, "reconcile: must be at least 1s, got 0s"},
		{func(c *Config) { c.ConvergeEvery = time.Millisecond }, "converge_every: must be 0s, which is never, or at least 1s; got 1ms"},
		{func(c *Config) { c.StaleAfter = -time.Second }, "stale_after: must not be negative, got -1s"},
		{func(c *Config) { c.Splay = -time.Second }, "splay: must not be negative, got -1s"},
		{func(c *Config) { c.Listen = "8599" }, `listen: must be host:port, such as 127.0.0.1:8599, or empty to be off; got "8599"`},
		{func(c *Config) { c.Report.Dashboard = "a/b" }, `report.dashboard: must have no / and no spaces, for it is a part of keys in Consul; got "a/b"`},
		{func(c *Config) { c.Consul.Address, c.Listen = "unix:///run/consul.sock", "" }, ""},
		{func(c *Config) { c.Sources = []string{"file:///srv/drop", "https://a.test/x"} }, ""},
	}
	checked := map[string]bool{}
	for _, tt := range tests {
		c := Default()
		tt.change(c)
		before := *c
		got := ""
		if err := c.Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
		if strings.Contains(got, "hunter2") {
			t.Errorf("a secret is told: %s", got)
		}
		if !reflect.DeepEqual(before, *c) {
			t.Errorf("%s: Validate changed the configuration", tt.want)
		}
		key, _, _ := strings.Cut(tt.want, ":")
		checked[key] = true
	}
	for _, k := range table {
		if (k.check != nil || k.item != nil) && !checked[k.name] {
			t.Errorf("%s is checked, but not here", k.name)
		}
	}
}

func TestLoadProblems(t *testing.T) {
	doc := `node: web/1
apss: [chef]
consul:
  address: 127.0.0.1:8500
  tokn: hunter2
reconcile: 300
splay: 10s
s3: {path_style: maybe}
splay: 20s
listen:
limits: {files: 1e6, bytes: 20GX}
`
	env := map[string]string{"GURNEY_LIMITS_FILES": "many", "GURNEY_LIMITS_BYTES": "-1", "GURNEY_RECONCILE": "never", "GURNEY_STATE_DIR": "state", "GURNEY_S3_PATH_STYLE": "1", "GURNEY_WHATEVER": "x"}
	_, got := load(t, doc, env)
	want := `gurney.yml:1:7: node: must have no / and no spaces, for it is a part of keys in Consul; got "web/1"
gurney.yml:2:1: apss: no such key; did you mean apps?
gurney.yml:5:3: consul.tokn: no such key; did you mean token?
gurney.yml:6:12: reconcile: 300 has no unit: write 300s, 300m or 300h
gurney.yml:8:18: s3.path_style: must be true or false
gurney.yml:9:1: splay: given twice, first on line 7
gurney.yml:11:17: limits.files: must be a whole number
gurney.yml:11:29: limits.bytes: must be a size such as 10485760, 10MB or 10MiB
environment: GURNEY_S3_PATH_STYLE: must be true or false
environment: GURNEY_LIMITS_FILES: must be a whole number
environment: GURNEY_LIMITS_BYTES: must be a size such as 10485760, 10MB or 10MiB
environment: GURNEY_RECONCILE: must be a duration such as 90s, 30m or 1h30m
environment: GURNEY_STATE_DIR: must be an absolute path, got "state"`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Each item of a list is told by its own place.
func TestLoadProblemsOfItems(t *testing.T) {
	doc := `apps: [chef, ~, -x, chef]
sources:
  - s3://acme/
  - acme/x
  -
  - s3://acme/../x
dests: [srv,
  /srv, opt]
`
	_, got := load(t, doc, map[string]string{"GURNEY_APPS": "chef,chef"})
	want := `gurney.yml:4:5: sources: item 2 must be the beginning of a URL with scheme and bucket or host (s3, gs, http, https, file), such as s3://acme/deploy/
gurney.yml:6:5: sources: item 3 must be a plain path: no URL with dot segments, backslashes or encoded slashes is ever fetched
gurney.yml:7:9: dests: must be an absolute path, got "srv"
gurney.yml:8:9: dests: must be an absolute path, got "opt"
environment: GURNEY_APPS: chef stands there twice`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	_, got = load(t, doc, nil)
	if want := `gurney.yml:1:17: apps: names must be 1 to 63 letters, digits, dots, underscores and hyphens, a letter or digit first; got "-x"
gurney.yml:1:21: apps: chef stands there twice
`; !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A token that somebody brings along stands in for the node's, in whichever way
// the node has it; Gurney's own variables come before Consul's.
func TestTokenOfTheEnvironment(t *testing.T) {
	const inFile, inTokenFile = "consul: {token: node}", "consul: {token_file: /etc/token}"
	for _, c := range []struct {
		doc         string
		env         map[string]string
		token, file string
	}{
		{inTokenFile, map[string]string{"CONSUL_HTTP_TOKEN": "mine"}, "mine", ""},
		{inFile, map[string]string{"CONSUL_HTTP_TOKEN": "mine"}, "mine", ""},
		{inTokenFile, map[string]string{"GURNEY_CONSUL_TOKEN": "mine", "CONSUL_HTTP_TOKEN": "other"}, "mine", ""},
		{inFile, map[string]string{"GURNEY_CONSUL_TOKEN_FILE": "/mine", "CONSUL_HTTP_TOKEN": "other"}, "", "/mine"},
		{inTokenFile, map[string]string{"CONSUL_HTTP_TOKEN": ""}, "", "/etc/token"},
		{inTokenFile, nil, "", "/etc/token"},
		{"{}", map[string]string{"CONSUL_HTTP_TOKEN": "mine"}, "", ""}, // the client reads it itself
	} {
		got, msg := load(t, c.doc, c.env)
		if msg != "" || got.Consul.Token != c.token || got.Consul.TokenFile != c.file {
			t.Errorf("%s, %v: %+v, %s", c.doc, c.env, got.Consul, msg)
		}
	}
	if _, msg := load(t, inTokenFile, map[string]string{"CONSUL_HTTP_TOKEN": "a b"}); msg != "environment: CONSUL_HTTP_TOKEN: must have no spaces or line ends" {
		t.Errorf("got %s", msg)
	}
}

func TestEnvironmentBeatsFile(t *testing.T) {
	doc := "apps: [a]\nlisten: 127.0.0.1:1\nconsul: {token_file: /etc/token, prefix: fleet}\nhttp: {headers: {Authorization: x}}\nlimits: {files: 5, bytes: 1kB}\n"
	c, msg := load(t, doc, map[string]string{
		"GURNEY_APPS": "b, c,", "GURNEY_LISTEN": "", "GURNEY_CONSUL_TOKEN": "mine", "GURNEY_S3_PATH_STYLE": "true",
		"GURNEY_LIMITS_BYTES": "2GiB", "GURNEY_SPLAY": "30s", "GURNEY_HTTP_HEADERS": "no",
	})
	if msg != "" {
		t.Fatal(msg)
	}
	want := Default()
	want.Apps, want.Listen, want.S3.PathStyle, want.Splay = []string{"b", "c"}, "", true, 30*time.Second
	want.Consul.Token, want.Consul.Prefix = "mine", "fleet"
	want.Limits = Limits{Files: 5, Bytes: 2 << 30}
	want.HTTP.Headers = map[string]string{"Authorization": "x"}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c, want)
	}
}
