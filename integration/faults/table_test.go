package faults_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"gurney/agent/hold"
)

// diskSize holds the node with two releases many times over, in bytes.
const diskSize = 8 << 20

// atLeast is how many cases the table has; fewer would be a table with a hole.
const atLeast = 80

// TestFaults is the table.
func TestFaults(t *testing.T) {
	var ran atomic.Int32
	cases, never, without := 0, 0, 0
	reasons := map[string]int{}
	t.Run("table", func(t *testing.T) {
		for _, strategy := range []string{"release", "rsync"} {
			for _, f := range faults {
				for _, p := range points {
					why := f.at(p)
					if p.only != "" && p.only != strategy {
						why = "the strategy has no such phase"
					}
					switch {
					case why != "":
						never++
						reasons[why]++
						continue
					case f.disk && !mounts():
						without++
						continue
					}
					cases++
					t.Run(strings.ReplaceAll(fmt.Sprintf("%s/%s/%s", strategy, f.name, p.name), " ", "-"), func(t *testing.T) {
						lane(t)
						strike(t, nodeOptions{strategy: strategy}, f, p)
						if !t.Failed() {
							ran.Add(1)
						}
					})
				}
			}
		}
	})
	t.Logf("faults: %d cases, %d ended as they should, %d can't happen", cases, ran.Load(), never)
	for why, n := range reasons {
		t.Logf("  %3d: %s", n, why)
	}
	if without > 0 {
		t.Logf("  NOT TRIED without root: %d cases of a full disk", without)
	}
	if cases+without < atLeast {
		t.Errorf("%d cases, of %d at least", cases, atLeast)
	}
}

// strike is one case: a deployment on its way, the fault where it stands, and
// what became of both.
func strike(t *testing.T, o nodeOptions, f fault, p point) {
	if f.disk {
		o.disk = diskSize
	}
	n := newNode(t, o)
	n.hold(p.name)
	id := n.deploy(shared.new)
	n.start()
	n.stands(p, id)
	n.must(n.whole())
	if err := f.fire(n, p); err != nil {
		t.Fatal(err)
	}
	r := n.onDesired(id)
	if f.attempt != nil && r.Attempt != f.attempt(p) {
		t.Errorf("attempt %d ended well, it should be %d", r.Attempt, f.attempt(p))
	}
	if r.Attempt > 3 {
		t.Errorf("it took %d attempts", r.Attempt)
	}
	n.settles(shared.new.tree)
	n.once(id, p.name == hold.Sent || p.name == hold.Posted)
}
