package agent_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"gurney/agent"
	"gurney/agent/state"
	"gurney/consul"
	"gurney/consul/embedded"
	"gurney/event"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

// world is one node with its agent, in a Consul cluster that a server on
// another node makes up.
type world struct {
	*rollout.Driver
	t       *testing.T
	cluster *embedded.Cluster
	client  *consul.Client // the operator's
	dir     state.Dir
	script  string // see fakeRun
	wire    *wire
	options agent.Options
	log     *locked
	cancel  context.CancelFunc
	ended   chan error
}

const me = "web-1"

func newWorld(t *testing.T, change ...func(*agent.Options)) *world {
	t.Helper()
	c, err := embedded.Start(embedded.Options{Nodes: []string{me}, ServerNode: "ops", Log: zerolog.Nop()})
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	home, err := os.MkdirTemp("", "gurney") // short: it holds a socket
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(home) })
	w := &world{t: t, cluster: c, script: t.TempDir(), wire: &wire{}, log: &locked{}}
	w.dir, err = state.Open(home)
	must(t, err)
	w.client, err = consul.New(consul.Config{Address: c.Addr("ops"), Log: zerolog.Nop()})
	must(t, err)
	w.Driver = &rollout.Driver{Store: w.client, Fleet: w.client, Log: zerolog.Nop()}
	local, err := consul.New(consul.Config{Address: c.Addr(me), Log: zerolog.Nop(), Transport: w.wire})
	must(t, err)
	w.options = agent.Options{
		Apps: []string{"chef"}, Node: me, ConsulNode: me, Version: "1.0", Dir: w.dir, Consul: node{local},
		Command: []string{os.Args[0]}, Environ: append(os.Environ(), scriptVariable+"="+w.script, "GORACE=atexit_sleep_ms=0"),
		Maintenance: "hold", Reconcile: time.Hour, Log: zerolog.New(w.log),
	}
	for _, f := range change {
		f(&w.options)
	}
	t.Cleanup(func() {
		w.letGo()
		w.stop()
		if t.Failed() {
			t.Logf("the agent's log:\n%s", w.log)
		}
	})
	return w
}

// start starts the agent, and waits until it listens.
func (w *world) start() {
	w.t.Helper()
	must(w.t, agent.PutAside(w.dir, w.options.Log))
	a, err := agent.New(w.options)
	must(w.t, err)
	agent.Hurry(a)
	ctx, cancel := context.WithCancel(w.t.Context())
	w.cancel, w.ended = cancel, make(chan error, 1)
	go func() { w.ended <- a.Run(ctx) }()
	w.eventually("the agent has seen the event ring", func() bool {
		_, fresh, err := w.dir.Seen()
		_, missing := os.Stat(w.dir.Socket())
		return err == nil && !fresh && missing == nil
	})
}

// stop stops it as SIGTERM does, and says how long that took.
func (w *world) stop() time.Duration {
	w.t.Helper()
	if w.cancel == nil {
		return 0
	}
	began := time.Now()
	w.cancel()
	w.cancel = nil
	select {
	case err := <-w.ended:
		if err != nil {
			w.t.Errorf("the agent ended with %v", err)
		}
	case <-time.After(patience):
		w.t.Fatal("the agent does not end")
	}
	return time.Since(began)
}

// deploy writes a deployment of chef that goes as path says; its id.
func (w *world) deploy(path string, change ...func(*rollout.Request)) string {
	w.t.Helper()
	q := rollout.Request{App: "chef", URL: "fake://x/" + path, Manifest: []byte("commands: {pre: ['true']}\n"), By: "alice@ops1", Detach: true, AllowNobody: true}
	for _, f := range change {
		f(&q)
	}
	d, err := w.Begin(w.t.Context(), q)
	must(w.t, err)
	return d.Deployment.ID
}

// deployed is deploy of what goes well, until the node's journal says so too.
func (w *world) deployed() (id string) {
	w.t.Helper()
	id = w.deploy("ok")
	w.comes(id, report.OK)
	w.eventually("the work is over", func() bool { j := w.journal(); return j.Work.ID == id && j.Work.State == report.OK })
	return id
}

