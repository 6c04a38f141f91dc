package integration_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gurney/agent/state"
	"gurney/artifact/s3"
	"gurney/integration/fleet"
	"gurney/report"
)

// What capistrano-stretcher calls its event, deploy_{role}_{stage}, and its
// manifest, which each deploy overwrites.
const (
	stretcherEvent    = "deploy_app_production"
	stretcherManifest = "app/manifest_app_production.yml"
)

// yard is a fleet of one host that ran Stretcher until today, and the way by
// which manifests come to it now.
type yard struct {
	*world
	Host *fleet.Host
	Web  *web
	Root string // for dests; each way has one of its own

	way string // apply, stretcher or agent
}

// newYard starts S3, a web server, one Consul agent and a host whose agent
// does not run yet.
func newYard(t *testing.T) *yard {
	t.Helper()
	w := newShore(t)
	w.startConsul([]string{"app-1"}, nil)
	y := &yard{world: w, Host: w.addHost("app-1", w.Consul.Nodes[0].Addr), Web: newWeb(t)}
	y.set("apps", "["+stretcherEvent+"]")
	y.set("sources", fmt.Sprintf("[s3://acme/, file://%s/, %s/]", w.Dir, y.Web.URL))
	if err := os.Symlink(y.Host.Gurney, y.Host.Path("stretcher")); err != nil {
		t.Fatal(err)
	}
	return y.by("agent")
}

// by is the same yard with another way and its own place for dests.
func (y *yard) by(way string) *yard {
	other := *y
	other.way, other.Root = way, y.Host.Path("srv", way)
	y.write(other.Root, "README", "")
	return &other
}

// eachWay tells a story three times: through `gurney apply -`, through gurney
// by the name stretcher, and through the agent. Nothing that a team brings
// differs between them.
func eachWay(t *testing.T, story func(*yard)) {
	t.Helper()
	all := newYard(t)
	for _, way := range []string{"apply", "stretcher", "agent"} {
		t.Run(way, func(t *testing.T) {
			y, w := all.by(way), *all.world
			w.T, y.world = t, &w
			story(y)
		})
	}
}

func (y *yard) set(key, value string) {
	y.Helper()
	if err := y.Host.Set(key, value); err != nil {
		y.Fatal(err)
	}
}

// agent starts the host's agent, where it does not run, and waits until it
// hears events.
func (y *yard) agent(env ...string) {
	y.Helper()
	if y.Host.Agent != nil {
		return
	}
	if err := y.Host.StartAgent(env...); err != nil {
		y.Fatal(err)
	}
	y.until("the agent hears events", func() bool { return exists(filepath.Join(y.Host.State(), "seen.json")) })
}

// carried is what became of one manifest.
type carried struct {
	report.Result
	Log    string       // the run's
	Output fleet.Output // of the command; none from an agent
	Dir    string       // the run's
}

// deliver uploads the manifest where the last one stood, and kicks.
func (y *yard) deliver(manifest string) carried {
	y.Helper()
	y.upload(stretcherManifest, []byte(manifest))
	return y.kick("s3://acme/" + stretcherManifest)
}

// delivered insists that it went well.
func (y *yard) delivered(manifest string) carried {
	y.Helper()
	c := y.deliver(manifest)
	if c.State != report.OK {
		y.Fatalf("%s: %s\n%s", c.State, c.Error, c.Log)
	}
	return c
}

// kick hands the payload of an event over, with flags where the way has any,
// and waits for the end.
func (y *yard) kick(payload string, flags ...string) carried {
	y.Helper()
	if y.way == "agent" {
		y.agent()
		id := y.fire(stretcherEvent, payload)
		var r report.Result
		y.until("the event's run has ended", func() bool {
			r = y.result(stretcherEvent, id, "app-1")
			return r.State.Final()
		})
		return y.look(carried{Result: r}, y.Host.State(), stretcherEvent)
	}
	out := y.command(payload, nil, flags...)
	c := y.look(carried{Output: out}, y.stateDir(), "apply")
	if (out.Status == 0) != (c.State == report.OK) || out.Status > 1 {
		y.Errorf("exit status %d after %s", out.Status, c.State)
	}
	return c
}

// command runs apply or stretcher with stdin.
func (y *yard) command(stdin string, env []string, flags ...string) fleet.Output {
	y.Helper()
	h, args := *y.Host, append([]string{"-c", y.Host.Config(), "apply", "-"}, flags...)
	if y.way == "stretcher" { // has no configuration
		h.Gurney, args = h.Path("stretcher"), flags
		env = append([]string{"GURNEY_STATE_DIR=" + y.stateDir()}, env...)
	}
	out, err := h.RunIn(strings.NewReader(stdin), env, args...)
	if err != nil {
		y.Fatal(err)
	}
	return out
}

func (y *yard) stateDir() string {
	if y.way == "stretcher" {
		return y.Host.Path("state-stretcher")
	}
	return y.Host.State()
}

// look adds what the newest run of app left on disk.
func (y *yard) look(c carried, dir, app string) carried {
	y.Helper()
	runs, err := state.At(dir).Runs(app)
	if err != nil {
		y.Fatal(err)
	}
	if len(runs) == 0 {
		return c
	}
	run := runs[len(runs)-1]
	c.Log, c.Dir = y.read(run.Path(state.RunLog)), run.Path("")
	if ending, err := run.Ending(); err == nil && ending != nil && y.way != "agent" {
		c.Result = ending.Result
	}
	return c
}

// fire fires an event whose payload is exactly that, and returns its id.
func (y *yard) fire(name, payload string) string {
	y.Helper()
	req, err := http.NewRequestWithContext(y.Context(), http.MethodPut,
		"http://"+y.Consul.Nodes[0].Addr+"/v1/event/fire/"+url.PathEscape(name), strings.NewReader(payload))
	if err != nil {
		y.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		y.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var e struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.ID == "" {
		y.Fatalf("fire %s: %s, %v", name, resp.Status, err)
	}
	return e.ID
}

// upload puts an object into the bucket, as `aws s3 cp` does.
func (y *yard) upload(key string, data []byte) {
	y.Helper()
	store, err := s3.New(y.Context(), s3.Options{Endpoint: y.S3.Endpoint, PathStyle: true})
	if err != nil {
		y.Fatal(err)
	}
	to := &url.URL{Scheme: "s3", Host: "acme", Path: "/" + key}
	if err := store.Put(y.Context(), to, bytes.NewReader(data), "application/octet-stream"); err != nil {
		y.Fatal(err)
	}
}

// sh is how the producers build: a line of shell in dir.
func (y *yard) sh(dir, line string) {
	y.Helper()
	cmd := exec.CommandContext(y.Context(), "sh", "-ec", line)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		y.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// web is a web server whose answers each test says.
type web struct {
	*httptest.Server
	mu    sync.Mutex
	paths map[string]http.HandlerFunc
}

func newWeb(t *testing.T) *web {
	w := &web{paths: map[string]http.HandlerFunc{}}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		answer := w.paths[r.URL.Path]
		w.mu.Unlock()
		if answer == nil {
			rw.WriteHeader(http.StatusNotFound) // with an empty body
			return
		}
		answer(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

// on answers requests for path, which is taken as it is, slashes and all.
func (w *web) on(path string, answer http.HandlerFunc) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paths[path] = answer
	return w.URL + path
}

// serve answers with data.
func (w *web) serve(path string, data []byte) string {
	return w.on(path, func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(data) })
}
