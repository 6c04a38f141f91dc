package agent_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gurney/agent"
	"gurney/event"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

// From the event to the result: two writing requests, two small entries.
func TestDeploy(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deploy("block")
	a := w.comes(id, report.Accepted)
	w.letGo()
	r := w.comes(id, report.OK)
	if a.Attempt != 1 || a.Agent != "1.0" || r.Attempt != 1 || r.Start < a.Start || r.Agent != "1.0" || r.NodeJSON != "web" {
		t.Errorf("accepted as %+v, ended as %+v", a, r)
	}
	w.ran(id + " 1")
	key := report.Key("chef", id, me)
	w.writesOnly(id, 2)
	if got := w.wire.writes(); !slices.Equal(got, []string{"set gurney/" + key, "set gurney/" + key}) {
		t.Errorf("it wrote %q", got)
	}
	if n := w.wire.count("PUT /v1/txn") + w.wire.count("PUT /v1/kv") + w.wire.count("DELETE"); n != 2 {
		t.Errorf("%d writing requests for a clean attempt, want 2", n)
	}
	p, err := w.client.Get(t.Context(), key, kv.Default)
	must(t, err)
	if len(p.Value) > report.MaxOK {
		t.Errorf("%d bytes: %s", len(p.Value), p.Value)
	}
	w.eventually("the journal is written", func() bool { return w.journal().Work.State == report.OK })
	if j := w.journal(); j.Touched != (rollout.Touched{ID: id, Verdict: "ok"}) || j.Born != j.Record.Seq || j.Work.Run != "" {
		t.Errorf("the journal is %+v", j)
	}
}

// The rollout of an operator that follows, here and there the real parts.
func TestFollowedDeploy(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.eventually("the node is registered", func() bool {
		targets, err := w.client.Targets(t.Context(), "chef", rollout.Selector{})
		return err == nil && len(targets) == 1 && targets[0].Node == me && targets[0].Alive
	})
	d, err := w.Begin(t.Context(), rollout.Request{App: "chef", URL: "fake://x/ok", By: "alice@ops1", Manifest: []byte("{}")})
	must(t, err)
	defer d.Close(t.Context())
	_, end, err := d.Follow(t.Context(), patience, nil)
	if err != nil || end != rollout.EndComplete {
		t.Fatal(end, err)
	}
	must(t, d.Promote(t.Context()))
	w.eventually("the promotion is in the journal", func() bool { r := w.journal().Record; return r.Rollout == nil && r.Current != nil })
	w.ran(d.Deployment.ID + " 1") // promoted, it is not run again
}

// What comes while a run goes on waits for its end; of several the newest is
// taken up, and the others are told.
func TestBurstInMidRun(t *testing.T) {
	w := newWorld(t)
	w.start()
	first := w.deploy("block")
	w.begins(1)
	second, third, last := w.deploy("ok"), w.deploy("ok"), w.deploy("ok")
	w.eventually("the newest record is read", func() bool { r := w.journal().Record; return r != nil && r.Current.ID == last })
	w.ran(first + " 1")
	w.letGo()
	w.comes(last, report.OK)
	w.comes(first, report.OK)
	for _, id := range []string{second, third} {
		if r := w.comes(id, report.Superseded); r.Error != "by "+last {
			t.Errorf("%s: %+v", id, r)
		}
	}
	w.ran(first+" 1", last+" 1")
}

// Held by nothing but its turn, a deployment that is superseded is told so.
func TestSupersededBeforeItsRun(t *testing.T) {
	w := newWorld(t, func(o *agent.Options) { o.Splay = 10000 * time.Hour }) // no draw is over before the test
	w.start()
	first := w.deploy("ok")
	w.comes(first, report.Accepted)
	second := w.deploy("ok")
	if r := w.comes(first, report.Superseded); r.Error != "by "+second {
		t.Errorf("%+v", r)
	}
	w.comes(second, report.Accepted)
	w.ran()
}

func TestPayloadsThatAreNone(t *testing.T) {
	w := newWorld(t)
	w.start()
	for _, p := range []string{"", "g1", "g1 ../x 1", "hello", "\x00\xff", "g1 20261123-1404-9f2c 99999999999999999999"} {
		w.fire("chef", p)
	}
	w.fire("other", "fake://x/ok") // of an app that this node does not obey
	id := w.deploy("ok")
	w.comes(id, report.OK)
	w.ran(id + " 1")
	if n := strings.Count(w.log.String(), "event left out"); n != 6 {
		t.Errorf("%d of 6 are logged", n)
	}
}

