package manifest

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"gurney/strictyaml"
)

const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func parse(t *testing.T, doc string) *Manifest {
	t.Helper()
	m, warnings, err := Parse("m.yml", []byte(doc), ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("warning: %v", w)
	}
	return m
}

// The form in which capistrano-stretcher's Ruby writes manifests.
func TestParseRuby(t *testing.T) {
	m := parse(t, `---
src: s3://acme/assets/app.tgz
checksum: E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855
dest: "/srv/app/releases/20261123140400"
commands:
  pre:
  -
  post:
  - ln -nfs /srv/app/releases/20261123140400 /srv/app/current
  -
  - 1
  - true
  success:
  - ':symbol'
  - !binary |-
    ZWNobyBow6k=
  failure:
  - cat >> /tmp/failure
excludes:
- "*.pid"
- '*.socket'
`)
	want := &Manifest{
		Src: "s3://acme/assets/app.tgz", Checksum: Checksum{"sha256", sum},
		Dest: "/srv/app/releases/20261123140400", DestMode: 0o755,
		Commands: Commands{
			Post:    []string{"ln -nfs /srv/app/releases/20261123140400 /srv/app/current", "1", "true"},
			Success: []string{":symbol", "echo hé"},
			Failure: []string{"cat >> /tmp/failure"},
		},
		Excludes: []string{"*.pid", "*.socket"}, SyncStrategy: Rsync,
		Timeout: time.Hour, Keep: 5,
	}
	want.Commands.Pre = m.Commands.Pre // empty, nil or not
	if len(m.Commands.Pre) != 0 || !reflect.DeepEqual(m, want) {
		t.Errorf("got\n%+v\nwant\n%+v", m, want)
	}
}

const full = `src: s3://acme/chef/a.tar.zst
checksum: ` + sum + `
dest: /srv/chef/
dest_mode: 0711
sync_strategy: release
app: chef
maintenance: skip
timeout: 20m
keep: 3
exclude_from: .stretcher/excludes
chef:
  nodes: json
  config: etc/solo.rb
  environment: production
  run_list: recipe[base], role[web]
  log_level: info
  timeout: 90s
  why_run: true
commands:
  env: {TOKEN: s3cret, PORT: 80, NOTHING: }
index: {src: "https://acme.test/a.idx", sha256: ` + sum + `}
`

func TestParseFull(t *testing.T) {
	want := &Manifest{
		Src: "s3://acme/chef/a.tar.zst", Checksum: Checksum{"sha256", sum}, Dest: "/srv/chef", DestMode: 0o711,
		SyncStrategy: Release, App: "chef", Maintenance: "skip", Timeout: 20 * time.Minute, Keep: 3,
		ExcludeFrom: ".stretcher/excludes",
		Commands:    Commands{Env: map[string]string{"TOKEN": "s3cret", "PORT": "80", "NOTHING": ""}},
		Index:       &Index{Src: "https://acme.test/a.idx", SHA256: sum},
		Chef: &Chef{Nodes: "json", Config: "etc/solo.rb", Environment: "production",
			RunList: []string{"recipe[base]", "role[web]"}, LogLevel: "info", Timeout: 90 * time.Second, WhyRun: true},
	}
	if m := parse(t, full); !reflect.DeepEqual(m, want) {
		t.Errorf("got\n%+v\nwant\n%+v", m, want)
	}
}

