package agent_test

import (
	"strings"
	"testing"
	"time"

	"gurney/agent"
	"gurney/report"
	"gurney/rollout"
)

// A time for drift that comes while a deployment is held, or its run goes on,
// waits for that to end, and the loop waits with it.
func TestDriftWaitsForADeployment(t *testing.T) {
	w := newWorld(t, func(o *agent.Options) { o.ConvergeEvery = 100 * time.Millisecond })
	w.start()
	w.comes(w.deploy("ok", converges), report.OK)
	w.maintenance(true, "disk swap")
	id := w.deploy("block", converges)
	w.comes(id, report.Held)
	looks := func() int { return w.wire.count("GET /v1/agent/checks") }
	before, began := looks(), time.Now()
	w.eventually("the time for drift is long over", func() bool { return time.Since(began) > 500*time.Millisecond })
	// Hurried, a held node looks every 40 ms.
	n, took := looks()-before, time.Since(began)
	if n > int(took/(20*time.Millisecond)) {
		t.Errorf("%d looks in %s", n, took)
	}
	w.maintenance(false, "")
	w.eventually("its run goes on", func() bool { return w.journal().Work.Run != "" })
	w.letGo()
	w.comes(id, report.OK)
	n = len(w.runs())
	w.begins(n + 1) // Chef again
}

// Drift is mended in service, and a Chef that fails at it takes no node out.
func TestDriftDrainsNobody(t *testing.T) {
	w := newWorld(t, drains, func(o *agent.Options) { o.ConvergeEvery = 50 * time.Millisecond })
	w.start()
	drained := func() int { return w.wire.count("PUT /v1/agent/check/register") }
	id := w.deploy("ok/ok/broken", converges)
	w.comes(id, report.OK)
	w.eventually("the node serves again", func() bool { return !w.drained() && w.journal().Drain == nil })
	n := drained()
	w.comes(id, report.Failed)
	w.begins(5) // another fails, too
	w.letGo()
	w.comes(id, report.OK)
	if got := drained(); got != n || w.drained() {
		t.Errorf("drained %d times for drift, now %v", got-n, w.drained())
	}
}

func converges(q *rollout.Request) {
	q.Manifest = []byte("src: s3://acme/chef/one.tar.gz\nchecksum: " + strings.Repeat("0", 64) + "\ndest: /srv/chef\nchef: {nodes: nodes}\n")
}
