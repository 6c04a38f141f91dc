package integration_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gurney/report"
)

// Over to the agent and back to the watch, on the same state directory: each
// event runs once, also those that came in between, the newest.
func TestStretcherOverAndBack(t *testing.T) {
	y := newYard(t).by("apply")
	const handler = "gurney -c gurney.yml apply -"
	runs := func(word string) {
		t.Helper()
		y.until(word+" has run", func() bool { return strings.HasSuffix(y.ran(), word) })
	}
	watch := y.watch(handler)
	y.fire(stretcherEvent, y.counting("watched", ""))
	runs("watched")
	watch.Stop(5 * time.Second)

	y.fire(stretcherEvent, y.counting("between", ""))
	y.agent()
	runs("between")
	if r := y.awaitResult(y.fire(stretcherEvent, y.counting("agent", ""))); r.State != report.OK {
		t.Errorf("%+v", r)
	}
	y.Host.Agent.Stop(5 * time.Second)

	y.fire(stretcherEvent, y.counting("back", ""))
	y.watch(handler)
	runs("back")
	y.fire(stretcherEvent, y.counting("end", ""))
	runs("end")
	if got := y.ran(); got != "watched between agent back end" {
		t.Errorf("ran %s", got)
	}
}

// What the agent adds for events as they are: maintenance is honoured, by the
// configuration's word and by the manifest's, and the newest runs at its end.
func TestStretcherEventInMaintenance(t *testing.T) {
	y := newYard(t)
	y.agent()
	y.maintenance("app-1", true, "disk")
	state := func(id string) report.State { return y.result(stretcherEvent, id, "app-1").State }
	old := y.fire(stretcherEvent, y.counting("old", ""))
	y.until("the event is held", func() bool { return state(old) == report.Held })
	if r := y.awaitResult(y.fire(stretcherEvent, y.counting("anyway", "maintenance: ignore\n"))); r.State != report.OK {
		t.Errorf("a manifest that ignores maintenance: %+v", r)
	}
	if r := y.awaitResult(y.fire(stretcherEvent, y.counting("passed-over", "maintenance: skip\n"))); r.State != report.Skipped {
		t.Errorf("a manifest that skips: %+v", r)
	}
	newest := y.fire(stretcherEvent, y.counting("newest", ""))
	y.until("the newest is held", func() bool { return state(newest) == report.Held })
	y.maintenance("app-1", false, "")
	if r := y.awaitResult(newest); r.State != report.OK || y.ran() != "anyway newest" {
		t.Errorf("after the maintenance: %+v; ran %s", r, y.ran())
	}
	if r := y.awaitResult(old); r.State != report.Superseded {
		t.Errorf("the one that waited before: %+v", r)
	}
}

// Runs of events don't fill the disk: only the newest keep their logs.
func TestStretcherKeepsFewRuns(t *testing.T) {
	byHand(t, func(y *yard) {
		at := y.counting("x", "")
		for i := range 14 {
			id := string(rune('a'+i)) + "-" + y.way
			if out := y.command(list([3]string{id, "deploy_db_production", at}), nil); out.Status != 0 {
				y.Fatalf("%+v", out)
			}
		}
		if kept, err := filepath.Glob(filepath.Join(y.stateDir(), "runs", "deploy_db_production@*")); err != nil || len(kept) > 11 {
			y.Errorf("%d runs are kept", len(kept))
		}
	})
}
