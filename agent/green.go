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

// amiss is what of the apps is not as it should be.
type amiss struct {
	notGreen map[string]time.Time // since when
	behind   []string             // apps whose record in Consul is older than the journal's
}

// showGreen tells the heartbeat and the metrics how the apps stand.
func (a *Agent) showGreen() {
	now := amiss{notGreen: map[string]time.Time{}}
	for name, p := range a.apps {
		if !p.NotGreen.IsZero() {
			now.notGreen[name] = p.NotGreen
		}
		if p.behind {
			now.behind = append(now.behind, name)
		}
		a.metrics.stands(p)
	}
	a.amiss.Store(&now)
}

// health is what the heartbeat says: warn where an app has not been green for
// stale_after, or where Consul was put back to before what runs here, which its
// record can't tell. The note stays the same while nothing changes: Consul writes
// one that changes to its servers.
func (a *Agent) health(now time.Time) (warn bool, note string) {
	seen := a.amiss.Load()
	if seen == nil {
		return false, a.o.Version
	}
	var notes []string
	for _, name := range seen.behind {
		notes = append(notes, fmt.Sprintf("%s stays on what is newer than Consul's record: gurney deploy says it anew", name))
	}
	for name, t := range seen.notGreen {
		if a.o.StaleAfter > 0 && now.Sub(t) >= a.o.StaleAfter {
			notes = append(notes, fmt.Sprintf("%s not green since %s", name, t.UTC().Format(time.RFC3339)))
		}
	}
	if len(notes) == 0 {
		return false, a.o.Version
	}
	slices.Sort(notes)
	return true, strings.Join(notes, "; ")
}

// green says whether a result leaves the app as it should be.
func green(s report.State) bool { return s == report.OK || s == report.Skipped }
