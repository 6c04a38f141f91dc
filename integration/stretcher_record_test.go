package integration_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"gurney/report"
	"gurney/rollout"
)

// A node that has the app's record refuses an event with a URL, and says what
// to do instead; the record's deletion is the way back.
func TestStretcherEventWhereARecordIs(t *testing.T) {
	y := newYard(t)
	if c := y.kick(y.counting("before", "")); c.State != report.OK {
		t.Fatalf("%+v", c.Result)
	}
	ops := y.addHost("ops", y.Consul.Nodes[0].Addr)
	y.gurney(ops, 0, "deploy", stretcherEvent, y.counting("record", ""))

	c := y.kick(y.counting("refused", ""))
	if c.State != report.Refused || !strings.Contains(c.Error, "gurney deploy "+stretcherEvent) {
		t.Errorf("an event with a URL beside the record: %+v", c.Result)
	}
	if out := y.gurney(ops, 0, "status", stretcherEvent, "-o", "json").Stdout; !strings.Contains(out, y.record(stretcherEvent).Current.ID) {
		t.Errorf("the record's deployment is not current any more:\n%s", out)
	}
	if got := y.ran(); got != "before record" {
		t.Errorf("ran %s", got)
	}

	y.deleteKey("gurney/" + rollout.AppKey(stretcherEvent))
	if c := y.kick(y.counting("back", "")); c.State != report.OK || y.ran() != "before record back" {
		t.Errorf("after the record's deletion: %+v, ran %s", c.Result, y.ran())
	}
}

// A node that was down when the event was fired has it from its Consul agent's
// ring when it comes back; a new node takes what stands there for the past.
func TestStretcherEventWhileDown(t *testing.T) {
	y := newYard(t)
	if c := y.kick(y.counting("one", "")); c.State != report.OK {
		t.Fatalf("%+v", c.Result)
	}
	y.Host.Agent.Kill()
	y.Host.Agent = nil
	lost := y.fire(stretcherEvent, y.counting("lost", ""))
	newest := y.fire(stretcherEvent, y.counting("newest", ""))
	y.agent()
	if r := y.awaitResult(newest); r.State != report.OK {
		t.Errorf("%+v", r)
	}
	if r := y.awaitResult(lost); r.State != report.Superseded || !strings.Contains(r.Error, newest) {
		t.Errorf("%+v", r)
	}
	if got := y.ran(); got != "one newest" {
		t.Errorf("ran %s", got)
	}

	// The same machine made anew: no journal.
	y.Host.Agent.Kill()
	y.Host.Agent = nil
	y.set("state_dir", y.Host.Path("state-2"))
	if err := y.Host.StartAgent(); err != nil {
		t.Fatal(err)
	}
	y.until("the new agent hears events", func() bool { return exists(y.Host.Path("state-2", "seen.json")) })
	if r := y.awaitResult(y.fire(stretcherEvent, y.counting("two", ""))); r.State != report.OK {
		t.Errorf("%+v", r)
	}
	if got := y.ran(); got != "one newest two" {
		t.Errorf("ran %s: what was before the node's first day ran again", got)
	}
}

// Three events in a burst: the newest runs, and the others are reported, none
// beside the run that is on.
func TestStretcherBurst(t *testing.T) {
	y := newYard(t)
	y.agent()
	first := y.fire(stretcherEvent, y.counting("first", "  - until test -e "+y.Root+"/go; do sleep 0.05; done; echo ends >> "+y.Root+"/ran\n"))
	y.until("the first is in the middle", func() bool { return y.ran() == "first" })
	var burst []string
	for _, word := range []string{"a", "b", "c"} {
		burst = append(burst, y.fire(stretcherEvent, y.counting(word, "")))
	}
	y.until("the burst was heard", func() bool {
		return strings.Contains(y.read(filepath.Join(y.Host.State(), "apps", stretcherEvent+".json")), burst[2])
	})
	y.write(y.Root, "go", "")
	for i, want := range []report.State{report.Superseded, report.Superseded, report.OK} {
		if r := y.awaitResult(burst[i]); r.State != want {
			t.Errorf("event %d of the burst: %+v", i+1, r)
		}
	}
	if r := y.awaitResult(first); r.State != report.OK || y.ran() != "first ends c" {
		t.Errorf("the first: %+v; ran %s", r, y.ran())
	}
}

func (y *yard) awaitResult(id string) report.Result {
	y.Helper()
	return y.awaitFinal(stretcherEvent, id, "app-1")
}

// deleteKey is `consul kv delete`.
func (y *yard) deleteKey(key string) {
	y.Helper()
	req, err := http.NewRequestWithContext(y.Context(), http.MethodDelete, "http://"+y.Consul.Nodes[0].Addr+"/v1/kv/"+key, nil)
	if err != nil {
		y.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		y.Fatalf("delete %s: %v", key, err)
	}
	_ = resp.Body.Close()
}
