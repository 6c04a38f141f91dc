package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gurney/report"
)

// An app is green while it runs here what it should, and ran it well. The
// loop notes since when one is not; the heartbeat looks how long that is, for
// an agent that is stuck must not look well.

// turned notes what a result or the beginning of work means for the app.
func (p *app) turned(now time.Time, green bool) {
	switch {
	case green:
		p.NotGreen = time.Time{}
	case p.NotGreen.IsZero():
		p.NotGreen = now
	}
}

// showGreen tells the heartbeat and the metrics how the apps stand.
func (a *Agent) showGreen() {
	since := map[string]time.Time{}
	for name, p := range a.apps {
		if !p.NotGreen.IsZero() {
			since[name] = p.NotGreen
		}
		a.metrics.stands(p)
	}
	a.notGreen.Store(&since)
}

// health is what the heartbeat says: warn where an app has not been green for
// stale_after. The note stays the same while nothing changes: Consul writes
// one that changes to its servers.
func (a *Agent) health(now time.Time) (warn bool, note string) {
	since := a.notGreen.Load()
	if a.o.StaleAfter <= 0 || since == nil {
		return false, a.o.Version
	}
	var late []string
	for name, t := range *since {
		if now.Sub(t) >= a.o.StaleAfter {
			late = append(late, fmt.Sprintf("%s not green since %s", name, t.UTC().Format(time.RFC3339)))
		}
	}
	if len(late) == 0 {
		return false, a.o.Version
	}
	slices.Sort(late)
	return true, strings.Join(late, "; ")
}

// green says whether a result leaves the app as it should be.
func green(s report.State) bool { return s == report.OK || s == report.Skipped }
