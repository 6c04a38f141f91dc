package agent_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gurney/agent"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

func drains(o *agent.Options) {
	o.Drain, o.DrainUntil = true, agent.UntilPassing
}

// drained says whether the node's own Consul agent has the check.
func (w *world) drained() bool {
	w.t.Helper()
	on, _, err := w.options.Consul.Drained(w.t.Context())
	must(w.t, err)
	return on
}

// The check is one for all apps. Where one of them has failed, another's run
// that ends well does not bring the node back into service.
func TestDrainsOfTwoApps(t *testing.T) {
	w := newWorld(t, drains, func(o *agent.Options) { o.Apps = []string{"chef", "web"} })
	w.start()
	w.comes(w.deploy("fail"), report.Failed)
	id := w.deploy("ok", func(q *rollout.Request) { q.App = "web" })
	w.eventually("the other app is well", func() bool { return w.result("web", id).State == report.OK })
	w.eventually("its drain has ended", func() bool {
		j, err := w.dir.Journal("web")
		must(t, err)
		return j.Work.State == report.OK && j.Drain == nil
	})
	if !w.drained() || w.journal().Drain == nil {
		t.Errorf("in service, though chef failed: %+v", w.journal().Drain)
	}
	w.comes(w.deploy("ok"), report.OK)
	w.eventually("the node serves again", func() bool { return !w.drained() && w.journal().Drain == nil })
}

// A drain that somebody ended by hand is over for the agent, too: the next run
// waits anew for those who use the node.
func TestDrainEndedByHand(t *testing.T) {
	w := newWorld(t, drains)
	w.start()
	w.comes(w.deploy("fail"), report.Failed)
	if !w.drained() {
		t.Fatal("in service, though Chef failed")
	}
	must(t, w.options.Consul.Undrain(t.Context()))
	w.wake()
	w.eventually("the agent knows", func() bool { return w.journal().Drain == nil })
	w.stop()
	const wait = 300 * time.Millisecond
	w.options.DrainWait = wait
	w.start()
	began := time.Now()
	w.comes(w.deploy("ok"), report.OK)
	if took := time.Since(began); took < wait {
		t.Errorf("it ran after %s, when those who use the node had %s", took, wait)
	}
}

// A check that Consul has lost in the middle of a run is there again at the next
// look, and goes with the run's end.
func TestDrainLostInMidRun(t *testing.T) {
	w := newWorld(t, drains)
	w.start()
	id := w.deploy("block")
	w.begins(1)
	must(t, w.options.Consul.Undrain(t.Context()))
	w.wake()
	if !w.drained() {
		t.Error("in service while its run goes on")
	}
	w.letGo()
	w.comes(id, report.OK)
	w.eventually("the node serves again", func() bool { return !w.drained() && w.journal().Drain == nil })
	w.ran(id + " 1")
}

// barred is a Consul whose token may not drain the node, while it is barred.
type barred struct {
	agent.Consul
	off *atomic.Bool
}

func (b barred) Drain(ctx context.Context, note string) error {
	if b.off.Load() {
		return b.Consul.Drain(ctx, note)
	}
	return fmt.Errorf("drain the node: %w", kv.ErrForbidden)
}

// A token that may not drain the node does not leave the work accepted for
// ever: it is told what is wanted, nothing runs in service, and a retry runs it
// once the token may.
func TestDrainWithoutLeave(t *testing.T) {
	var off atomic.Bool
	w := newWorld(t, drains, func(o *agent.Options) { o.Consul = barred{o.Consul, &off} })
	w.start()
	id := w.deploy("ok")
	r := w.comes(id, report.Failed)
	if r.Release || r.Phase != report.PhaseAccepted || !strings.Contains(r.Error, "not allowed by the ACL token: give it node:write") {
		t.Errorf("%+v", r)
	}
	w.eventually("it is noted", func() bool { return w.journal().Work.State == report.Failed })
	if n := len(w.begun()); n != 0 || w.drained() || w.journal().Drain != nil {
		t.Errorf("%d runs began, drained %t, %+v", n, w.drained(), w.journal().Drain)
	}
	off.Store(true)
	_, err := w.Retry(t.Context(), "chef", []string{"web-1"})
	must(t, err)
	w.comes(id, report.OK)
	w.eventually("the node serves again", func() bool { return !w.drained() && w.journal().Drain == nil })
	// A node that was drained before the token lost its leave stays known as such.
	w.comes(w.deploy("fail"), report.Failed)
	off.Store(false)
	id = w.deploy("ok")
	w.comes(id, report.Failed)
	w.eventually("it is noted", func() bool { return w.journal().Work.ID == id && w.journal().Work.State == report.Failed })
	if !w.drained() || w.journal().Drain == nil {
		t.Errorf("drained %t, and the journal says %+v", w.drained(), w.journal().Drain)
	}
	off.Store(true)
	_, err = w.Retry(t.Context(), "chef", nil)
	must(t, err)
	w.comes(id, report.OK)
	w.eventually("the node serves again", func() bool { return !w.drained() && w.journal().Drain == nil })
}
