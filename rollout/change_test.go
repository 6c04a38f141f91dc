package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

func op(key, value string) kv.Op { return kv.Op{Verb: kv.Set, Key: key, Value: []byte(value)} }

func TestNothingToChange(t *testing.T) {
	f := newFleet(t, "web-1")
	_, promote := f.Promote(t.Context(), "chef")
	_, _, abort := f.Abort(t.Context(), "chef")
	_, retry := f.Retry(t.Context(), "chef", nil)
	for what, err := range map[string]error{"promote": promote, "abort": abort, "retry": retry} {
		var refused *rollout.RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "nothing to "+what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if keys := f.keys(""); len(keys) > 0 {
		t.Errorf("they left %q", keys)
	}
}

// A rollout for a selection is parked when it ends: it stays on, and others
// are refused, until a word.
func TestParked(t *testing.T) {
	for _, word := range []string{"promote", "abort"} {
		t.Run(word, func(t *testing.T) {
			f := newFleet(t, "web-1", "db-1")
			base := f.begin(func(q *rollout.Request) { q.Detach = true }).Deployment.ID
			d := f.begin(func(q *rollout.Request) { q.Selector.Node = "web" })
			id := d.Deployment.ID
			f.says(id, "web-1", done)
			_, end := f.follow(d, 0)
			v := f.ended(end, rollout.EndComplete)
			d.End(t.Context(), v, "parked")
			d.Close(t.Context())
			if r := f.record(); !d.Parks() || r.Rollout == nil || r.Rollout.ID != id || r.Current.ID != base || len(v.Nodes) != 1 {
				t.Fatalf("%+v, %d nodes", r, len(v.Nodes))
			}
			if _, err := f.Begin(t.Context(), request(nil)); err == nil {
				t.Fatal("another deployment takes its place unasked")
			}
			want, state := id, "promoted"
			if word == "promote" {
				_, err := f.Promote(t.Context(), "chef")
				must(t, err)
			} else {
				want, state = base, "aborted"
				aborted, current, err := f.Abort(t.Context(), "chef")
				must(t, err)
				if aborted.ID != id || current.ID != base {
					t.Errorf("aborted %s, back to %s", aborted.ID, current.ID)
				}
			}
			if r := f.record(); r.Rollout != nil || r.Current.ID != want || f.outcome(id).State != state {
				t.Errorf("%+v, outcome %+v", r, f.outcome(id))
			}
			if len(f.hints("db-1")) != 3 {
				t.Errorf("db-1 heard %v: the end concerns all", f.hints("db-1"))
			}
		})
	}
}

func TestRetryAsksAndUnmarks(t *testing.T) {
	f := newFleet(t, "web-1", "web-2", "web-3")
	d := f.begin(nil)
	id := d.Deployment.ID
	f.says(id, "web-1", broken)
	f.says(id, "web-2", broken)
	f.says(id, "web-3", done)
	again, err := f.Retry(t.Context(), "chef", []string{"web-1"})
	must(t, err)
	r := f.record()
	if r.Rollout.Retry == nil || r.Rollout.Retry.Seq != r.Seq || !slices.Equal(r.Rollout.Retry.Nodes, []string{"web-1"}) || r.Rollout.Seq != d.Record.Seq {
		t.Errorf("%+v", r.Rollout)
	}
	if m := f.keys("failed/"); !slices.Equal(m, []string{report.FailedKey("chef", id, "web-2")}) {
		t.Errorf("markers %q", m)
	}
	views, _ := f.follow(again, 0)
	f.until(views, map[string]rollout.Standing{"web-1": rollout.Waiting, "web-2": rollout.Failed, "web-3": rollout.Done})

	again, err = f.Retry(t.Context(), "chef", nil)
	must(t, err)
	if m := f.keys("failed/"); len(m) > 0 || len(f.record().Rollout.Retry.Nodes) > 0 {
		t.Errorf("markers %q, retry %+v", m, f.record().Rollout.Retry)
	}
	_, end := f.follow(again, 0)
	f.says(id, "web-1", done)   // went well: it is not asked again
	f.says(id, "web-2", broken) // a run of before, which ended just now
	f.says(id, "web-2", f.answers(accepted))
	f.says(id, "web-2", f.answers(done))
	f.ended(end, rollout.EndComplete)
	must(t, again.Promote(t.Context()))
	if r := f.record(); r.Current.ID != id || r.Rollout != nil {
		t.Errorf("%+v", r)
	}
}

// A node that was in the middle of a run when it was asked by name answers
// with the next one, however this one ends; and so do the screens count.
func TestRetryOfANodeThatRuns(t *testing.T) {
	f := newFleet(t, "web-1")
	id := f.begin(nil).Deployment.ID
	f.says(id, "web-1", accepted)
	again, err := f.Retry(t.Context(), "chef", []string{"web-1"})
	must(t, err)
	views, end := f.follow(again, 0)
	f.until(views, map[string]rollout.Standing{"web-1": rollout.Running})
	f.says(id, "web-1", done)
	f.until(views, map[string]rollout.Standing{"web-1": rollout.Waiting})
	s, err := f.Status(t.Context(), "chef")
	must(t, err)
	if s.Rollout.Ended() {
		t.Errorf("status says that it has ended: %v", s.Rollout.Counts)
	}
	f.says(id, "web-1", f.answers(done))
	f.ended(end, rollout.EndComplete)
}

// Who follows a deployment waits for those that somebody else asks anew.
func TestRetryWhileFollowed(t *testing.T) {
	f := newFleet(t, "web-1", "web-2")
	d := f.begin(nil)
	id := d.Deployment.ID
	f.says(id, "web-1", broken)
	_, end := f.follow(d, 0)
	_, err := f.Retry(t.Context(), "chef", nil)
	must(t, err)
	f.says(id, "web-2", done)
	select {
	case e := <-end:
		t.Fatalf("it ended %s, when web-1 was asked again", e.end)
	case <-time.After(time.Second):
	}
	f.says(id, "web-1", f.answers(done))
	f.ended(end, rollout.EndComplete)
}

func TestRetryOfWhatIsCurrent(t *testing.T) {
	f := newFleet(t, "web-1")
	id := f.begin(func(q *rollout.Request) { q.Detach = true }).Deployment.ID
	many := make([]string, kv.MaxOps) // more than a transaction takes
	for i := range many {
		many[i] = fmt.Sprintf("web-%d", i)
		f.says(id, many[i], broken) // and may be away by now
	}
	d, err := f.Retry(t.Context(), "chef", many)
	must(t, err)
	if r := f.record(); !d.Settled() || r.Current.Retry.Seq != r.Seq || len(r.Current.Retry.Nodes) != kv.MaxOps {
		t.Errorf("%+v", r.Current)
	}
}

// racing is a store in which others write the record before each write.
type racing struct {
	kv.Store
	others int
	write  func()
}

func (r *racing) Txn(ctx context.Context, ops ...kv.Op) error {
	if r.others > 0 {
		r.others--
		r.write()
	}
	return r.Store.Txn(ctx, ops...)
}

// Where it failed on nobody there is nothing to retry without names; but a node
// that was lost in the middle of its run is a reason.
func TestRetryOfWhatDidNotFail(t *testing.T) {
	f := newFleet(t, "web-1", "web-2")
	d := f.begin(nil)
	f.says(d.Deployment.ID, "web-1", done)
	before := f.record()
	_, err := f.Retry(t.Context(), "chef", nil)
	var refused *rollout.RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "failed on no node") {
		t.Errorf("got %v", err)
	}
	if r := f.record(); r.Seq != before.Seq {
		t.Errorf("the record was changed: %+v", r)
	}
	f.says(d.Deployment.ID, "gone-1", accepted)
	_, err = f.Retry(t.Context(), "chef", nil)
	must(t, err)
}

