package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gurney/report"
)

// A failed post leaves the former release live under sync_strategy release;
// the new one swaps over what is there, be it a directory of old.
func TestStretcherFailedPost(t *testing.T) {
	eachWay(t, func(y *yard) {
		dest := filepath.Join(y.Root, "app")
		y.write(dest, "REVISION", "by hand")
		manifest := func(release, post string) string {
			return y.archive("app/"+release+".tgz", y.tarball("REVISION", release)) + "dest: " + dest + "\nsync_strategy: release\ncommands: {post: ['" + post + "']}\n"
		}
		y.delivered(manifest("one", "test -e "+dest+"/REVISION"))
		if got := y.read(filepath.Join(dest, "REVISION")); got != "one" {
			y.Errorf("%q is live", got)
		}
		c := y.deliver(manifest("two", "grep two "+dest+"/REVISION; false"))
		if c.State != report.Failed || c.Phase != report.PhasePost {
			y.Errorf("%+v", c.Result)
		}
		if got := y.read(filepath.Join(dest, "REVISION")); got != "one" {
			y.Errorf("after a failed post %q is live", got)
		}
		y.delivered(manifest("three", "true"))
		if got := y.read(filepath.Join(dest, "REVISION")); got != "three" {
			y.Errorf("%q is live", got)
		}
	})
}

// A dest that is the root, relative or the system's own is refused before
// anything is fetched. The checksum is a wrong one: should this ever fail, it
// must not do what it is to prevent.
func TestStretcherDestsRefused(t *testing.T) {
	eachWay(t, func(y *yard) {
		y.archive("app/app.tgz", y.tarball("REVISION", "one"))
		dests := map[string][]string{
			"rsync":   {"/", "//", "/srv/..", "app", "./app", "/etc", "/etc/gurney-test", "/usr/lib/gurney-test", "/proc"},
			"mv":      {"/", "app", "/etc/gurney-test"},
			"release": {"/", "app", "/etc/gurney-test"},
		}
		for strategy, list := range dests {
			for _, dest := range list {
				c := y.deliver(fmt.Sprintf("src: s3://acme/app/app.tgz\nchecksum: %032d\ndest: %s\nsync_strategy: %s\n", 0, dest, strategy))
				if c.State != report.Failed && c.State != report.Refused || !strings.Contains(c.Error, "dest") || strings.Contains(c.Error, "checksum") {
					y.Errorf("%s %s: %s, %s", strategy, dest, c.State, c.Error)
				}
			}
		}
	})
}

// Who can fire an event runs no command from a URL that no source covers, and
// brings no archive from there; redirects count. An agent without sources does
// not start.
func TestStretcherSourcesAllowed(t *testing.T) {
	y := newYard(t)
	other := newWeb(t)
	evil := []byte("commands: {pre: ['touch " + y.Root + "/evil']}\n")
	tgz := y.tarball("REVISION", "evil")
	archive := func(src string) string {
		return fmt.Sprintf("src: %s\nchecksum: %s\ndest: %s/app\ncommands: {pre: ['touch %s/evil']}\n", src, hexDigest("sha256", tgz), y.Root, y.Root)
	}
	y.upload("app/archive.yml", []byte(archive(other.serve("/evil.tgz", tgz))))
	y.upload("app/redirect.yml", []byte(archive(y.Web.on("/moved.tgz", http.RedirectHandler(other.URL+"/evil.tgz", http.StatusFound).ServeHTTP))))
	for _, at := range []string{
		other.serve("/evil.yml", evil), "s3://acme-evil/m.yml", "file:///etc/hostname", "s3://acme/../acme-evil/m.yml",
		y.Web.on("/moved.yml", http.RedirectHandler(other.URL+"/evil.yml", http.StatusFound).ServeHTTP),
		"s3://acme/app/archive.yml", "s3://acme/app/redirect.yml",
	} {
		for _, way := range []string{"apply", "agent"} {
			by := *y
			by.way = way
			if c := by.kick(at); c.State != report.Refused || c.Error == "" {
				t.Errorf("%s, %s: %+v", way, at, c.Result)
			}
		}
	}
	if exists(y.Root + "/evil") {
		t.Error("commands from elsewhere ran")
	}
	y.set("sources", "")
	if out := y.gurney(y.Host, 2, "agent"); !strings.Contains(out.Stderr, "sources") {
		t.Errorf("without sources: %+v", out)
	}
}

