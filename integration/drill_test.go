package integration_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"gurney/consul"
	"gurney/integration/fleet"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

// drill is the exercise of docs/operations.md: a fleet whose Consul servers
// fail in every way while deployments are under way. No agent is restarted.
type drill struct {
	*world
	nodes []string
	done  []string // names of the releases that every node ran
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	d := &drill{world: newShore(t), nodes: []string{"web-1", "web-2", "db-1"}}
	d.startConsul([]string{"s1", "s2", "s3"}, append([]string{"ops"}, d.nodes...))
	for _, h := range append([]string{"ops"}, d.nodes...) {
		d.addHost(h, d.Consul.Node(h).Addr)
		if err := d.Hosts[h].Set("reconcile", "2s"); err != nil {
			t.Fatal(err)
		}
	}
	var err error // of all of Consul, only the clients' agents go on
	if d.kv, err = consul.New(consul.Config{Address: d.Consul.Node("ops").Addr, Log: zerolog.Nop()}); err != nil {
		t.Fatal(err)
	}
	d.startAgents(d.nodes...)
	return d
}

// deploying is a `gurney deploy` that follows.
type deploying struct {
	*fleet.Process
	name, id string
}

// begin deploys a release of that name, and returns when Chef stands in the
// middle of it on all nodes: it goes on with letGo.
func (d *drill) begin(name string) deploying {
	d.Helper()
	p := d.publish(d.newRepo(name,
		`execute "count" do`,
		`  command "echo `+name+` >> #{ENV["HOST"]}/count; until test -e #{ENV["HOST"]}/go-`+name+`; do sleep 0.05; done"`,
		`end`), name)
	h := d.ops()
	proc, err := fleet.Start(h.Dir, h.Env, h.Gurney, "-c", h.Config(), "deploy", "chef", p.Manifest)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() {
		proc.Kill()
		if d.Failed() {
			d.Logf("gurney deploy of %s:\n%s", name, proc.Out)
		}
	})
	d.until("Chef is in the middle of "+name, func() bool {
		return !slices.ContainsFunc(d.nodes, func(n string) bool { return d.count(n, name) == 0 })
	})
	run := deploying{proc, name, d.record("chef").Rollout.ID}
	d.until("every node has told that it began", func() bool { return len(d.stand(run.id, report.Accepted)) == len(d.nodes) })
	return run
}

func (d *drill) letGo(name string, nodes ...string) {
	for _, n := range nodes {
		d.write(d.Hosts[n].Dir, "go-"+name, "")
	}
}

// count is how often the recipe of a release ran on a node.
func (d *drill) count(node, name string) int {
	if !exists(d.Hosts[node].Path("count")) {
		return 0
	}
	return strings.Count(d.read(d.Hosts[node].Path("count")), name+"\n")
}

// stand are the nodes whose result stands so in Consul.
func (d *drill) stand(id string, s report.State) (out []string) {
	d.Helper()
	for _, n := range d.nodes {
		if d.result("chef", id, n).State == s {
			out = append(out, n)
		}
	}
	return out
}

// ranHere waits until the run of a deployment is over, as its node knows.
func (d *drill) ranHere(id string, nodes ...string) {
	d.Helper()
	for _, n := range nodes {
		d.until(n+" has run "+id, func() bool { return exists(d.Hosts[n].Path("state", "runs", "chef@"+id+"@1", "result.json")) })
	}
}

// ended insists on a good end: of the driver, and on every node one run, one
// result, what is current live, and the agent that was there from the start.
func (d *drill) ended(run deploying) {
	d.Helper()
	if status, err := run.Wait(4 * time.Minute); err != nil || status != 0 || !strings.Contains(run.Out.String(), "chef is now "+run.id) {
		d.Fatalf("gurney deploy of %s: exit %d, %v\n%s", run.name, status, err, run.Out)
	}
	d.done = append(d.done, run.name)
	if r := d.record("chef"); r.Current == nil || r.Current.ID != run.id || r.Rollout != nil {
		d.Errorf("after %s the record is %+v", run.name, r)
	}
	keys, err := d.client().Keys(d.Context(), report.Prefix("chef", run.id), kv.Default)
	if err != nil || len(keys) != len(d.nodes) {
		d.Errorf("results of %s: %q, %v", run.name, keys, err)
	}
	for _, n := range d.nodes {
		d.onceOK(n, run.id)
		if live := d.live(n); live != run.name {
			d.Errorf("%s has %q live, not %s", n, live, run.name)
		}
		for _, name := range d.done {
			if c := d.count(n, name); c != 1 {
				d.Errorf("%s ran %s %d times", n, name, c)
			}
		}
		d.until(n+" has nothing more to tell", func() bool { return len(d.letters(n)) == 0 })
		select {
		case <-d.Hosts[n].Agent.Done():
			d.Errorf("the agent of %s ended: %s", n, d.Hosts[n].Agent.Out)
		default:
		}
	}
}

// letters are the results that wait in a node's outbox.
func (d *drill) letters(node string) []string {
	paths, err := filepath.Glob(d.Hosts[node].Path("state", "outbox", "*.json*"))
	if err != nil {
		d.Fatal(err)
	}
	return paths
}

