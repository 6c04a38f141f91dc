package agent_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gurney/agent"
	"gurney/event"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

// Stretcher's way: an app without a record runs what events say, each event
// once, by its id; the URL is the same for every deploy.
func TestURLEvents(t *testing.T) {
	w := newWorld(t)
	w.start()
	const url = "fake://x/block"
	first := w.fire("chef", url)
	w.begins(1)
	second, third, fourth := w.fire("chef", url), w.fire("chef", url), w.fire("chef", "  "+url+"\n")
	for id, by := range map[string]string{second: third, third: fourth} {
		if r := w.comes(id, report.Superseded); r.Error != "by "+by {
			t.Errorf("%+v", r)
		}
	}
	w.letGo()
	w.comes(first, report.OK)
	w.comes(fourth, report.OK)
	w.ran(first+" 1", fourth+" 1")
}

// A record is the truth: a URL event is refused, told so, and changes nothing
// of what the record asked for, not even a failure.
func TestURLEventOfAnAppWithARecord(t *testing.T) {
	w := newWorld(t)
	w.start()
	bad := w.deploy("fail")
	w.comes(bad, report.Failed)
	id := w.fire("chef", "fake://x/ok")
	r := w.comes(id, report.Refused)
	if r.Error != "this app is deployed by its record: use gurney deploy chef" {
		t.Errorf("%+v", r)
	}
	w.wake()
	next := w.deploy("ok")
	w.comes(next, report.OK)
	w.ran(bad+" 1", next+" 1")
}

// An event that may not run here takes nobody's place: what waits, waits on.
func TestForeignURLEvent(t *testing.T) {
	w := newWorld(t, func(o *agent.Options) {
		o.Allowed = func(url string) error {
			if strings.HasPrefix(url, "fake://x/") {
				return nil
			}
			return errors.New("not below any of the configured sources")
		}
	})
	w.maintenance(true, "")
	w.start()
	held := w.fire("chef", "fake://x/hold")
	w.comes(held, report.Held)
	foreign := func() {
		t.Helper()
		r := w.comes(w.fire("chef", "fake://evil/ok"), report.Refused)
		if r.Error != "not below any of the configured sources" || r.Phase != report.PhaseAccepted {
			t.Errorf("%+v", r)
		}
	}
	foreign()
	w.maintenance(false, "")
	w.comes(held, report.OK)
	foreign()
	runs := w.begun()
	if len(runs) == 0 || slices.ContainsFunc(runs, func(r string) bool { return !strings.HasPrefix(r, held) }) {
		t.Errorf("%q ran", runs)
	}
}

// A crash between the journal and the mark that an event was seen makes the
// event come again: it is the same one.
func TestURLEventComesAgain(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.fire("chef", "fake://x/block")
	w.begins(1)
	w.allTold()
	w.stop()
	must(t, w.dir.SaveSeen(&event.Seen{}))
	w.start()
	w.eventually("it is heard again", func() bool {
		seen, _, err := w.dir.Seen()
		return err == nil && seen.Has(id)
	})
	w.letGo()
	w.comes(id, report.OK)
	next := w.fire("chef", "fake://x/ok")
	w.comes(next, report.OK)
	w.ran(id+" 1", next+" 1")
	w.writesOnly(id, 2)
}

// That a record exists may be news to the node: an empty stale read is no
// proof that there is none.
func TestURLEventBeforeTheRecordIsKnown(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.Fleet = silent{w.Fleet}
	current := w.deploy("ok")
	id := w.fire("chef", "fake://x/fail")
	w.comes(id, report.Refused)
	w.comes(current, report.OK)
	w.ran(current + " 1")
}

// There is no driver that prunes: the node leaves its newest results only.
func TestURLEventsLeaveFewResults(t *testing.T) {
	w := newWorld(t)
	w.start()
	for i := range 7 {
		id := w.fire("chef", fmt.Sprintf("fake://x/fail?n=%d", i))
		w.comes(id, report.Failed)
	}
	for _, prefix := range []string{report.AppPrefix("chef"), report.FailedAppPrefix("chef")} {
		w.eventually("five stay", func() bool {
			keys, err := w.client.Keys(t.Context(), prefix, kv.Default)
			must(t, err)
			return len(keys) == 5
		})
	}
}

// A record that comes while a URL's deployment waits takes its place.
func TestRecordTakesAURLEventsPlace(t *testing.T) {
	w := newWorld(t)
	w.maintenance(true, "")
	w.start()
	id := w.fire("chef", "fake://x/hold")
	w.comes(id, report.Held)
	current := w.deploy("ok")
	if r := w.comes(id, report.Superseded); r.Error != "by "+current {
		t.Errorf("%+v", r)
	}
	w.maintenance(false, "")
	w.comes(current, report.OK)
}

// silent fires no event: as if none reached this node.
type silent struct{ rollout.Fleet }

func (silent) Fire(context.Context, event.Event) (string, error) { return "", nil }
