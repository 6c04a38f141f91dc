package agent_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gurney/agent"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

// put makes the store say of a deployment here what it said before, as a
// restore from a backup does; nil: nothing.
func (w *world) put(id string, r *report.Result) {
	w.t.Helper()
	w.allTold() // what is still on its way is not lost
	op := kv.Op{Verb: kv.Delete, Key: report.Key("chef", id, me)}
	if r != nil {
		op.Verb, op.Value = kv.Set, report.Encode(*r)
	}
	must(w.t, w.client.Txn(w.t.Context(), op))
}

// What a restore lost is told again within an interval, as it was told first,
// and nothing is run for it; until then, and after, nothing is written.
func TestALostResultIsToldAgain(t *testing.T) {
	w := newWorld(t, func(o *agent.Options) { o.Reconcile = 100 * time.Millisecond })
	w.start()
	id := w.deploy("block")
	first := w.comes(id, report.Accepted)
	w.letGo()
	last := w.comes(id, report.OK)
	looks := func(n int) {
		t.Helper()
		before := w.wire.count("GET /v1/kv/gurney/results/")
		w.eventually("the agent looks for its result", func() bool { return w.wire.count("GET /v1/kv/gurney/results/") >= before+n })
	}
	looks(3)
	w.writesOnly(id, 2)
	for i, before := range []*report.Result{nil, &first} {
		w.put(id, before)
		if r := w.comes(id, report.OK); r.Start != last.Start || r.End != last.End || r.Updated != last.Updated {
			t.Errorf("told again as %+v, first as %+v", r, last)
		}
		looks(3)
		w.writesOnly(id, 3+i)
	}
	w.ran(id + " 1")
}

// A failure comes back with its marker; and a node that is held says so again.
func TestLostFailuresAndHolds(t *testing.T) {
	w := newWorld(t)
	w.start()
	bad := w.deploy("fail")
	w.comes(bad, report.Failed)
	w.put(bad, nil)
	must(t, w.client.Txn(t.Context(), kv.Op{Verb: kv.Delete, Key: report.FailedKey("chef", bad, me)}))
	w.wake()
	if r := w.comes(bad, report.Failed); r.Error != "boom" || !w.marked(bad) {
		t.Errorf("%+v, marked %v", r, w.marked(bad))
	}
	w.maintenance(true, "disk")
	id := w.deploy("ok")
	w.comes(id, report.Held)
	w.put(id, nil)
	w.wake()
	w.comes(id, report.Held)
	w.stop()
	w.put(id, nil)
	w.start() // what was told stands in the journal
	w.comes(id, report.Held)
	w.ran(bad + " 1")
}

// A store that shows another record than the node's has not lost its result:
// it is being filled, or it is of before.
func TestNothingIsToldToAStoreOfBefore(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deployed()
	w.put(id, nil)
	p, err := w.client.Get(t.Context(), rollout.AppKey("chef"), kv.Default)
	must(t, err)
	for _, o := range []kv.Op{
		{Verb: kv.Delete},
		{Verb: kv.Set, Value: []byte(`{"v":1,"seq":1,"current":{"id":"20200101-0000-0000","at":"2020-01-01T00:00:00Z","by":"alice"}}`)},
	} {
		o.Key = p.Key
		must(t, w.client.Txn(t.Context(), o))
		w.wake()
	}
	w.writesOnly(id, 2)
	must(t, w.client.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: p.Key, Value: p.Value}))
	w.wake()
	w.comes(id, report.OK)
	w.ran(id + " 1")
}

// A server that lags, and shows no result yet, costs no write: the leader has
// the last word.
func TestALaggingServerHasLostNothing(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deployed()
	w.allTold()
	var asked atomic.Bool
	w.wire.onGet(func(r *http.Request) *http.Response {
		if !strings.Contains(r.URL.Path, "/results/") {
			return nil
		}
		if !r.URL.Query().Has("stale") {
			asked.Store(true)
			return nil
		}
		return &http.Response{Status: "404 Not Found", StatusCode: http.StatusNotFound, Header: http.Header{}, Body: http.NoBody, Request: r}
	})
	w.wake()
	w.eventually("the leader is asked", asked.Load)
	w.wake()
	w.writesOnly(id, 2)
}

// Consul's agent restarts, and its ring with the event is lost, in so short a
// time that no error tells of it: the ring does.
func TestARestartOfConsulThatNobodyNoticed(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.wire.onGet(func(r *http.Request) *http.Response {
		for r.URL.Path == "/v1/event/list" && r.Context().Err() == nil {
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err == nil {
				return resp
			}
		}
		return nil
	})
	first := w.deploy("ok")
	w.comes(first, report.OK)
	w.Fleet = silent{w.Fleet} // its event is in no ring
	id := w.deploy("ok")
	w.cluster.RestartAgent(me)
	w.comes(id, report.OK)
	w.ran(first+" 1", id+" 1")
	if countLog(w, "events can't be read") > 0 {
		t.Error("an error told of it")
	}
}

// What stands under the node's own key and is no result is told over.
func TestADamagedResultIsToldAgain(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deployed()
	w.allTold()
	must(t, w.client.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: report.Key("chef", id, me), Value: []byte("{bad")}))
	w.wake()
	w.eventually("it is told again", func() bool {
		p, err := w.client.Get(t.Context(), report.Key("chef", id, me), kv.Default)
		must(t, err)
		r, err := report.Decode(p.Value)
		return err == nil && r.State == report.OK
	})
	w.ran(id + " 1")
}

// A record that went back is the only word that the others have: the node's check
// says that something else stands here, until the next deployment.
func TestARecordThatWentBackIsAWarning(t *testing.T) {
	t.Parallel() // with the others, for it waits for a heartbeat
	w := newWorld(t)
	w.start()
	old := w.deploy("ok")
	w.comes(old, report.OK)
	before, err := w.client.Get(t.Context(), rollout.AppKey("chef"), kv.Default)
	must(t, err)
	w.deployed()
	must(t, w.client.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: before.Key, Value: before.Value}))
	w.wake()
	w.eventually("it is told", func() bool { return countLog(w, "older than what this node knows") == 1 })
	w.wake()
	w.eventually("the check warns", func() bool {
		targets, err := w.client.Targets(t.Context(), "chef", rollout.Selector{})
		must(t, err)
		return len(targets) == 1 && strings.Contains(targets[0].Warning, "newer than Consul's record")
	})
	if n := countLog(w, "older than what this node knows"); n != 1 {
		t.Errorf("told %d times", n)
	}
	w.comes(w.deploy("ok"), report.OK)
}
