package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gurney/agent"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

func countLog(w *world, text string) int { return strings.Count(w.log.String(), text) }

func getsid(pid int) (int, error) { return unix.Getsid(pid) }

// What is the world's fault is tried again, each attempt without a word to
// Consul, until it goes.
func TestWorldsFaultIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deploy("world/world/ok")
	if r := w.comes(id, report.OK); r.Attempt != 3 {
		t.Errorf("%+v", r)
	}
	w.ran(id+" 1", id+" 2", id+" 3")
	w.writesOnly(id, 2)
}

// Its deadline over, it has failed, but blames no release: no marker, and no
// breaker trips.
func TestWorldsFaultUntilTheDeadline(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deploy("late")
	r := w.comes(id, report.Failed)
	if r.Release || w.marked(id) || r.Error != "503 Slow Down" || r.Attempt != 2 {
		t.Errorf("%+v, marked %v", r, w.marked(id))
	}
	n := len(w.runs())
	w.wake()
	next := w.deploy("ok")
	w.comes(next, report.OK)
	if len(w.runs()) != n+1 {
		t.Errorf("it was run again: %q", w.begun())
	}
}

// The release's fault is not tried again until someone says so.
func TestReleasesFaultAndRetry(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deploy("fail/ok/fail")
	if r := w.comes(id, report.Failed); !r.Release || r.Exit != 1 || !w.marked(id) {
		t.Errorf("%+v, marked %v", r, w.marked(id))
	}
	w.wake()
	w.stop()
	w.start()
	w.wake()
	w.ran(id + " 1")
	retry := func(nodes ...string) {
		t.Helper()
		_, err := w.Retry(t.Context(), "chef", nodes)
		must(t, err)
		seq := must2(rollout.ReadRecord(t.Context(), w.client, "chef", kv.Default)).Seq
		w.eventually("the retry is read", func() bool { return w.journal().Record.Seq == seq })
	}
	must(t, w.client.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: report.Key("chef", id, "db-1"), Value: report.Encode(report.Result{State: report.Failed})}))
	retry("db-1") // another node
	w.ran(id + " 1")
	retry()
	w.comes(id, report.OK)
	if w.marked(id) {
		t.Error("the marker stays")
	}
	if _, err := w.Retry(t.Context(), "chef", nil); err == nil || !strings.Contains(err.Error(), "failed on no node") {
		t.Errorf("ok is ok: %v", err)
	}
	w.ran(id+" 1", id+" 2")
	retry(me) // but by name it runs all the same
	w.comes(id, report.Failed)
	w.ran(id+" 1", id+" 2", id+" 3")
}

// What stands here is run again where a retry names the node, once, though
// another deployment came between that touched nothing. The result says which
// retry it answers, for whoever waits for it.
func TestRetryAfterAnAbort(t *testing.T) {
	w := newWorld(t)
	w.start()
	base := w.deploy("ok")
	w.comes(base, report.OK)
	selected := func(q *rollout.Request) { q.Selector.Node = me } // a rollout, which can be aborted
	refused := w.deploy("refuse", selected)
	w.comes(refused, report.Refused)
	_, _, err := w.Abort(t.Context(), "chef")
	must(t, err)
	d, err := w.Retry(t.Context(), "chef", []string{me})
	must(t, err)
	w.eventually("it answers the retry", func() bool { r := w.result("chef", base); return r.State == report.OK && r.Retry == d.Record.Seq })
	again := w.deploy("refuse", selected)
	w.comes(again, report.Refused)
	_, _, err = w.Abort(t.Context(), "chef")
	must(t, err)
	w.wake()
	w.eventually("the abort is read", func() bool { return w.journal().Record.Rollout == nil })
	w.ran(base+" 1", refused+" 1", base+" 1", again+" 1")
}

func must2[T any](v T, _ uint64, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// The breaker: so many nodes failed that this one does not begin, and says so.
func TestBreaker(t *testing.T) {
	w := newWorld(t)
	w.start()
	base := w.deploy("ok")
	w.comes(base, report.OK)
	d, err := w.prepare("ok", 2, "db-1")
	must(t, err)
	w.comes(d, report.OK) // one failed, two may not
	_, _, err = w.Abort(t.Context(), "chef")
	must(t, err)
	w.begins(3) // current again

	d, err = w.prepare("ok", 2, "db-1", "db-2")
	must(t, err)
	if r := w.comes(d, report.Refused); r.Error != "halted: 2 failed, at most 1 may (max_failures)" || w.marked(d) {
		t.Errorf("%+v", r)
	}
	if n := len(w.runs()); n != 3 {
		t.Errorf("%q ran", w.begun())
	}
	_, err = w.Retry(t.Context(), "chef", nil) // deletes the markers
	must(t, err)
	w.comes(d, report.OK)
}

// prepare deploys with a breaker while this node can't hear of it, marks the
// others as failed, and lets the node go on.
func (w *world) prepare(path string, limit int, failed ...string) (string, error) {
	w.maintenance(true, "")
	id := w.deploy(path, func(q *rollout.Request) { q.MaxFailures, q.Selector.Node = limit, "web" })
	w.comes(id, report.Held)
	var ops []kv.Op
	for _, n := range failed {
		ops = append(ops, kv.Op{Verb: kv.Set, Key: report.FailedKey("chef", id, n)})
	}
	err := w.client.Txn(w.t.Context(), ops...)
	w.maintenance(false, "")
	return id, err
}

// One run at a time on a node, whatever the app: the other waits its turn,
// accepted.
func TestTwoAppsOneRun(t *testing.T) {
	w := newWorld(t, func(o *agent.Options) { o.Apps = []string{"chef", "site"} })
	w.start()
	chef := w.deploy("block")
	w.begins(1)
	site := w.deploy("ok", func(q *rollout.Request) { q.App = "site" })
	w.eventually("site is accepted", func() bool { return w.result("site", site).State == report.Accepted })
	w.ran(chef + " 1")
	w.letGo()
	w.eventually("site is ok", func() bool { return w.result("site", site).State == report.OK })
	w.comes(chef, report.OK)
	w.ran(chef+" 1", "site "+site+" 1")
}

// A run by hand goes before, too.
func TestRunWaitsForOneByHand(t *testing.T) {
	w := newWorld(t)
	w.start()
	lock, err := w.dir.LockRun("gurney apply")
	must(t, err)
	id := w.deploy("ok")
	w.comes(id, report.Accepted)
	w.eventually("it waits", func() bool { return countLog(w, `"by":"gurney apply"`) > 0 })
	w.ran()
	lock.Release()
	w.comes(id, report.OK)
	w.ran(id + " 1")
}

// A disk on which the journal can't be written stops no deployment.
func TestJournalThatCantBeWritten(t *testing.T) {
	w := newWorld(t)
	w.start()
	must(t, os.Mkdir(filepath.Join(w.dir.Path(), "apps", "chef.json"), 0o700))
	id := w.deploy("ok")
	w.comes(id, report.OK)
	if countLog(w, "the journal can't be written") == 0 {
		t.Error("nobody is told")
	}
	w.ran(id + " 1")
}
