package faults_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gurney/report"
)

const (
	sequences     = 40
	sequencesSoak = 2000
	mostDeploys   = 5 // of one sequence: Consul keeps the results of as many
)

// TestRandomFaults does to each node what chance says: deployments, faults and
// maintenance, at whatever moment. GURNEY_SEED repeats what a failure printed;
// GURNEY_SOAK=1 makes it many.
func TestRandomFaults(t *testing.T) {
	first, count := time.Now().UnixNano(), sequences
	if os.Getenv("GURNEY_SOAK") != "" {
		count = sequencesSoak
	}
	if s := os.Getenv("GURNEY_SEED"); s != "" {
		seed, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatalf("GURNEY_SEED: %v", err)
		}
		first, count = seed, 1
	}
	t.Logf("random faults: %d sequences from seed %d", count, first)
	var deploys, fired, lost atomic.Int64
	t.Run("seed", func(t *testing.T) {
		for i := range count {
			seed := first + int64(i)
			t.Run(strconv.FormatInt(seed, 10), func(t *testing.T) {
				lane(t)
				s := newSequence(t, seed)
				s.run()
				deploys.Add(int64(len(s.deploys)))
				fired.Add(int64(len(s.story)))
				for _, d := range s.deploys {
					if d.unheard && len(s.ledger.of(d.id)) == 0 {
						lost.Add(1)
					}
				}
			})
		}
	})
	t.Logf("random faults: %d deployments and %d things done to %d nodes; %d deployments were replaced before the node could hear of them", deploys.Load(), fired.Load(), count, lost.Load())
}

// sequence is one node's bad day.
type sequence struct {
	*node
	rand    *rand.Rand
	deploys []*deployment
	story   []string // what was done, for people

	down       bool // no agent runs
	away       bool // its Consul agent is away
	leaderless bool
}

// deployment is one of a sequence.
type deployment struct {
	id   string
	tree archive
	cuts int // runs and Chefs of it that were killed
	// unheard: its event was lost before the node took note of it. Where
	// another replaced it since, the node can't know that there was one.
	unheard bool
}

func newSequence(t *testing.T, seed int64) *sequence {
	s := &sequence{rand: rand.New(rand.NewPCG(uint64(seed), 0))}
	s.node = newNode(t, nodeOptions{strategy: []string{"release", "rsync"}[s.rand.IntN(2)]})
	// An event that Consul lost in a restart that no error tells of, while its
	// ring was empty, is made up for by the timer: a minute is all that there is.
	s.must(s.Set("reconcile", "10s"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d, strategy %s:\n  %s", seed, s.strategy, strings.Join(s.story, "\n  "))
		}
	})
	return s
}

func (s *sequence) run() {
	s.start()
	s.until("the agent has begun to listen", func() bool {
		_, fresh, err := s.state.Seen()
		return err == nil && !fresh
	})
	s.deployNow()
	for range 6 + s.rand.IntN(8) {
		what, do := s.choose()
		s.story = append(s.story, time.Now().Format("05.000 ")+what)
		do()
		time.Sleep(time.Duration(s.rand.IntN(200)) * time.Millisecond)
	}
	s.heal()
	s.holdsTrue()
}

// choose draws what is done next.
func (s *sequence) choose() (string, func()) {
	for {
		switch s.rand.IntN(14) {
		case 0, 1, 2:
			if len(s.deploys) < mostDeploys && !s.leaderless {
				return "deploy", s.deployNow
			}
		case 3:
			if !s.down {
				return "kill agent", func() { s.Agent.Kill(); s.down = true }
			}
		case 4:
			if !s.down {
				return "stop agent", func() { s.Agent.Stop(10 * time.Second); s.down = true }
			}
		case 5, 6:
			if s.down {
				return "start agent", func() { s.start(); s.down = false }
			}
		case 7:
			return "kill run", func() { s.kill(func(run int) int { return run }) }
		case 8:
			return "kill chef", func() { s.kill(func(int) int { return s.chef() }) }
		case 9:
			on := s.rand.IntN(2) == 0
			return fmt.Sprintf("maintenance %t", on), func() { s.maintain(on) }
		case 10:
			return "Consul agent restarts", func() { s.unheard(); s.consul.restart(s.T); s.unheard() }
		case 11:
			s.away = !s.away
			return fmt.Sprintf("Consul agent away: %t", s.away), func() { s.unheard(); s.consul.away(s.T, s.away) }
		case 12:
			s.leaderless = !s.leaderless
			return fmt.Sprintf("no leader: %t", s.leaderless), func() { s.consul.leaderless(s.T, s.leaderless) }
		case 13:
			on := s.rand.IntN(2) == 0
			if p := points[s.rand.IntN(len(points))]; s.rand.IntN(2) == 0 {
				s.release("")
				return "stand at " + p.name, func() { s.hold(p.name) }
			}
			return fmt.Sprintf("S3 503: %t", on), func() { s.s3.fail.Store(on) }
		}
	}
}

func (s *sequence) deployNow() {
	a := []archive{shared.old, shared.new}[s.rand.IntN(2)]
	s.deploys = append(s.deploys, &deployment{id: s.deploy(a), tree: a, unheard: s.away})
}

// unheard notes which deployments' events the node loses if they are lost now.
func (s *sequence) unheard() {
	j, err := s.state.Journal("chef")
	s.must(err)
	for _, d := range s.deploys {
		known := j.Knows(d.id) || j.Work != nil && j.Work.ID == d.id
		for _, h := range j.Heard {
			known = known || h == d.id
		}
		d.unheard = d.unheard || !known
	}
}

// kill kills a process of the run that goes on; not so often that it would be
// the release's fault.
func (s *sequence) kill(which func(run int) int) {
	dir, status, ok := s.newest()
	if !ok || syscall.Kill(status.PID, 0) != nil {
		return
	}
	spec, err := dir.Spec()
	if err != nil {
		return
	}
	for _, d := range s.deploys {
		if pid := which(status.PID); d.id == spec.ID && d.cuts < 2 && pid > 0 {
			d.cuts++
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func (s *sequence) maintain(on bool) {
	if !s.away {
		s.must(s.local.SetMaintenance(s.Context(), on, "a bad day"))
	}
}

// heal ends all that was done to the node.
func (s *sequence) heal() {
	s.story = append(s.story, time.Now().Format("05.000 ")+"heal")
	s.release("")
	s.s3.fail.Store(false)
	s.consul.leaderless(s.T, false)
	s.consul.away(s.T, false)
	s.away, s.leaderless = false, false
	s.maintain(false)
	if s.down {
		s.start()
	}
}

// holdsTrue is what must be so then.
func (s *sequence) holdsTrue() {
	last := s.deploys[len(s.deploys)-1]
	s.onDesired(last.id)
	s.settles(last.tree.tree)
	for _, d := range s.deploys {
		s.told(d)
	}
}

// told insists on one final result of the deployment, in Consul and in what
// was written there. An event may come late, and its answer after the last
// deployment's.
func (s *sequence) told(d *deployment) {
	s.Helper()
	if !d.unheard {
		s.until("the node has told of "+d.id, func() bool { return s.result(d.id).State.Final() })
	}
	states := map[report.State]bool{}
	for _, value := range s.ledger.of(d.id) {
		r, err := report.Decode([]byte(value))
		s.must(err)
		states[r.State] = true
	}
	r := s.result(d.id)
	if len(states) == 0 && d.unheard && r.State == "" {
		return
	}
	if len(states) != 1 || !r.State.Final() || !states[r.State] {
		s.Errorf("deployment %s: final results %v were written, %q stands in Consul", d.id, states, r.State)
	}
}