// TestParseWrong takes the full manifest, changes one thing and wants one message.
func TestParseWrong(t *testing.T) {
	tests := []struct{ from, to, want string }{
		{"s3://acme/chef/a.tar.zst", "ftp://u:hunter2@acme/a", "m.yml:1:6: src: must be a URL of one of the schemes s3, gs, http, https, file"},
		{"s3://acme/chef/a.tar.zst", "https://u:hunter2%zz@acme/a", "m.yml:1:6: src: must be a URL: s3, gs, http, https, file"},
		{"s3://acme/chef/a.tar.zst", "s3:///chef/a", "m.yml:1:6: src: must name a bucket or host after s3://"},
		{"s3://acme/chef/a.tar.zst", "s3://acme/", "m.yml:1:6: src: must name a file after the bucket or host"},
		{"s3://acme/chef/a.tar.zst", "file://srv/a", "m.yml:1:6: src: must have three slashes before the path: file:///srv/a.tar.gz"},
		{sum + "\ndest", sum[1:40] + "\ndest", "m.yml:2:11: checksum: 39 hex digits; md5 has 32, sha1 40, sha256 64, sha512 128"},
		{sum + "\ndest", "a\ndest", "m.yml:2:11: checksum: 1 hex digit; md5 has 32, sha1 40, sha256 64, sha512 128"},
		{sum + "\ndest", "zz\ndest", "m.yml:2:11: checksum: must be hex digits: md5 has 32, sha1 40, sha256 64, sha512 128"},
		{"dest: /srv/chef/", "dest: srv", "m.yml:3:7: dest: must be an absolute path"},
		{"dest: /srv/chef/", "dest: /srv/..", "m.yml:3:7: dest: must not be /: all that is not in the archive would be deleted"},
		{"dest: /srv/chef/\n", "\n", "m.yml:1:6: src: needs dest beside it"},
		{"dest_mode: 0711", "dest_mode: 755", "m.yml:4:12: dest_mode: 755 is decimal, mode 01363; write 0755"},
		{"dest_mode: 0711", "dest_mode: rwx", "m.yml:4:12: dest_mode: must be an octal mode such as 0755"},
		{"sync_strategy: release", "sync_strategy: cp", `m.yml:5:16: sync_strategy: must be one of rsync, mv, release; got "cp"`},
		{"app: chef", "app: a/b", "m.yml:6:6: app: must be 1 to 63 letters, digits, dots, underscores and hyphens, a letter or digit first"},
		{"maintenance: skip", "maintenance: wait", `m.yml:7:14: maintenance: must be one of hold, skip, ignore; got "wait"`},
		{"timeout: 20m", "timeout: 1800", "m.yml:8:10: timeout: 1800 has no unit: write 1800s, 1800m or 1800h"},
		{"timeout: 20m", "timeout: -1s", "m.yml:8:10: timeout: must be positive, got -1s"},
		{"timeout: 20m", "timeout: soon", "m.yml:8:10: timeout: must be a duration such as 90s, 30m or 1h30m"},
		{"keep: 3", "keep: 1", "m.yml:9:7: keep: must be at least 2, got 1"},
		{"keep: 3", "keep: all", "m.yml:9:7: keep: must be a whole number"},
		{".stretcher/excludes", "../excludes", `m.yml:10:15: exclude_from: must be a path inside the archive, without a leading / and without ..; got "../excludes"`},
		{"nodes: json", "nodes: /json", `m.yml:12:10: chef.nodes: must be a path inside the archive, without a leading / and without ..; got "/json"`},
		{"config: etc/solo.rb", `config: ""`, "m.yml:13:11: chef.config: must be a path inside the archive; leave the key out for the default"},
		{"environment: production", "environment: a b", "m.yml:14:16: chef.environment: must be letters, digits, underscores and hyphens"},
		{"recipe[base], role[web]", "recipe[base] role[web]", `m.yml:15:13: chef.run_list: items must be recipe[name], role[name] or a recipe's name; got "recipe[base] role[web]"`},
		{"log_level: info", "log_level: loud", `m.yml:16:14: chef.log_level: must be one of auto, trace, debug, info, warn, error, fatal; got "loud"`},
		{"why_run: true", "why_run: 2", "m.yml:18:12: chef.why_run: must be true or false"},
		{"TOKEN: s3cret", "TOKEN: [s3cret]", "m.yml:20:16: commands.env.TOKEN: must be a string, is a list"},
		{"TOKEN: s3cret", "TOKEN: *s3cret", "m.yml: not YAML: unknown anchor (quote a value that begins with *) referenced"},
		{"TOKEN: s3cret", "A=B: s3cret", "m.yml:20:8: commands.env: must be names without = and values without NUL bytes"},
		{"TOKEN: s3cret", "PORT: s3cret", "m.yml:20:23: commands.env.PORT: given twice, first on line 20"},
		{`src: "https://acme.test/a.idx", `, "", "m.yml:21:8: index: needs src and sha256"},
		{"app: chef", "app: chef\n---\nx: 1", "m.yml:7:1: a second document; one file holds one"},
		{"app: chef", "app: chef\n\tx: 1", "m.yml:6: not YAML: found a tab character that violates indentation"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			doc := strings.Replace(full, tt.from, tt.to, 1)
			if doc == full {
				t.Fatalf("%q is not in the manifest", tt.from)
			}
			_, _, err := Parse("m.yml", []byte(doc), ParseOptions{})
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "hunter2")) {
				t.Error("the error tells a secret")
			}
		})
	}
}