// fire fires an event as any tool does; its id.
func (w *world) fire(app, payload string) string {
	w.t.Helper()
	id, err := w.client.Fire(w.t.Context(), event.Event{Name: app, Payload: []byte(payload)})
	must(w.t, err)
	return id
}

// result is what stands in Consul of a deployment here.
func (w *world) result(app, id string) (r report.Result) {
	w.t.Helper()
	p, err := w.client.Get(w.t.Context(), report.Key(app, id, me), kv.Stale)
	must(w.t, err)
	if p != nil {
		r, err = report.Decode(p.Value)
		must(w.t, err)
	}
	return r
}

// comes waits until the deployment's result has a state.
func (w *world) comes(id string, s report.State) (r report.Result) {
	w.t.Helper()
	w.eventually("result "+string(s)+" of "+id, func() bool {
		r = w.result("chef", id)
		return r.State == s
	})
	return r
}

func (w *world) marked(id string) bool {
	w.t.Helper()
	p, err := w.client.Get(w.t.Context(), report.FailedKey("chef", id, me), kv.Default)
	must(w.t, err)
	return p != nil
}

// begun are the runs so far: "id attempt", or "app id attempt" for other apps.
func (w *world) begun() (out []string) {
	w.t.Helper()
	for _, f := range w.runs() {
		out = append(out, strings.TrimPrefix(strings.Join(f[:3], " "), "chef "))
	}
	return out
}

func (w *world) runs() (out [][]string) {
	data, _ := os.ReadFile(filepath.Join(w.script, "begun"))
	for line := range strings.Lines(string(data)) {
		out = append(out, strings.Fields(line))
	}
	return out
}

// begins waits until the n-th run has begun.
func (w *world) begins(n int) {
	w.t.Helper()
	w.eventually("a run begins", func() bool { return len(w.runs()) >= n })
}

// letGo ends the runs that block.
func (w *world) letGo() { must(w.t, os.WriteFile(filepath.Join(w.script, "go"), nil, 0o600)) }

// ran fails where other runs than these have begun.
func (w *world) ran(want ...string) {
	w.t.Helper()
	if got := w.begun(); strings.Join(got, ", ") != strings.Join(want, ", ") {
		w.t.Errorf("ran %q, want %q", got, want)
	}
}

func (w *world) journal() *state.Journal {
	w.t.Helper()
	j, err := w.dir.Journal("chef")
	must(w.t, err)
	return j
}

// paused writes the record with its rollout paused or not, and hints at it.
func (w *world) paused(on bool) {
	w.t.Helper()
	r, index, err := rollout.ReadRecord(w.t.Context(), w.client, "chef", kv.Default)
	must(w.t, err)
	r.Seq, r.Rollout.Paused = r.Seq+1, on
	value, err := json.Marshal(r)
	must(w.t, err)
	must(w.t, w.client.Txn(w.t.Context(), kv.Op{Verb: kv.CAS, Key: rollout.AppKey("chef"), Value: value, Index: index}))
	w.fire("chef", string(event.Hint{ID: r.Rollout.ID, Seq: r.Seq}.Bytes()))
}

func (w *world) maintenance(on bool, reason string) {
	w.t.Helper()
	c, err := consul.New(consul.Config{Address: w.cluster.Addr(me), Log: zerolog.Nop()})
	must(w.t, err)
	must(w.t, c.SetMaintenance(w.t.Context(), on, reason))
}

// wake asks the agent by its socket to look at everything again, and waits
// until it has done what it then does: it asks twice, for the record is read
// again when all that followed from the first look is over.
func (w *world) wake() {
	w.t.Helper()
	for range 2 {
		before := w.wire.count("GET /v1/kv/gurney/apps/chef")
		resp, err := w.socket().Post("http://agent/wake", "", nil)
		must(w.t, err)
		resp.Body.Close()
		w.eventually("the record is read", func() bool { return w.wire.count("GET /v1/kv/gurney/apps/chef") > before })
	}
}

const patience = 20 * time.Second

func (w *world) eventually(what string, cond func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("never came: %s", what)
		}
	}
}

// socket speaks to the agent by its control socket.
func (w *world) socket() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.dir.Socket())
	}}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
