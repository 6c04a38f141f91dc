// Package integration_test drives the built binary as its users do: against a
// real Consul, a real S3 server, and chef-solo or its stand-in.
package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"gurney/consul"
	"gurney/integration/fleet"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

// chefSolo is what hosts converge with: the real program where CHEF_SOLO or
// PATH has one, else the stand-in.
var chefSolo string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		for name, value := range fleet.CredentialsEnv() {
			_ = os.Setenv(name, value) // for stores that tests open themselves
		}
		name := os.Getenv("CHEF_SOLO")
		if name == "" {
			name = "chef-solo"
		}
		if path, err := exec.LookPath(name); err == nil {
			chefSolo = path
			fmt.Println("chef-solo: integration ran", path)
			return m.Run()
		}
		path, err := fleet.Tool("chef-solo-standin")
		if err != nil {
			fmt.Println("chef-solo:", err)
			return 1
		}
		chefSolo = path
		fmt.Println("chef-solo: integration ran the stand-in; neither CHEF_SOLO nor PATH has a real one")
		return m.Run()
	}())
}

// world is a fleet for one test.
type world struct {
	*testing.T
	Dir    string
	S3     *fleet.S3
	Consul *fleet.Consul // nil: none
	Hosts  map[string]*fleet.Host

	kv *consul.Client
}

// newWorld starts S3, Consul with one server, ops, and a client for each host,
// and makes the hosts. A host's prefix is its name up to the last hyphen.
func newWorld(t *testing.T, hosts ...string) *world {
	t.Helper()
	w := newShore(t)
	w.startConsul([]string{"ops"}, hosts)
	for _, name := range hosts {
		w.addHost(name, w.Consul.Node(name).Addr)
	}
	return w
}

// newShore is a world without Consul. Worlds have nothing in common, and
// mostly wait: their tests run in parallel.
func newShore(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Dir: dir, Hosts: map[string]*fleet.Host{}}
	if w.S3, err = fleet.StartS3(t.Context(), filepath.Join(dir, "s3"), "acme"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.S3.Kill)
	return w
}

func (w *world) startConsul(servers, clients []string) {
	w.Helper()
	var err error
	w.Consul, err = fleet.StartConsul(w.Context(), w.Dir, fleet.ConsulOptions{Servers: servers, Clients: clients})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		w.Consul.Kill()
		if w.Failed() && os.Getenv("GURNEY_TEST_VERBOSE") != "" {
			w.Logf("Consul's log:\n%s", w.Consul.Log())
		}
	})
}

func (w *world) addHost(name, consulAddr string) *fleet.Host {
	w.Helper()
	prefix := name
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		prefix = name[:i]
	}
	h, err := fleet.NewHost(fleet.HostOptions{
		Name: name, Dir: filepath.Join(w.Dir, "hosts"), Consul: consulAddr, S3: w.S3, Prefix: prefix, Chef: chefSolo, Apps: []string{"chef"},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.Hosts[name] = h
	w.Cleanup(func() {
		if h.Agent == nil {
			return
		}
		h.Agent.Stop(5 * time.Second)
		w.killRuns(h)
		if w.Failed() {
			w.Logf("agent of %s:\n%s", name, h.Agent.Out)
		}
	})
	return h
}

// killRuns ends runs that outlived their agent, for tests that leave some.
func (w *world) killRuns(h *fleet.Host) {
	paths, _ := filepath.Glob(filepath.Join(h.State(), "runs", "*", "status.json"))
	for _, p := range paths {
		var s struct{ PID int }
		data, err := os.ReadFile(p)
		if err != nil || json.Unmarshal(data, &s) != nil || s.PID <= 1 {
			continue
		}
		if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.PID)); err == nil && strings.Contains(string(line), h.Dir) {
			_ = syscall.Kill(s.PID, syscall.SIGKILL)
		}
	}
}

// startAgents starts them and waits until Consul lists them as alive.
func (w *world) startAgents(hosts ...string) {
	w.Helper()
	for _, name := range hosts {
		if err := w.Hosts[name].StartAgent(); err != nil {
			w.Fatal(err)
		}
	}
	w.until("the agents stand in the catalog", func() bool {
		targets, err := w.client().Targets(w.Context(), "chef", rollout.Selector{})
		alive := map[string]bool{}
		for _, t := range targets {
			alive[t.Node] = t.Alive
		}
		return err == nil && !slices.ContainsFunc(hosts, func(h string) bool { return !alive[h] })
	})
}

