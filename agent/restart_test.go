package agent_test

import (
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"gurney/agent"
	"gurney/agent/state"
	"gurney/kv"
	"gurney/report"
)

// An agent that ends leaves the run alone, ends at once, and the next one
// picks the run up: one run, one result.
func TestRestartInMidRun(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deploy("block")
	w.begins(1)
	w.allTold()
	took := w.stop()
	for try := 0; took > 2*time.Second && try < 2; try++ { // the machine may have stood still
		w.start()
		took = w.stop()
	}
	if took > 2*time.Second {
		t.Errorf("the agent took %s to end, three times", took)
	}
	pid := w.pid(0)
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the run is gone with the agent: %v", err)
	}
	if sid, err := getsid(pid); err != nil || sid != pid {
		t.Errorf("the run is in session %d (%v), not in one of its own", sid, err)
	}
	w.start()
	w.eventually("it is picked up", func() bool { return countLog(w, "picked it up") > 0 })
	w.letGo()
	w.comes(id, report.OK)
	w.ran(id + " 1")
	w.writesOnly(id, 2)
}

// A run that ended while nobody was there is collected at the start, though
// another holds the lock then.
func TestRunEndedWhileTheAgentWasAway(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deploy("block")
	w.begins(1)
	w.allTold()
	w.stop()
	w.letGo()
	run := w.dir.Run(w.journal().Work.Run)
	w.eventually("the run's end", func() bool { e, err := run.Ending(); return err == nil && e != nil })
	lock, err := w.dir.WaitRun(t.Context(), "gurney apply", nil)
	must(t, err)
	defer lock.Release()
	w.start()
	w.comes(id, report.OK)
	w.ran(id + " 1")
	w.writesOnly(id, 2)
}

// A crash between a result's letter and the journal makes the same come again:
// the same result, and no second run.
func TestCrashBeforeTheJournalIsWritten(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deployed()
	w.allTold()
	w.stop()
	first := w.result("chef", id)
	j := w.journal()
	j.Work.State, j.Work.Run = report.Accepted, "chef@"+id+"@1"
	must(t, w.dir.SaveJournal(j))
	w.start()
	w.eventually("it is collected again", func() bool { return w.journal().Work.State == report.OK })
	w.eventually("and told", func() bool { return len(w.wire.writes()) == 3 })
	if r := w.result("chef", id); r.Start != first.Start || r.End != first.End || r.State != report.OK {
		t.Errorf("%+v, before %+v", r, first)
	}
	w.ran(id + " 1")
}

// Where the letter was still there, or was sent and not yet put away, the same
// that the next agent posts is no second one.
func TestCrashWithTheLetterPosted(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deploy("ok")
	w.comes(id, report.OK)
	for n := range 10 {
		w.eventually("all is told and noted", func() bool { return w.journal().Work.State == report.OK && len(w.letters()) == 0 })
		w.writesOnly(id, 2+n)
		w.stop()
		j := w.journal()
		j.Work.State, j.Work.Run = report.Accepted, "chef@"+id+"@1"
		must(t, w.dir.SaveJournal(j))
		must(t, w.dir.Post(state.Letter{Name: "chef@" + id + "@final1.0", At: time.Now(), Ops: []kv.Op{
			{Verb: kv.Set, Key: report.Key("chef", id, me), Value: report.Encode(w.result("chef", id))},
		}}))
		w.start()
	}
}

// A killed run is run again; the third is the release's fault.
func TestKilledRuns(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deploy("block/block/ok")
	for n := 1; n <= 2; n++ {
		w.begins(n)
		w.eventually("its status", func() bool {
			s, err := w.dir.Run("chef@" + id + "@" + strconv.Itoa(n)).Status()
			return err == nil && s != nil
		})
		must(t, syscall.Kill(w.pid(n-1), syscall.SIGKILL))
	}
	if r := w.comes(id, report.OK); r.Attempt != 3 {
		t.Errorf("%+v", r)
	}
	w.ran(id+" 1", id+" 2", id+" 3")
	w.writesOnly(id, 2)

	id = w.deploy("die")
	r := w.comes(id, report.Failed)
	if r.Attempt != 3 || !r.Release || r.Phase != report.PhaseChef || r.Error != "interrupted three times, the last time: the run was cut off" || !w.marked(id) {
		t.Errorf("%+v, marked %v", r, w.marked(id))
	}
	if j := w.journal(); j.Touched.ID != id || j.Touched.Verdict != "" && j.Touched.Verdict != "failed" {
		t.Errorf("touched %+v", j.Touched)
	}
}