// A name that nobody has is refused, and nobody is asked.
func TestRetryOfANodeThatIsNotThere(t *testing.T) {
	f := newFleet(t, "db-1", "web-1")
	f.begin(func(q *rollout.Request) { q.Selector = rollout.Selector{Node: "^web-"} })
	before := f.record()
	for _, name := range []string{"web-9", "web", "db-1"} { // db-1 is not selected
		_, err := f.Retry(t.Context(), "chef", []string{"web-1", name})
		var refused *rollout.RefusedError
		if want := "no node " + name + ` obeys chef --node "^web-": gurney status chef shows those that do`; !errors.As(err, &refused) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if r := f.record(); r.Seq != before.Seq {
		t.Errorf("the record was changed: %+v", r)
	}
}

func TestChangeAmongOtherWriters(t *testing.T) {
	f := newFleet(t, "web-1", "web-9")
	f.begin(func(q *rollout.Request) { q.Detach = true })
	other := *f.Driver
	race := &racing{Store: f.client, write: func() {
		_, err := other.Retry(t.Context(), "chef", []string{"web-9"})
		must(t, err)
	}}
	f.Store = race
	for _, others := range []int{1, 4} {
		race.others = others
		_, err := f.Retry(t.Context(), "chef", []string{"web-1"})
		must(t, err)
		if r := f.record(); r.Current.Retry.Nodes[0] != "web-1" || r.Current.Retry.Seq != r.Seq {
			t.Errorf("after %d others: %+v", others, r.Current.Retry)
		}
	}
	race.others = 5
	before := len(f.keys("deployments/"))
	_, err := f.Begin(t.Context(), request(func(q *rollout.Request) { q.Detach = true }))
	if !errors.Is(err, kv.ErrConflict) {
		t.Errorf("among writers without end: %v", err)
	}
	if r := f.record(); r.Current.Retry.Nodes[0] != "web-9" || len(f.keys("deployments/")) != before {
		t.Errorf("a change that lost left its traces: %+v", r.Current)
	}
}

// What is old goes, but never what the record names.
func TestPruneKeepsWhatTheRecordNames(t *testing.T) {
	f := newFleet(t, "web-1")
	first := f.begin(func(q *rollout.Request) { q.Detach = true }).Deployment.ID
	f.says(first, "web-1", broken)
	var ops []kv.Op
	for i := range 60 {
		id := fmt.Sprintf("2099%04d-0000-0000", i)
		ops = append(ops, op(rollout.DeploymentKey("chef", id), `{"v":1}`))
		f.says(id, "web-1", broken)
		f.says(fmt.Sprintf("f%07d-0000-4000-8000-000000000000", i), "web-1", done) // of events before there was a record
	}
	must(t, f.client.Txn(t.Context(), ops...))
	f.Close(t.Context(), "chef", first, rollout.Outcome{State: "done"})
	for prefix, want := range map[string]int{"deployments/chef/": 51, "results/chef/": 6, "failed/chef/": 6} {
		keys := f.keys(prefix)
		if len(keys) != want || !strings.HasPrefix(keys[0], prefix+first) || !strings.HasPrefix(keys[len(keys)-1], prefix+"20990059") {
			t.Errorf("%d keys of %s stay, want %d: %q", len(keys), prefix, want, keys)
		}
	}
}

func TestStatusAndApps(t *testing.T) {
	f := newFleet(t, "web-1", "db-1")
	s, err := f.Status(t.Context(), "chef")
	if s != nil || err != nil {
		t.Errorf("without a record %+v, %v", s, err)
	}
	base := f.begin(func(q *rollout.Request) { q.Detach = true }).Deployment.ID
	on := f.begin(func(q *rollout.Request) { q.Selector.Node = "web" }).Deployment.ID
	f.says(base, "db-1", done)
	f.says(on, "web-1", accepted)
	s, err = f.Status(t.Context(), "chef")
	must(t, err)
	if s.Current.ID != base || s.Current.Counts[rollout.Done] != 1 || s.Rollout.ID != on || len(s.Rollout.Nodes) != 1 || s.Last.ID != on {
		t.Errorf("%+v", s)
	}
	apps, err := f.Apps(t.Context())
	if err != nil || !slices.Equal(apps, []string{"chef"}) {
		t.Errorf("%q, %v", apps, err)
	}
}
