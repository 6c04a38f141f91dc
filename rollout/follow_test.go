package rollout_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

func TestFollowToTheEndAndPromote(t *testing.T) {
	f := newFleet(t, "db-1", "web-1", "web-2")
	d := f.begin(nil)
	id := d.Deployment.ID
	views, end := f.follow(d, 0)
	type nodes = map[string]rollout.Standing
	f.until(views, nodes{"db-1": rollout.Waiting, "web-1": rollout.Waiting, "web-2": rollout.Waiting})
	f.says(id, "web-1", accepted)
	f.says(id, "db-1", held)
	f.until(views, nodes{"db-1": rollout.Held, "web-1": rollout.Running, "web-2": rollout.Waiting})
	f.cluster.Partition("web-2", true)
	f.until(views, nodes{"db-1": rollout.Held, "web-1": rollout.Running, "web-2": rollout.Gone})
	f.says(id, "web-1", done)
	v := f.ended(end, rollout.EndComplete) // held and gone ones come later by themselves
	must(t, d.Promote(t.Context()))
	d.End(t.Context(), v, "done")
	r := f.record()
	if r.Rollout != nil || r.Current == nil || r.Current.ID != id || r.Seq <= d.Record.Seq {
		t.Errorf("after the promotion %+v", r)
	}
	if h := f.hints("web-1"); len(h) != 2 || h[1].Seq != r.Seq {
		t.Errorf("hints %v: the promotion has none", h)
	}
	if o := f.outcome(id); o.State != "done" || o.OK != 1 || o.Held != 1 || o.Fail != 0 {
		t.Errorf("outcome %+v", o)
	}
}