// client speaks to the first server. It is one for all: Consul takes 200
// connections from one address.
func (w *world) client() *consul.Client {
	if w.kv != nil {
		return w.kv
	}
	c, err := consul.New(consul.Config{Address: w.Consul.Nodes[0].Addr, Log: zerolog.Nop()})
	if err != nil {
		w.Fatal(err)
	}
	w.kv = c
	return c
}

// until polls ok for at most half a minute.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	w.untilIn(30*time.Second, what, ok)
}

func (w *world) untilIn(limit time.Duration, what string, ok func() bool) {
	w.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	w.Fatalf("not within %s: %s", limit, what)
}

// standstill watches, until the test's end, how long at most this machine let
// nobody run at a time: who is held to a time needs so much more.
func (w *world) standstill() (stood func() time.Duration) {
	const every = 10 * time.Millisecond
	var mu sync.Mutex
	most, last := time.Duration(0), time.Now()
	look := func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		most = max(most, time.Since(last)-every)
		return most
	}
	go func() {
		for w.Context().Err() == nil {
			time.Sleep(every)
			look()
			mu.Lock()
			last = time.Now()
			mu.Unlock()
		}
	}()
	return look
}

// result is what stands in KV for a node; the zero Result where nothing does.
func (w *world) result(app, id, node string) report.Result {
	w.Helper()
	p, err := w.client().Get(w.Context(), report.Key(app, id, node), kv.Default)
	if err != nil || p == nil {
		return report.Result{}
	}
	r, err := report.Decode(p.Value)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// awaitFinal waits for a node's final result.
func (w *world) awaitFinal(app, id, node string) report.Result {
	w.Helper()
	var r report.Result
	w.until(fmt.Sprintf("%s has ended %s", node, id), func() bool {
		r = w.result(app, id, node)
		return r.State.Final()
	})
	return r
}

// record is the app's record.
func (w *world) record(app string) rollout.Record {
	w.Helper()
	r, _, err := rollout.ReadRecord(w.Context(), w.client(), app, kv.Default)
	if err != nil || r == nil {
		w.Fatalf("record of %s: %v, %v", app, r, err)
	}
	return *r
}

// gurney runs a command on a host and insists on its exit status.
func (w *world) gurney(h *fleet.Host, status int, args ...string) fleet.Output {
	w.Helper()
	out, err := h.Run(args...)
	if err != nil {
		w.Fatal(err)
	}
	if out.Status != status {
		w.Fatalf("gurney %s: exit %d, wanted %d\n%s%s", strings.Join(args, " "), out.Status, status, out.Stdout, out.Stderr)
	}
	return out
}

// ops is where operators' commands run: a host without an agent.
func (w *world) ops() *fleet.Host {
	if h := w.Hosts["ops"]; h != nil {
		return h
	}
	return w.addHost("ops", w.Consul.Nodes[0].Addr)
}

// maintenance is Consul's own, set as an operator does.
func (w *world) maintenance(node string, on bool, reason string) {
	w.Helper()
	url := fmt.Sprintf("http://%s/v1/agent/maintenance?enable=%t&reason=%s", w.Consul.Node(node).Addr, on, reason)
	req, err := http.NewRequestWithContext(w.Context(), http.MethodPut, url, nil)
	if err != nil {
		w.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.Fatalf("maintenance of %s: %v", node, err)
	}
	_ = resp.Body.Close()
}

func (w *world) read(path string) string {
	w.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		w.Fatal(err)
	}
	return string(data)
}

// write writes files, path and content by turns, below dir.
func (w *world) write(dir string, files ...string) {
	w.Helper()
	for i := 0; i+1 < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			w.Fatal(err)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// size is a file's; 0 where there is none.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// wake tells a host's agent, over its control socket, to look at its records.
func (w *world) wake(host string) {
	w.Helper()
	var d net.Dialer
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", filepath.Join(w.Hosts[host].State(), "agent.sock"))
	}}}
	defer c.CloseIdleConnections()
	resp, err := c.Post("http://agent/wake", "", nil)
	if err != nil || resp.StatusCode != http.StatusNoContent {
		w.Fatalf("wake %s: %v", host, err)
	}
	_ = resp.Body.Close()
}