func TestParseWhole(t *testing.T) {
	tests := []struct{ name, doc, want string }{
		{"nothing", "# soon\n", "m.yml: nothing in it; a manifest has src, checksum and dest, or commands"},
		{"null", "---\n~\n", "m.yml: nothing in it; a manifest has src, checksum and dest, or commands"},
		{"no deploy", "app: chef", "m.yml:1: neither src nor commands; a manifest has src, checksum and dest, or commands"},
		{"commands only", "commands: {pre: [hostname]}", ""},
		{"chef without src", "commands: {}\nchef:", "m.yml:2:6: chef: needs src: the archive that holds solo.rb and the cookbooks"},
		{"a scalar for chef", "src: file:///a\nchecksum: " + sum + "\ndest: /x\nchef: true",
			"m.yml:4:7: chef: must be a mapping (known keys: config, environment, log_level, nodes, run_list, timeout, why_run), is a single value"},
		{"a web page", "<html>not found</html>", "m.yml:1:1: must be a mapping"},
		{"all at once, by line", "src: x\nkeep: 1\nchecksum: 12\ndest: y",
			"m.yml:1:6: src: must be a URL of one of the schemes s3, gs, http, https, file\n" +
				"m.yml:2:7: keep: must be at least 2, got 1\n" +
				"m.yml:3:11: checksum: 2 hex digits; md5 has 32, sha1 40, sha256 64, sha512 128\n" +
				"m.yml:4:7: dest: must be an absolute path"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Parse("m.yml", []byte(tt.doc), ParseOptions{})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestParseWarnings(t *testing.T) {
	m, warnings, err := Parse("m.yml", []byte(strings.Replace(full, "timeout: 90s", "timout: 90s", 1)+"wholly_other: 1\n"), ParseOptions{})
	if err != nil || m.Chef.Timeout != 30*time.Minute {
		t.Fatalf("got %v, %v; want the default timeout", m, err)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.Error())
		if !w.Unknown {
			t.Errorf("%v is not marked unknown", w)
		}
	}
	want := []string{"m.yml:17:3: chef.timout: no such key; did you mean timeout?", "m.yml:22:1: wholly_other: no such key"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseDefaults(t *testing.T) {
	base := "src: file:///a.tgz\nchecksum: " + sum + "\ndest: /srv/x\n"
	if m := parse(t, base+"chef:\n"); m.SyncStrategy != Release ||
		!reflect.DeepEqual(m.Chef, &Chef{Nodes: "nodes", Config: "solo.rb", Timeout: 30 * time.Minute}) {
		t.Errorf("chef without a value: got %+v of %+v", m.Chef, m)
	}
	if m := parse(t, base+"chef: {}\nsync_strategy: mv"); m.SyncStrategy != Mv || m.Chef == nil {
		t.Errorf("got %+v", m)
	}
	for text, want := range map[string]uint32{"0755": 0o755, `"0711"`: 0o711, "'711'": 0o711, "0o700": 0o700, "493": 0o755, "02750": 0o750} {
		if m := parse(t, base+"dest_mode: "+text); m.DestMode != want {
			t.Errorf("dest_mode: %s: got %#o, want %#o", text, m.DestMode, want)
		}
	}
	m := parse(t, base+"commands:\n  post: &c [a, b]\n  failure: *c\n  env: {<<: {A: 1, B: 2}, B: 3}\n")
	if len(m.Commands.Failure) != 2 || m.Commands.Env["A"] != "1" || m.Commands.Env["B"] != "3" {
		t.Errorf("anchors: got %+v", m.Commands)
	}
}

func TestErrorIsProblems(t *testing.T) {
	_, _, err := Parse("m.yml", []byte("keep: 1"), ParseOptions{Env: os.LookupEnv})
	var ps strictyaml.Problems
	var p strictyaml.Problem
	if !errors.As(err, &ps) || !errors.As(err, &p) || p.Key != "keep" && p.Line != 1 {
		t.Errorf("got %#v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{full, "a: &a\n  <<: *a\n", "a: &a [*a]", "? [x]\n: y", "commands: {env: {<<: [{a: b}, 1]}}",
		"src: {{ env \"X\" `y` }}\n{{- must_env \"Z\" -}} ", "commands: &c {<<: *c, pre: [*c]}", "---\n---\n", "chef: !!merge {}"} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, doc []byte, tolerate bool) {
		m, _, err := Parse("m.yml", doc, ParseOptions{TolerateEnv: tolerate})
		if (m == nil) == (err == nil) {
			t.Fatalf("got %v and %v; want one of the two", m, err)
		}
	})
}

// What ships as an example parses as it stands, with nothing to warn of.
func TestExamples(t *testing.T) {
	for _, name := range []string{"manifest.yml", "stretcher.yml"} {
		data, err := os.ReadFile("../examples/" + name)
		if err != nil {
			t.Fatal(err)
		}
		m := parse(t, string(data))
		if (m.Chef != nil) != (name == "manifest.yml") {
			t.Errorf("%s: got %+v", name, m)
		}
	}
}

// An empty src is none, and without any it takes commands.
func TestEmptySrc(t *testing.T) {
	if m, _, err := Parse("m.yml", []byte("src: ''\ncommands: {pre: ['true']}\n"), ParseOptions{}); err != nil || m.Src != "" || len(m.Commands.Pre) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	for _, text := range []string{"src: ''\n", "src: ''\ndest: /srv/x\nchef: {}\n"} {
		if _, _, err := Parse("m.yml", []byte(text), ParseOptions{}); err == nil || !strings.Contains(err.Error(), "src") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
