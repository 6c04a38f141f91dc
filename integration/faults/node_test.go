package faults_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"gurney/agent/state"
	"gurney/consul"
	"gurney/integration/fleet"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

const name = "web-1"

var quiet = log.New(io.Discard, "", 0)

// node is a machine to which faults come.
type node struct {
	*testing.T
	*fleet.Host
	strategy string
	consul   cluster
	local    *consul.Client // asks the node's Consul agent
	fleet    *consul.Client // asks the servers
	driver   *rollout.Driver
	s3       *store
	ledger   *ledger
	holds    string // directory of points
	state    state.Dir
	disk     *disk // nil: the machine's
	agents   []*fleet.Process
	timeout  time.Duration // of its manifests; 0: their default
}

// nodeOptions say what is special about a node.
type nodeOptions struct {
	strategy string
	consul   cluster // nil: an embedded one of its own
	disk     int64   // bytes of a disk of its own; 0: the machine's
}

// newNode makes one on which the old release is live. No agent runs yet.
func newNode(t *testing.T, o nodeOptions) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "gf") // short: it holds a socket
	if err != nil {
		t.Fatal(err)
	}
	n := &node{T: t, strategy: o.strategy, consul: o.consul, holds: filepath.Join(dir, "hold"), ledger: &ledger{finals: map[string][]string{}}}
	t.Cleanup(func() { n.must(os.RemoveAll(dir)) })
	n.must(os.MkdirAll(n.holds, 0o700))
	if o.disk > 0 {
		n.disk = mount(t, filepath.Join(dir, name), o.disk)
	}
	if n.consul == nil {
		n.consul = newEmbedded(t)
	}
	n.s3 = &store{hold: n.holds}
	s3 := proxy(t, shared.s3.Endpoint, n.s3.serve)
	agent := proxy(t, "http://"+n.consul.local(), n.ledger.serve)
	n.Host, err = fleet.NewHost(fleet.HostOptions{
		Name: name, Dir: dir, Consul: agent.Listener.Addr().String(), S3: &fleet.S3{Endpoint: s3.URL}, Prefix: "web", Apps: []string{"chef"}, Gurney: "gurney-faults",
	})
	n.must(err)
	n.Env = append(n.Env, "GURNEY_HOLD="+n.holds, "GURNEY_PACE=25", "TMPDIR="+dir)
	n.state = state.At(n.State())
	n.local, n.fleet = n.client(n.consul.local()), n.client(n.consul.servers())
	n.driver = &rollout.Driver{Store: n.fleet, Fleet: n.fleet, Log: zerolog.Nop()}
	n.must(n.before())
	t.Cleanup(n.end)
	return n
}

func (n *node) must(err error) {
	n.Helper()
	if err != nil {
		n.Fatal(err)
	}
}

func (n *node) client(addr string) *consul.Client {
	c, err := consul.New(consul.Config{Address: addr, Log: zerolog.Nop()})
	n.must(err)
	return c
}

func (n *node) dest() string { return filepath.Join(n.Dest(), "chef") }

// before makes the old release live, as an earlier deployment left it.
func (n *node) before() error {
	if n.strategy != "release" {
		return shared.old.write(n.dest())
	}
	if err := shared.old.write(n.dest() + ".releases/old"); err != nil {
		return err
	}
	return os.Symlink("chef.releases/old", n.dest())
}

// manifest is that of a deployment; its commands and its Chef stand at the
// points pre, chef and post.
func (n *node) manifest(a archive) string {
	timeout := ""
	if n.timeout > 0 {
		timeout = "timeout: " + n.timeout.String()
	}
	return strings.Join([]string{
		timeout, "src: " + a.src, "checksum: " + a.sum, `dest: '{{ must_env "HOST" }}/srv/chef'`, "sync_strategy: " + n.strategy,
		"drain: true", "drain_wait: 0s", "chef: {}",
		"commands:", "  pre: ['" + stand("pre") + "']", "  post: ['" + stand("post") + "']",
	}, "\n") + "\n"
}

