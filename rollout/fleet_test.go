package rollout_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"gurney/consul"
	"gurney/consul/embedded"
	"gurney/event"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

// fleet is a Consul cluster whose nodes obey the app chef, as far as Consul
// shows; what they do is the test's to play.
type fleet struct {
	*rollout.Driver
	t       *testing.T
	cluster *embedded.Cluster
	client  *consul.Client // the operator's, by a Consul agent of its own
}

func newFleet(t *testing.T, nodes ...string) *fleet {
	t.Helper()
	c, err := embedded.Start(embedded.Options{Nodes: nodes, ServerNode: "ops", Log: zerolog.Nop()})
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	f := &fleet{t: t, cluster: c}
	f.client = f.at("ops")
	f.Driver = &rollout.Driver{Store: f.client, Fleet: f.client, Log: zerolog.Nop(), GoneAfter: 50 * time.Millisecond}
	for _, n := range nodes {
		must(t, f.at(n).Register(t.Context(), consul.Registration{Apps: []string{"chef"}, Node: n, Version: "1", TTL: time.Hour}))
	}
	return f
}

// at is a client of the Consul agent on node.
func (f *fleet) at(node string) *consul.Client {
	f.t.Helper()
	c, err := consul.New(consul.Config{Address: f.cluster.Addr(node), Log: zerolog.Nop()})
	must(f.t, err)
	return c
}

// serves gives node a service beside Gurney's own.
func (f *fleet) serves(node, service string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPut, "http://"+f.cluster.Addr(node)+"/v1/agent/service/register", strings.NewReader(`{"Name":"`+service+`"}`))
	must(f.t, err)
	resp, err := http.DefaultClient.Do(req)
	must(f.t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		f.t.Fatal(resp.Status)
	}
}

// begin begins a deployment of chef.
func (f *fleet) begin(change func(*rollout.Request)) *rollout.Drive {
	f.t.Helper()
	d, err := f.Begin(f.t.Context(), request(change))
	must(f.t, err)
	f.t.Cleanup(func() { d.Close(context.Background()) })
	return d
}

func request(change func(*rollout.Request)) rollout.Request {
	q := rollout.Request{App: "chef", URL: "s3://acme/manifest.yml", Manifest: []byte("src: s3://acme/chef.tar\n"), SHA256: "5b8e", By: "alice@ops1", Why: "rotate"}
	if change != nil {
		change(&q)
	}
	return q
}

// answers is r as a node says it that has heard of the latest retry.
func (f *fleet) answers(r report.Result) report.Result {
	r.Retry = f.record().Seq
	return r
}

// says writes a node's result as the node does.
func (f *fleet) says(id, node string, r report.Result) {
	f.t.Helper()
	ops := []kv.Op{{Verb: kv.Set, Key: report.Key("chef", id, node), Value: report.Encode(r)}}
	if r.State == report.Failed && r.Release {
		ops = append(ops, kv.Op{Verb: kv.Set, Key: report.FailedKey("chef", id, node)})
	}
	must(f.t, f.client.Txn(f.t.Context(), ops...))
}

func (f *fleet) record() rollout.Record {
	f.t.Helper()
	r, _, err := rollout.ReadRecord(f.t.Context(), f.client, "chef", kv.Default)
	must(f.t, err)
	if r == nil {
		f.t.Fatal("no record")
	}
	return *r
}

// outcome is how a deployment ended, by its record; "" while it says nothing.
func (f *fleet) outcome(id string) (o rollout.Outcome) {
	f.t.Helper()
	d, err := rollout.ReadDeployment(f.t.Context(), f.client, "chef", id, kv.Default)
	must(f.t, err)
	if d.Outcome != nil {
		o = *d.Outcome
	}
	return o
}

func (f *fleet) keys(prefix string) []string {
	f.t.Helper()
	keys, err := f.client.Keys(f.t.Context(), prefix, kv.Default)
	must(f.t, err)
	return keys
}

// hints are those that node heard, the oldest first.
func (f *fleet) hints(node string) (out []event.Hint) {
	f.t.Helper()
	events, _, err := f.at(node).Events(f.t.Context(), 0, 0)
	must(f.t, err)
	for _, e := range events {
		p, err := event.ParsePayload(e.Payload)
		must(f.t, err)
		out = append(out, *p.Hint)
	}
	return out
}

// followed is the end of a Follow that goes on beside the test.
type followed struct {
	view rollout.View
	end  string
	err  error
}

// follow follows the drive beside the test, and tells each view.
func (f *fleet) follow(d *rollout.Drive, timeout time.Duration) (views chan rollout.View, end chan followed) {
	views, end = make(chan rollout.View, 1000), make(chan followed, 1)
	go func() {
		v, e, err := d.Follow(f.t.Context(), timeout, func(v rollout.View) { views <- v })
		end <- followed{v, e, err}
	}()
	return views, end
}

const patience = 20 * time.Second

// ended waits for a Follow's end.
func (f *fleet) ended(end chan followed, want string) rollout.View {
	f.t.Helper()
	select {
	case e := <-end:
		must(f.t, e.err)
		if e.end != want {
			f.t.Fatalf("ended %s with %v, want %s", e.end, e.view.Counts, want)
		}
		return e.view
	case <-time.After(patience):
		f.t.Fatalf("it never ended, want %s", want)
	}
	return rollout.View{}
}

// until waits for a view in which the nodes stand as told.
func (f *fleet) until(views chan rollout.View, want map[string]rollout.Standing) {
	f.t.Helper()
	last, late := "none", time.After(patience)
	for {
		select {
		case v := <-views:
			have := map[string]rollout.Standing{}
			for _, n := range v.Nodes {
				have[n.Node] = n.Standing
			}
			a, _ := json.Marshal(have)
			b, _ := json.Marshal(want)
			if last = string(a); last == string(b) {
				return
			}
		case <-late:
			f.t.Fatalf("the nodes never stood as %v; the last view was %s", want, last)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	accepted = report.Result{State: report.Accepted, Start: 1}
	done     = report.Result{State: report.OK, Start: 1, End: 2}
	broken   = report.Result{State: report.Failed, Phase: report.PhaseChef, Release: true, Exit: 1, Error: "boom", Start: 1, End: 2}
	held     = report.Result{State: report.Held, Error: `maintenance: "disk"`, Start: 1}
)