func (d *drill) servers() (out []*fleet.ConsulNode) {
	for _, n := range d.Consul.Nodes {
		if n.Server {
			out = append(out, n)
		}
	}
	return out
}

// leaderFirst are the servers, the one that leads before the others.
func (d *drill) leaderFirst() []*fleet.ConsulNode {
	d.Helper()
	list := d.servers()
	d.until("one server leads", func() bool {
		i := slices.IndexFunc(list, d.leads)
		if i > 0 {
			list[0], list[i] = list[i], list[0]
		}
		return i >= 0
	})
	return list
}

func (d *drill) leads(n *fleet.ConsulNode) bool {
	resp, err := http.Get("http://" + n.Addr + "/v1/agent/self")
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	var self struct {
		Stats struct{ Consul struct{ Leader string } }
	}
	return json.NewDecoder(resp.Body).Decode(&self) == nil && self.Stats.Consul.Leader == "true"
}

// start starts servers, and waits until every node of the fleet has a leader
// and stands in the catalog. Clients look for servers that were gone every 30
// seconds.
func (d *drill) start(servers ...*fleet.ConsulNode) {
	d.Helper()
	for _, n := range servers {
		if err := n.Start(); err != nil {
			d.Fatal(err)
		}
	}
	for _, n := range d.Consul.Nodes {
		var err error
		d.untilIn(2*time.Minute, "Consul is whole again", func() bool { err = n.Ready(d.Context(), false); return err == nil })
	}
	// Consul's agents tell wiped servers their services by themselves: every
	// minute, and up to a minute later, so that not all do at once.
	d.untilIn(4*time.Minute, "the agents stand in the catalog", func() bool {
		targets, err := d.client().Targets(d.Context(), "chef", rollout.Selector{})
		alive := slices.DeleteFunc(targets, func(t rollout.Target) bool { return !t.Alive })
		return err == nil && len(alive) == len(d.nodes)
	})
}

// consul runs the program on ops.
func (d *drill) consul(stdin string, args ...string) string {
	d.Helper()
	bin, err := fleet.Tool("consul")
	if err != nil {
		d.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(cmd.Environ(), "CONSUL_HTTP_ADDR="+d.Consul.Node("ops").Addr)
	cmd.Stdin = strings.NewReader(stdin)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		d.Fatalf("consul %q: %v: %s", args, err, &complaint)
	}
	return out.String()
}

// index is the record's ModifyIndex.
func (d *drill) index() uint64 {
	d.Helper()
	p, err := d.client().Get(d.Context(), rollout.AppKey("chef"), kv.Default)
	if err != nil || p == nil {
		d.Fatalf("the record: %v, %v", p, err)
	}
	return p.ModifyIndex
}

func TestDrill(t *testing.T) {
	d := newDrill(t)

	// The leader dies, and the two that are left elect another.
	run := d.begin("leader")
	leader := d.leaderFirst()[0]
	leader.Kill()
	d.letGo("leader", d.nodes...)
	d.ended(run)
	d.start(leader)

	// Two of three are gone, for longer than any election takes; the runs end
	// meanwhile, and their results wait on the nodes.
	run = d.begin("quorum")
	lost := d.leaderFirst()[:2]
	for _, n := range lost {
		n.Kill()
	}
	d.letGo("quorum", d.nodes...)
	d.ranHere(run.id, d.nodes...)
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, err := d.client().Get(t.Context(), rollout.AppKey("chef"), kv.Default); err == nil {
			t.Fatal("one server of three answers as a leader")
		}
	}
	for _, n := range d.nodes {
		if len(d.letters(n)) != 1 {
			t.Errorf("%s keeps %q in its outbox", n, d.letters(n))
		}
	}
	d.start(lost...)
	d.ended(run)

	// All are gone, and their data too; what stands in a backup is put back.
	// Two nodes had told their end after it was made, one ends in between.
	run = d.begin("restore")
	backup := d.consul("", "kv", "export", "gurney/")
	d.letGo("restore", "web-1", "db-1")
	d.until("two nodes have told their end", func() bool { return len(d.stand(run.id, report.OK)) == 2 })
	before := d.index()
	for _, n := range d.servers() {
		n.Kill()
		if err := n.Wipe(); err != nil {
			t.Fatal(err)
		}
	}
	d.letGo("restore", "web-2")
	d.ranHere(run.id, "web-2")
	d.start(d.servers()...)
	d.consul(backup, "kv", "import", "-")
	if after := d.index(); after >= before {
		t.Errorf("the record's index went on from %d to %d: nothing was wiped", before, after)
	}
	d.ended(run)
	for _, n := range []string{"web-1", "db-1"} {
		if !strings.Contains(d.Hosts[n].Agent.Out.String(), "Consul has lost this node's result") {
			t.Errorf("%s does not say that its result was lost", n)
		}
	}

	// And life goes on.
	run = d.begin("after")
	d.letGo("after", d.nodes...)
	d.ended(run)
}