// No answer of Consul but a newer record changes anything.
func TestReadsThatChangeNothing(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deployed()
	record := w.journal().Record
	old, err := json.Marshal(rollout.Record{V: 1, Seq: record.Seq - 1, Current: &rollout.Ref{ID: "20200101-0000-0000"}})
	must(t, err)
	for _, o := range []kv.Op{
		{Verb: kv.Set, Value: old},                                // a server that lags, or a backup
		{Verb: kv.Set, Value: []byte(`{"v":1,`)},                  // half a record
		{Verb: kv.Set, Value: []byte(`{"v":9,"seq":99}`)},         // a later version's
		{Verb: kv.Delete},                                         // nothing at all
		{Verb: kv.Set, Value: []byte(`{"v":1,"current":"rust"}`)}, // another kind
	} {
		o.Key = rollout.AppKey("chef")
		must(t, w.client.Txn(t.Context(), o))
		w.wake()
	}
	if j := w.journal(); j.Record.Seq != record.Seq || j.Record.Current.ID != id || j.Work.ID != id {
		t.Errorf("the journal is %+v", j)
	}
	w.ran(id + " 1")
	must(t, w.client.Txn(t.Context(), kv.Op{Verb: kv.Delete, Key: rollout.AppKey("chef")}))
	w.Now = func() time.Time { return time.Now().Add(time.Hour) }
	next := w.deploy("ok")
	w.comes(next, report.OK)
	w.ran(id+" 1", next+" 1")
}

// A hint is no order: an id that the record never named runs nothing. One that
// nobody deployed costs no write either, or who may fire events could fill the
// store.
func TestHintOfNothing(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deploy("ok")
	w.comes(id, report.OK)
	w.fire("chef", string(event.Hint{ID: "20990101-0000-0000", Seq: 1 << 60}.Bytes()))
	w.eventually("it is looked for", func() bool { return countLog(w, "a hint names a deployment that can't be read") == 1 })
	w.eventually("it is forgotten", func() bool { return len(w.journal().Heard) == 0 })
	w.ran(id + " 1")
	if got := w.wire.writes(); len(got) != 2 {
		t.Errorf("%q were written", got)
	}
}

// An agent that ends while it looks for a deployment that was announced has not
// learned that there is none: the next one reports it.
func TestHintWhileTheAgentEnds(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.maintenance(true, "")
	missed := w.deploy("ok")
	w.comes(missed, report.Held)
	w.allTold()
	w.stop()
	j := w.journal()
	j.Work, j.Past, j.Heard = nil, nil, []string{missed}
	must(t, w.dir.SaveJournal(j))
	w.maintenance(false, "")
	last := w.deploy("ok", func(q *rollout.Request) { q.Replace, q.Detach = true, true })
	asked := make(chan struct{}, 1)
	w.wire.onGet(func(r *http.Request) *http.Response {
		if !strings.HasSuffix(r.URL.Path, "/"+missed) || !strings.Contains(r.URL.Path, "/deployments/") {
			return nil
		}
		select {
		case asked <- struct{}{}:
		default:
		}
		<-r.Context().Done()
		return nil
	})
	w.start()
	<-asked
	w.stop()
	w.wire.onGet(nil)
	w.start()
	w.comes(last, report.OK)
	w.comes(missed, report.Superseded)
}

// Who was not meant has nothing to say, neither while a rollout is on nor at
// its end: else an abort would cost an entry per node.
func TestUnselectedNodesAreSilent(t *testing.T) {
	w := newWorld(t)
	w.start()
	base := w.deploy("ok")
	w.comes(base, report.OK)
	w.writesOnly(base, 2)
	before := len(w.wire.writes())
	id := w.deploy("ok", func(q *rollout.Request) { q.Selector.Node = "^db" })
	w.eventually("the rollout is read", func() bool { return w.journal().Record.Rollout != nil })
	_, _, err := w.Abort(t.Context(), "chef")
	must(t, err)
	w.eventually("its end is read", func() bool { return w.journal().Record.Rollout == nil })
	next := w.deploy("ok")
	w.comes(next, report.OK)
	w.writesOnly(next, 2)
	if r := w.result("chef", id); r.State != "" || len(w.wire.writes()) != before+2 {
		t.Errorf("it told %+v of a rollout for others", r)
	}
	w.ran(base+" 1", next+" 1")
}

// An abort sends a node that the rollout touched back to current.
func TestAbortGoesBack(t *testing.T) {
	w := newWorld(t)
	w.start()
	base := w.deploy("ok")
	w.comes(base, report.OK)
	bad := w.deploy("fail", func(q *rollout.Request) { q.Selector.Node = "web" })
	w.comes(bad, report.Failed)
	if !w.marked(bad) {
		t.Error("a failure of the release leaves no marker")
	}
	_, _, err := w.Abort(t.Context(), "chef")
	must(t, err)
	w.begins(3)
	w.eventually("current is back", func() bool { j := w.journal(); return j.Work.ID == base && j.Work.State == report.OK })
	w.ran(base+" 1", bad+" 1", base+" 1")
}

func TestSocketAndMetrics(t *testing.T) {
	w := newWorld(t, func(o *agent.Options) { o.Listen = "127.0.0.1:0" })
	w.start()
	id := w.deploy("ok")
	w.comes(id, report.OK)
	resp, err := w.socket().Get("http://agent/status")
	must(t, err)
	defer resp.Body.Close()
	var status struct {
		Node string
		Apps []struct{ App string }
	}
	must(t, json.NewDecoder(resp.Body).Decode(&status))
	if resp.StatusCode != http.StatusOK || status.Node != me || len(status.Apps) != 1 || status.Apps[0].App != "chef" {
		t.Errorf("%s: %+v", resp.Status, status)
	}
	again, err := agent.New(w.options)
	must(t, err)
	if err := again.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another gurney agent runs here") {
		t.Errorf("a second agent: %v", err)
	}
}