// deploy makes the archive current; the deployment's id.
func (n *node) deploy(a archive) string {
	n.Helper()
	id, err := n.tryDeploy(a)
	n.must(err)
	return id
}

func (n *node) tryDeploy(a archive) (string, error) {
	text := []byte(n.manifest(a))
	d, err := n.driver.Begin(n.Context(), rollout.Request{
		App: "chef", URL: "s3://acme/manifest.yml", Manifest: text, SHA256: digest(text), By: "ops", Detach: true, AllowNobody: true,
	})
	if err != nil {
		return "", err
	}
	return d.Deployment.ID, nil
}

// start starts the agent.
func (n *node) start() {
	n.Helper()
	n.must(n.StartAgent())
	n.agents = append(n.agents, n.Agent)
}

// said is what all agents of this node said.
func (n *node) said() string {
	var all strings.Builder
	for _, a := range n.agents {
		all.WriteString(a.Out.String())
	}
	return all.String()
}

// end leaves nothing of the node.
func (n *node) end() {
	n.release("")
	if n.Agent != nil {
		n.Agent.Stop(5 * time.Second)
	}
	for _, p := range n.processes() {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
	if n.Failed() {
		n.Logf("the agents said:\n%s", n.said())
		logs, _ := filepath.Glob(n.Path("state/runs/*/run.log"))
		for _, path := range logs {
			data, _ := os.ReadFile(path)
			n.Logf("%s:\n%s", path, data)
		}
	}
}

// hold makes the node stand at the point when it comes there.
func (n *node) hold(point string) {
	n.Helper()
	n.must(os.WriteFile(filepath.Join(n.holds, point+".hold"), nil, 0o600))
}

// release lets it go on from the point; from all with "".
func (n *node) release(point string) {
	if point == "" {
		point = "*"
	}
	files, _ := filepath.Glob(filepath.Join(n.holds, point+".hold"))
	for _, f := range files {
		_ = os.Remove(f)
	}
}

// until polls ok for at most patience.
func (n *node) until(what string, ok func() bool) {
	n.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			n.Fatalf("not within %s: %s", patience, what)
		}
	}
}

const patience = 60 * time.Second

// result is what stands in Consul of a deployment here.
func (n *node) result(id string) (r report.Result) {
	n.Helper()
	p, err := n.fleet.Get(n.Context(), report.Key("chef", id, name), kv.Stale)
	n.must(err)
	if p != nil {
		r, err = report.Decode(p.Value)
		n.must(err)
	}
	return r
}

// newest is the newest run's directory and status; false where there is none.
func (n *node) newest() (state.RunDir, state.Status, bool) {
	runs, err := n.state.Runs("chef")
	if err != nil || len(runs) == 0 {
		return state.RunDir{}, state.Status{}, false
	}
	last := runs[len(runs)-1]
	s, err := last.Status()
	if err != nil || s == nil {
		return last, state.Status{}, false
	}
	return last, *s, true
}

// note writes down the final results in a transaction that Consul took.
func (l *ledger) note(body []byte) {
	var ops []struct {
		KV *struct{ Verb, Key, Value string }
	}
	if json.Unmarshal(body, &ops) != nil {
		return
	}
	for _, op := range ops {
		if op.KV == nil || op.KV.Verb != "set" || !strings.Contains(op.KV.Key, "results/chef/") {
			continue
		}
		value, _ := base64.StdEncoding.DecodeString(op.KV.Value)
		if r, err := report.Decode(value); err == nil && r.State.Final() {
			l.mu.Lock()
			key := op.KV.Key[strings.Index(op.KV.Key, "results/chef/"):]
			l.finals[key] = append(l.finals[key], string(value))
			l.mu.Unlock()
		}
	}
}

// of are the final results of a deployment, in the order of their writing.
func (l *ledger) of(id string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.finals[report.Key("chef", id, name)]...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