// A run that can't even begin is no fault of the release: it is tried again,
// and tells why.
func TestStillbornRuns(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.deploy("stillborn/stillborn/stillborn/stillborn/ok")
	if r := w.comes(id, report.OK); r.Attempt != 5 {
		t.Errorf("%+v", r)
	}
	if w.marked(id) {
		t.Error("it is marked as the release's fault")
	}

	w.stop()
	w.options.Command = []string{"/nonexistent/gurney"}
	w.start()
	id = w.deploy("ok")
	w.comes(id, report.Accepted)
	w.eventually("it is tried again", func() bool { return countLog(w, "start the run") >= 2 })
	w.stop()
	w.options.Command = []string{os.Args[0]}
	w.start()
	w.comes(id, report.OK)
}

// What stands in the ring when a node is born was meant for others; the record
// is what it obeys.
func TestFirstStartMarksTheRing(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.fire("other", "fake://x/ok")
		w.fire("chef", "fake://x/ok")
	}
	w.options.Apps = []string{"chef", "other"}
	w.start()
	id := w.fire("chef", "fake://x/ok?mine")
	w.comes(id, report.OK)
	w.ran(id + " 1")
	w.stop()
	w.start() // the ring still has them
	w.wake()
	record := w.deploy("ok")
	w.comes(record, report.OK)
	w.ran(id+" 1", record+" 1")
}

func TestANewNodeTakesWhatIsCurrent(t *testing.T) {
	w := newWorld(t)
	id := w.deploy("ok") // long before the node is there
	w.start()
	w.comes(id, report.OK)
	w.ran(id + " 1")
}

// Events that are delivered again are known by their ids, across restarts of
// the agent and of Consul, whose ring is empty then.
func TestEventsDeliveredAgain(t *testing.T) {
	w := newWorld(t)
	w.start()
	first := w.fire("chef", "fake://x/ok")
	w.comes(first, report.OK)
	w.stop()
	missed := w.fire("chef", "fake://x/ok") // in the ring when the agent comes back
	w.start()
	w.comes(missed, report.OK)
	w.ran(first+" 1", missed+" 1")

	w.cluster.RestartAgent(me)
	id := w.deploy("ok")
	w.comes(id, report.OK)
	w.stop()
	w.start()
	w.wake()
	last := w.fire("chef", "fake://x/ok")
	w.comes(last, report.Refused) // the app has a record now
	w.ran(first+" 1", missed+" 1", id+" 1")
}

// A node that was cut off when its event passed learns of it when it is back.
func TestMissedEvent(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.cluster.Partition(me, true)
	w.eventually("the agent is cut off", func() bool { return countLog(w, "events can't be read") == 1 })
	id := w.deploy("ok")
	w.cluster.Partition(me, false)
	w.comes(id, report.OK)
	w.ran(id + " 1")
}

// Gossip is best effort: the slow timer finds what no event told.
func TestTimerFindsWhatNoEventTold(t *testing.T) {
	w := newWorld(t, func(o *agent.Options) { o.Reconcile = 100 * time.Millisecond })
	w.start()
	w.Fleet = silent{w.Fleet}
	id := w.deploy("ok")
	w.comes(id, report.OK)
	w.ran(id + " 1")
}

// writesOnly fails where the agent wrote a deployment's result another number
// of times.
func (w *world) writesOnly(id string, times int) {
	w.t.Helper()
	count := func() (n int) {
		for _, k := range w.wire.writes() {
			if k == "set gurney/"+report.Key("chef", id, me) {
				n++
			}
		}
		return n
	}
	w.eventually("the result is written", func() bool { return count() >= times })
	if n := count(); n != times {
		w.t.Errorf("the result was written %d times, want %d: %q", n, times, w.wire.writes())
	}
}

// pid is the process of the n-th run, from 0.
func (w *world) pid(n int) int {
	w.t.Helper()
	pid, err := strconv.Atoi(slices.Clone(w.runs()[n])[3])
	must(w.t, err)
	return pid
}