func TestFollowEnds(t *testing.T) {
	t.Run("failed", func(t *testing.T) {
		f := newFleet(t, "web-1", "web-2")
		d := f.begin(nil)
		f.says(d.Deployment.ID, "web-1", broken)
		views, end := f.follow(d, 0)
		f.until(views, map[string]rollout.Standing{"web-1": rollout.Failed, "web-2": rollout.Waiting})
		f.says(d.Deployment.ID, "web-2", done)
		f.ended(end, rollout.EndFailed)
	})
	t.Run("a dead node's failure", func(t *testing.T) {
		for name, last := range map[string]report.Result{"failed": broken, "refused": {V: 1, State: report.Refused}, "interrupted": {V: 1, State: report.Interrupted}} {
			f := newFleet(t, "web-1", "web-2")
			d := f.begin(nil)
			f.says(d.Deployment.ID, "web-1", last)
			f.says(d.Deployment.ID, "web-2", done)
			f.cluster.Partition("web-1", true)
			_, end := f.follow(d, 0)
			if v := f.ended(end, rollout.EndFailed); v.Counts[rollout.Failed] != 1 || v.Complete() {
				t.Errorf("%s: %v", name, v.Counts)
			}
			// Asked again it is waited for no more than others that are gone.
			d, err := f.Retry(t.Context(), "chef", nil)
			must(t, err)
			f.says(d.Deployment.ID, "web-2", f.answers(done))
			_, end = f.follow(d, 0)
			if v := f.ended(end, rollout.EndComplete); v.Counts[rollout.Gone] != 1 {
				t.Errorf("%s, asked again: %v", name, v.Counts)
			}
		}
	})
	t.Run("lost in the middle of a run", func(t *testing.T) {
		f := newFleet(t, "web-1", "web-2")
		d := f.begin(nil)
		f.says(d.Deployment.ID, "web-1", accepted)
		f.says(d.Deployment.ID, "web-2", done)
		f.cluster.Partition("web-1", true)
		_, end := f.follow(d, 0)
		if v := f.ended(end, rollout.EndFailed); v.Counts[rollout.Gone] != 1 || v.Counts[rollout.Failed] != 0 {
			t.Errorf("%v", v.Counts)
		}
	})
	t.Run("silent for a moment", func(t *testing.T) {
		f := newFleet(t, "web-1", "web-2")
		f.GoneAfter = time.Hour
		d := f.begin(nil)
		f.says(d.Deployment.ID, "web-2", done)
		views, end := f.follow(d, 0)
		f.until(views, map[string]rollout.Standing{"web-1": rollout.Waiting, "web-2": rollout.Done})
		f.cluster.Partition("web-1", true)
		f.until(views, map[string]rollout.Standing{"web-1": rollout.Gone, "web-2": rollout.Done})
		f.says(d.Deployment.ID, "web-1", accepted) // it is busy, not dead
		f.until(views, map[string]rollout.Standing{"web-1": rollout.Gone, "web-2": rollout.Done})
		select {
		case e := <-end:
			t.Fatalf("it ended %s", e.end)
		default:
		}
		f.cluster.Partition("web-1", false)
		f.says(d.Deployment.ID, "web-1", done)
		f.ended(end, rollout.EndComplete)
	})
	t.Run("gone from the beginning", func(t *testing.T) {
		f := newFleet(t, "web-1", "web-2")
		f.GoneAfter = time.Hour
		f.cluster.Partition("web-1", true)
		d := f.begin(nil)
		f.says(d.Deployment.ID, "web-2", done)
		_, end := f.follow(d, 0)
		f.ended(end, rollout.EndComplete)
	})
	t.Run("timeout", func(t *testing.T) {
		f := newFleet(t, "web-1")
		_, end := f.follow(f.begin(nil), 50*time.Millisecond)
		f.ended(end, rollout.EndTimeout)
	})
	t.Run("stopped by its operator", func(t *testing.T) {
		f := newFleet(t, "web-1")
		ctx, cancel := context.WithCancel(t.Context())
		d := f.begin(nil)
		_, _, err := d.Follow(ctx, time.Hour, func(rollout.View) { cancel() })
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("aborted", func(t *testing.T) {
		f := newFleet(t, "web-1")
		views, end := f.follow(f.begin(nil), 0)
		<-views
		_, _, err := f.Abort(t.Context(), "chef")
		must(t, err)
		f.ended(end, rollout.EndAborted)
	})
	t.Run("replaced", func(t *testing.T) {
		f := newFleet(t, "web-1")
		views, end := f.follow(f.begin(nil), 0)
		<-views
		d, err := f.Begin(t.Context(), request(func(q *rollout.Request) { q.Replace, q.Detach = true, true }))
		must(t, err)
		d.Close(t.Context())
		f.ended(end, rollout.EndReplaced)
	})
	t.Run("without a leader in between", func(t *testing.T) {
		f := newFleet(t, "web-1")
		d := f.begin(nil)
		views, end := f.follow(d, 0)
		f.until(views, map[string]rollout.Standing{"web-1": rollout.Waiting})
		f.cluster.SetLeader(false)
		f.cluster.SetLeader(true)
		f.says(d.Deployment.ID, "web-1", done)
		f.ended(end, rollout.EndComplete)
	})
}

// A result that this version can't read hides no other.
func TestFollowLeavesOutWhatItCantRead(t *testing.T) {
	f := newFleet(t, "web-1", "web-2")
	d := f.begin(nil)
	f.says(d.Deployment.ID, "web-1", done)
	must(t, f.client.Txn(t.Context(), op(report.Key("chef", d.Deployment.ID, "web-2"), `{"v":99}`)))
	views, _ := f.follow(d, 0)
	f.until(views, map[string]rollout.Standing{"web-1": rollout.Done, "web-2": rollout.Waiting})
}

// A driver that lost its lock has no word any more once another has it.
func TestNoPromotionWithoutTheLock(t *testing.T) {
	f := newFleet(t, "web-1")
	d := f.begin(nil)
	f.says(d.Deployment.ID, "web-1", done)
	before := f.record()
	f.loseSessions()
	other := f.takeLock()
	err := d.Promote(t.Context())
	var refused *rollout.RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "the lock was lost, and another driver has chef") {
		t.Errorf("%v", err)
	}
	if r := f.record(); r.Seq != before.Seq || r.Rollout == nil {
		t.Errorf("it promoted: %+v", r)
	}
	must(t, other.Unlock(t.Context()))
}

// A lock that was lost, and that nobody took, is no reason to stop: the
// promotion is made under a new one, which is given back.
func TestPromotionUnderANewLock(t *testing.T) {
	f := newFleet(t, "web-1")
	d := f.begin(nil)
	f.loseSessions()
	must(t, d.Promote(t.Context())) // Consul's lock-delay is waited out
	if r := f.record(); r.Rollout != nil || r.Current.ID != d.Deployment.ID {
		t.Errorf("%+v", r)
	}
	d.Close(t.Context())
	must(t, f.takeLock().Unlock(t.Context()))
}

// Nor is an election between the last result and the promotion.
func TestPromotionWaitsForALeader(t *testing.T) {
	f := newFleet(t, "web-1")
	d := f.begin(nil)
	f.cluster.SetLeader(false)
	back := time.AfterFunc(time.Second, func() { f.cluster.SetLeader(true) })
	defer back.Stop()
	must(t, d.Promote(t.Context()))
	if r := f.record(); r.Rollout != nil || r.Current.ID != d.Deployment.ID {
		t.Errorf("%+v", r)
	}
}

// Who follows a deployment that a restore has undone is told; a store that is
// empty is one that is being filled.
func TestFollowAcrossARestore(t *testing.T) {
	f := newFleet(t, "web-1")
	first := f.begin(nil)
	must(t, first.Promote(t.Context()))
	first.Close(t.Context())
	backup, err := f.client.Get(t.Context(), rollout.AppKey("chef"), kv.Default)
	must(t, err)
	d := f.begin(nil)
	views, end := f.follow(d, 0)
	<-views
	must(t, f.client.Txn(t.Context(), kv.Op{Verb: kv.Delete, Key: backup.Key}))
	f.says(d.Deployment.ID, "web-1", done) // all that is listed has ended
	<-views                                // by now it has read the record
	<-views
	select {
	case e := <-end:
		t.Fatalf("an empty store ended it: %+v", e)
	default:
	}
	must(t, f.client.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: backup.Key, Value: backup.Value}))
	f.ended(end, rollout.EndLost)
}

