package agent_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gurney/agent"
	"gurney/report"
	"gurney/rollout"
)

// bootstrap is a boot of the node; how chef stands afterwards.
func (w *world) bootstrap() agent.Standing {
	w.t.Helper()
	a, err := agent.New(w.options)
	must(w.t, err)
	agent.Hurry(a)
	s, err := a.Bootstrap(w.t.Context())
	must(w.t, err)
	if len(s) != 1 {
		w.t.Fatalf("%+v", s)
	}
	return s[0]
}

// A node that is born in maintenance is past it from the first: it does not say
// that it is held.
func TestBootstrapIsNotHeld(t *testing.T) {
	w := newWorld(t)
	current := w.deploy("ok")
	w.maintenance(true, "born")
	for n := range 5 { // whatever comes first, the loop or who waits for it
		_ = os.Remove(filepath.Join(w.dir.Path(), "apps", "chef.json")) // born anew
		w.bootstrap()
		if n := countLog(w, "held"); n > 0 {
			t.Fatalf("held %d times", n)
		}
		w.writesOnly(current, 2*(n+1))
	}
}

// A boot that takes too long says what it waited for.
func TestBootstrapSaysWhatKeptIt(t *testing.T) {
	w := newWorld(t)
	w.deploy("world")
	a, err := agent.New(w.options)
	must(t, err)
	agent.Hurry(a)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		w.eventually("a run fails", func() bool { return countLog(w, "trying again") > 0 })
	}()
	if _, err := a.Bootstrap(ctx); err == nil || err.Error() != "chef: 503 Slow Down" {
		t.Errorf("it ended with %v", err)
	}
}

// serviceDown registers a service on the node whose check is critical.
func (w *world) serviceDown(name string) {
	w.t.Helper()
	body := strings.NewReader(`{"Name":"` + name + `","Check":{"TTL":"1h","Status":"critical"}}`)
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPut, "http://"+w.cluster.Addr(me)+"/v1/agent/service/register", body)
	must(w.t, err)
	resp, err := http.DefaultClient.Do(req)
	must(w.t, err)
	resp.Body.Close()
}

// A node that is being born takes what is current, and no rollout that is on.
// One that boots again and has begun the rollout before stays on it: it neither
// goes back and forth, nor writes over what it had said.
func TestBootstrapAndRollouts(t *testing.T) {
	w := newWorld(t)
	selected := func(q *rollout.Request) { q.Selector = rollout.Selector{Node: "^web-"} }
	current := w.deploy("ok")
	parked := w.deploy("ok", selected)
	if s := w.bootstrap(); s.ID != current || s.State != report.OK {
		t.Errorf("born: %+v", s)
	}
	w.start()
	w.comes(parked, report.OK)
	w.stop()
	said := w.result("chef", parked)
	if s := w.bootstrap(); s.ID != parked || s.State != report.OK {
		t.Errorf("booted again: %+v", s)
	}
	w.start()
	w.wake()
	w.stop()
	w.ran(current+" 1", parked+" 1")
	if got := w.result("chef", parked); got.Start != said.Start || got.Attempt != said.Attempt {
		t.Errorf("it had said %+v, and now %+v", said, got)
	}
	// Aborted while it was off: back to current before it serves.
	_, _, err := w.Abort(t.Context(), "chef")
	must(t, err)
	if s := w.bootstrap(); s.ID != current || s.State != report.OK {
		t.Errorf("after the abort: %+v", s)
	}
	// What failed is tried again at a boot, whichever it is.
	failed := w.deploy("fail/fail/ok", selected)
	w.start()
	w.comes(failed, report.Failed)
	w.stop()
	if s := w.bootstrap(); s.ID != failed || s.State != report.Failed {
		t.Errorf("a boot with a failed rollout: %+v", s)
	}
	if s := w.bootstrap(); s.ID != failed || s.State != report.OK {
		t.Errorf("the next boot: %+v", s)
	}
	w.ran(current+" 1", parked+" 1", current+" 1", failed+" 1", failed+" 2", failed+" 3")
}

// How an app stands is how it stands in what is wanted, whatever was taken up
// since and came to nothing: a node that is right must boot and serve.
func TestBootstrapAfterWhatCameToNothing(t *testing.T) {
	w := newWorld(t)
	selected := func(q *rollout.Request) { q.Selector = rollout.Selector{Node: "^web-"} }
	w.start()
	current := w.deploy("ok")
	w.comes(current, report.OK)
	refused := w.deploy("refuse", selected)
	w.comes(refused, report.Refused)
	w.stop()
	good := func(when string) {
		t.Helper()
		if s := w.bootstrap(); s.ID != current || s.State != report.OK {
			t.Errorf("%s: %+v", when, s)
		}
	}
	good("while the refused rollout is on")
	_, _, err := w.Abort(t.Context(), "chef")
	must(t, err)
	good("after its abort")

	// One that is held at the reboot stays so to all that look.
	w.maintenance(true, "disk swap")
	w.start()
	held := w.deploy("ok", selected)
	w.comes(held, report.Held)
	w.stop()
	good("while another is held")
	if r := w.result("chef", held); r.State != report.Held {
		t.Errorf("the held one is told as %+v", r)
	}
	w.start()
	w.comes(held, report.Held)
	w.maintenance(false, "")
	w.comes(held, report.OK)
	w.ran(current+" 1", refused+" 1", held+" 1")
}

// A drain that waits for services keeps nobody from serving who starts them
// only then.
func TestBootstrapWhileServicesAreDown(t *testing.T) {
	w := newWorld(t, drains)
	w.start()
	id := w.deploy("block")
	w.begins(1)
	w.serviceDown("app")
	w.stop()
	w.letGo()
	if s := w.bootstrap(); s.ID != id || s.State != report.OK {
		t.Errorf("%+v", s)
	}
}
