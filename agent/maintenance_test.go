package agent_test

import (
	"slices"
	"testing"

	"gurney/agent"
	"gurney/report"
	"gurney/rollout"
)

func manifestSays(word string) func(*rollout.Request) {
	return func(q *rollout.Request) {
		q.Manifest = []byte("maintenance: " + word + "\ncommands: {pre: ['true']}\n")
	}
}

// The configuration's word holds where the manifest says nothing, and the
// manifest's where it does.
func TestMaintenanceWords(t *testing.T) {
	for _, c := range []struct {
		config, manifest string
		want             report.State
	}{
		{"hold", "", report.Held}, {"skip", "", report.Skipped}, {"ignore", "", report.OK},
		{"hold", "skip", report.Skipped}, {"skip", "ignore", report.OK}, {"ignore", "hold", report.Held},
	} {
		t.Run(c.config+" "+c.manifest, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *agent.Options) { o.Maintenance = c.config })
			w.maintenance(true, "disk swap, bob")
			w.start()
			id := w.deploy("hold", func(q *rollout.Request) {
				if c.manifest != "" {
					manifestSays(c.manifest)(q)
				}
			})
			r := w.comes(id, c.want)
			if c.want == report.OK {
				w.ran(id + " 1") // the run is told nothing of a maintenance that is ignored
				return
			}
			if r.Error != `maintenance: "disk swap, bob"` {
				t.Errorf("%+v", r)
			}
			w.ran()
			w.maintenance(false, "")
			if c.want == report.Held {
				w.comes(id, report.OK)
				w.ran(id + " 1")
				return
			}
			next := w.deploy("ok", manifestSays("hold"))
			w.comes(next, report.OK)
			w.ran(next + " 1") // skipped is skipped
		})
	}
}

// A node that is held for hours looks at its own Consul agent, and asks the
// servers nothing.
func TestHeldNodeCostsTheServersNothing(t *testing.T) {
	w := newWorld(t)
	w.maintenance(true, "")
	w.start()
	id := w.deploy("ok")
	w.comes(id, report.Held)
	w.writesOnly(id, 1)
	writes, n := len(w.wire.writes()), 0
	for range 3 { // the event may come last, and has the record read once more
		looks, reads := w.wire.count("GET /v1/agent/checks"), w.wire.count("GET /v1/kv")
		w.eventually("ten looks at the local agent", func() bool { return w.wire.count("GET /v1/agent/checks") > looks+10 })
		if n = w.wire.count("GET /v1/kv") - reads; n == 0 {
			break
		}
	}
	if n > 0 {
		t.Errorf("%d reads of the store in ten looks, again and again", n)
	}
	if got := w.wire.writes(); len(got) != writes {
		t.Errorf("held is told again and again: %q", got)
	}
}

// When maintenance ends the newest runs, though nobody could tell this node
// of it; what was held is superseded.
func TestNewestRunsWhenMaintenanceEnds(t *testing.T) {
	w := newWorld(t)
	w.maintenance(true, "")
	w.start()
	old := w.deploy("ok")
	w.comes(old, report.Held)
	// An event that never arrives: written, not fired.
	w.Fleet = silent{w.Fleet}
	id := w.deploy("ok")
	w.maintenance(false, "")
	w.comes(id, report.OK)
	w.comes(old, report.Superseded)
	w.ran(id + " 1")
}

// A deployment that is held and then aborted is not held for ever.
func TestAbortOfWhatIsHeld(t *testing.T) {
	w := newWorld(t)
	w.maintenance(true, "")
	w.start()
	id := w.deploy("ok", func(q *rollout.Request) { q.Selector.Node = "web" })
	w.comes(id, report.Held)
	_, _, err := w.Abort(t.Context(), "chef")
	must(t, err)
	if r := w.comes(id, report.Superseded); r.Error != "not wanted any more" {
		t.Errorf("%+v", r)
	}
	w.maintenance(false, "")
	next := w.deploy("ok")
	w.comes(next, report.OK)
	w.ran(next + " 1")
}

// What was superseded while the rollout was paused runs when it goes on.
func TestPausedAndOnAgain(t *testing.T) {
	w := newWorld(t)
	base := w.deploy("ok")
	w.start()
	w.comes(base, report.OK)
	w.maintenance(true, "")
	id := w.deploy("ok", func(q *rollout.Request) { q.Selector.Node = "web" })
	w.comes(id, report.Held)
	w.paused(true)
	w.comes(id, report.Superseded)
	w.maintenance(false, "")
	w.paused(false)
	w.comes(id, report.OK)
	w.ran(base+" 1", id+" 1")
}

// Only the run knows the manifest of a URL, and so its word.
func TestHeldByTheRun(t *testing.T) {
	w := newWorld(t)
	w.maintenance(true, "")
	w.start()
	id := w.fire("chef", "fake://x/hold")
	if r := w.comes(id, report.Held); r.Error != "maintenance: the manifest's word" {
		t.Errorf("%+v", r)
	}
	looks := w.wire.count("GET /v1/agent/checks")
	w.eventually("looks at the local agent", func() bool { return w.wire.count("GET /v1/agent/checks") > looks+3 })
	w.maintenance(false, "")
	w.comes(id, report.OK)
	w.ran(id+" 1", id+" 1") // the first never began
	key := "set gurney/" + report.Key("chef", id, me)
	w.writesOnly(id, 4)
	if got := w.wire.writes(); !slices.Equal(got, []string{key, key, key, key}) {
		t.Errorf("it wrote %q, want accepted, held, accepted, ok", got)
	}
}