// loseSessions ends those of the operator.
func (f *fleet) loseSessions() {
	f.cluster.Partition("ops", true)
	f.cluster.Partition("ops", false)
}

// takeLock takes chef's as another driver does, after lock-delay.
func (f *fleet) takeLock() rollout.Lock {
	f.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		l, err := f.client.Lock(f.t.Context(), rollout.LockKey("chef"), "bob@ops2")
		if err == nil {
			return l
		}
		if time.Now().After(end) {
			f.t.Fatal(err)
		}
	}
}

// An operator's promotion in the middle of a drive is no failure of the drive.
func TestPromotionByHandWhileDriven(t *testing.T) {
	f := newFleet(t, "web-1")
	d := f.begin(nil)
	views, end := f.follow(d, 0)
	<-views
	ref, err := f.Promote(t.Context(), "chef")
	must(t, err)
	seq := f.record().Seq
	f.says(d.Deployment.ID, "web-1", done)
	f.ended(end, rollout.EndComplete)
	must(t, d.Promote(t.Context()))
	if r := f.record(); ref.ID != d.Deployment.ID || r.Current.ID != ref.ID || r.Seq != seq {
		t.Errorf("%+v", r)
	}
}

func TestStandings(t *testing.T) {
	f := newFleet(t, "a", "b", "c", "d", "e", "f", "g")
	id := f.begin(nil).Deployment.ID
	for node, r := range map[string]report.Result{
		"a": done, "b": {State: report.Skipped, Error: "maintenance"}, "c": {State: report.Superseded}, "d": {State: report.Refused},
		"e": held, "f": accepted, "old": done, "older": accepted,
	} {
		f.says(id, node, r)
	}
	want := map[string]rollout.Standing{
		"a": rollout.Done, "b": rollout.Done, "c": rollout.Failed, "d": rollout.Failed, "e": rollout.Gone, "f": rollout.Gone, "g": rollout.Waiting,
		"old": rollout.Done, "older": rollout.Gone, // not among the targets any more
	}
	f.cluster.Partition("e", true)
	f.cluster.Partition("f", true)
	v, err := f.Look(t.Context(), "chef", rollout.Ref{ID: id}, rollout.Selector{})
	must(t, err)
	for _, n := range v.Nodes {
		if n.Standing != want[n.Node] {
			t.Errorf("%s is %s, want %s", n.Node, n.Standing, want[n.Node])
		}
	}
	if len(v.Nodes) != len(want) || v.Ended() || v.Complete() || v.Counts[rollout.Done] != 3 {
		t.Errorf("%d nodes, counts %v, ended %v", len(v.Nodes), v.Counts, v.Ended())
	}
}