// The secrets of a manifest and of URLs stand in no log, no result, no output
// and no key, whatever goes wrong.
func TestStretcherSecrets(t *testing.T) {
	eachWay(t, func(y *yard) {
		const value, user, query, header = "env-s3cret-value", "user-s3cret-value", "query-s3cret-value", "header-s3cret-value"
		y.set("http", "{headers: {X-Token: "+header+"}}")
		defer y.set("http", "")
		tgz := y.tarball("REVISION", "one")
		host := strings.TrimPrefix(y.Web.serve("/app.tgz", tgz), "http://")
		secret := func(path string) string {
			return "http://deployer:" + user + "@" + strings.TrimSuffix(host, "/app.tgz") + path + "?sig=" + query
		}
		moved := y.Web.on("/moved", http.RedirectHandler("http://x:"+user+"@127.0.0.1:1/%zz?"+query, http.StatusFound).ServeHTTP)
		manifest := func(src, sum, more string) string {
			return "src: " + src + "\nchecksum: " + sum + "\ndest: " + y.Root + "/app\ncommands:\n  env: {TOKEN: " + value + "}\n  pre:\n  - echo " + value + "\n  post:\n  - echo \"$TOKEN\"; printf \"$TOKEN\"; env\n" + more
		}
		sum := hexDigest("sha256", tgz)
		for name, m := range map[string]string{
			"ok":       manifest(secret("/app.tgz"), sum, ""),
			"command":  manifest(secret("/app.tgz"), sum, "  - echo $TOKEN >&2; echo "+value+" $TOKEN; exit 9\n  failure:\n  - cat; env; false\n"),
			"404":      manifest(secret("/none.tgz"), sum, ""),
			"checksum": manifest(secret("/app.tgz"), hexDigest("sha256", nil), ""),
			"refused":  manifest("http://x:"+user+"@127.0.0.1:1/a.tgz?"+query, sum, ""),
			"moved":    manifest(moved, sum, ""),
			"no URL":   manifest("http://x:"+user+"@ho st/?"+query, sum, ""),
			"no YAML":  "commands:\n  env: {TOKEN: " + value + "\n pre: [" + query + "\n",
			"no map":   "commands:\n  env: [" + value + "]\n  pre: [{" + value + ": " + value + "}]\n",
		} {
			y.Web.on("/m.yml", func(rw http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("X-Token"); (got == header) != (y.way != "stretcher") { // which has no configuration
					y.Errorf("the header is %q", got)
				}
				_, _ = rw.Write([]byte(m))
			})
			c := y.kick(secret("/m.yml"))
			if (name == "ok") != (c.State == report.OK) {
				y.Errorf("%s: %s, %s\n%s", name, c.State, c.Error, c.Log)
			}
			y.clean(name, "the command's output", c.Output.Stdout+c.Output.Stderr, value, user, query, header)
			for _, file := range []string{"run.log", "status.json", "result.json", "stderr"} {
				data, _ := os.ReadFile(filepath.Join(c.Dir, file))
				y.clean(name, file, string(data), value, user, query, header)
			}
		}
		if y.way == "agent" {
			y.clean("agent", "its log", y.Host.Agent.Out.String(), value, user, query, header)
			var keys []struct{ Value []byte }
			y.json("/v1/kv/?recurse", &keys)
			for _, k := range keys {
				y.clean("agent", "a key", string(k.Value), value, user, query, header)
			}
			if len(keys) == 0 {
				y.Error("no results stand in Consul")
			}
		}
	})
}

// clean insists that text tells no secret.
func (y *yard) clean(name, where, text string, secrets ...string) {
	y.Helper()
	for _, s := range secrets {
		if i := strings.Index(text, s); i >= 0 {
			y.Errorf("%s: %s tells %s: …%s", name, where, s, text[max(0, i-100):i+len(s)])
		}
	}
}

// json reads an answer of Consul's.
func (y *yard) json(path string, v any) {
	y.Helper()
	resp, err := http.Get("http://" + y.Consul.Nodes[0].Addr + path)
	if err != nil {
		y.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		y.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
}

// decode reads a JSON file.
func (y *yard) decode(path string, v any) {
	y.Helper()
	if err := json.Unmarshal([]byte(y.read(path)), v); err != nil {
		y.Fatalf("%s: %v", path, err)
	}
}
