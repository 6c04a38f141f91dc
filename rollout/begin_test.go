package rollout_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"gurney/event"
	"gurney/kv"
	"gurney/rollout"
)

func TestBegin(t *testing.T) {
	f := newFleet(t, "web-1")
	d := f.begin(func(q *rollout.Request) { q.MaxFailures = 2 })
	r := f.record()
	want := rollout.Rollout{
		Ref: rollout.Ref{ID: d.Deployment.ID, At: d.Deployment.At, By: "alice@ops1"}, Seq: r.Seq,
		Open: map[string]string{"": rollout.AllOpen}, MaxFailures: 2,
	}
	if r.Current != nil || r.Rollout == nil || r.Rollout.Seq != want.Seq || r.Rollout.Ref != want.Ref || r.Rollout.MaxFailures != 2 || r.Rollout.Open[""] != rollout.AllOpen {
		t.Errorf("the record is %+v, want rollout %+v", r, want)
	}
	if h := f.hints("web-1"); len(h) != 1 || h[0] != (event.Hint{ID: d.Deployment.ID, Seq: r.Seq}) {
		t.Errorf("hints %v", h)
	}
	if locks := f.keys("locks/"); !slices.Equal(locks, []string{"locks/chef"}) {
		t.Errorf("locks %q", locks)
	}
	d.Close(t.Context())
	d.Close(t.Context())
	if locks := f.keys("locks/"); len(locks) > 0 {
		t.Errorf("the lock stays behind: %q", locks)
	}
}

func TestBeginIsRefused(t *testing.T) {
	f := newFleet(t, "web-1")
	first := f.begin(nil)
	first.Close(t.Context()) // its driver died
	writes := f.cluster.Writes()
	for _, c := range []struct {
		name   string
		change func(*rollout.Request)
		want   string
	}{
		{"a rollout is on", nil, "a rollout of chef is on: " + first.Deployment.ID + " by alice@ops1 since "},
		{"a rollout is on, detached", func(q *rollout.Request) { q.Detach = true }, "use --replace"},
		{"nobody obeys", func(q *rollout.Request) { q.App = "chief" }, "no node obeys chief: is its name right"},
		{"nobody is selected", func(q *rollout.Request) { q.Selector.Node = "^db" }, `no node obeys chef --node "^db"`},
		{"no expression", func(q *rollout.Request) { q.Selector.Node = "(" }, `selector node: "(" is no regular expression`},
		{"tag alone", func(q *rollout.Request) { q.Selector.Tag = "blue" }, "it needs a service"},
		{"too large", func(q *rollout.Request) { q.Manifest = make([]byte, rollout.MaxManifest+1) }, "32769 bytes; at most 32768"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := f.Begin(t.Context(), request(c.change))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v, %v; want %q", d, err, c.want)
			}
			if keys := f.keys("deployments/"); len(keys) != 1 {
				t.Errorf("it left %q", keys)
			}
		})
	}
	if r := f.record(); r.Rollout.ID != first.Deployment.ID || r.Seq != first.Record.Seq {
		t.Errorf("the record changed: %+v", r)
	}
	if locks := f.keys("locks/"); len(locks) > 0 {
		t.Errorf("locks stay behind: %q", locks)
	}
	t.Logf("%d entries for refusals: sessions and locks", f.cluster.Writes()-writes)
}

func TestDriversExcludeEachOther(t *testing.T) {
	f := newFleet(t, "web-1")
	f.begin(nil)
	before := f.record()
	var refused *rollout.RefusedError
	_, err := f.Begin(t.Context(), request(nil))
	if err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), "held by alice@ops1") {
		t.Errorf("%v: it should name who has the lock", err)
	}
	if r := f.record(); r.Seq != before.Seq {
		t.Error("the record changed")
	}
}

func TestDetachIsCurrentAtOnce(t *testing.T) {
	f := newFleet(t, "web-1")
	d := f.begin(func(q *rollout.Request) { q.Detach = true })
	r := f.record()
	if r.Rollout != nil || r.Current == nil || r.Current.ID != d.Deployment.ID {
		t.Errorf("%+v", r)
	}
	next := f.begin(func(q *rollout.Request) { q.Detach = true })
	if next.Previous == nil || next.Previous.ID != d.Deployment.ID || f.record().Current.ID != next.Deployment.ID {
		t.Errorf("%+v after %s", f.record(), d.Deployment.ID)
	}
	// With a selector it can't be current for all: it parks, and nobody drives.
	sel := f.begin(func(q *rollout.Request) { q.Detach, q.Selector.Node = true, "web" })
	if r := f.record(); r.Current.ID != next.Deployment.ID || r.Rollout == nil || r.Rollout.ID != sel.Deployment.ID {
		t.Errorf("%+v", r)
	}
	if locks := f.keys("locks/"); len(locks) > 0 {
		t.Errorf("a detached deployment holds %q", locks)
	}
}

// A replacement does not wait for the other driver's word: that one is told by
// the record, gives way, and the new one drives on with the lock.
func TestReplaceTakesOverFromALiveDriver(t *testing.T) {
	f := newFleet(t, "web-1", "db-1")
	old := f.begin(nil)
	_, end := f.follow(old, 0)
	gaveWay := make(chan string, 1)
	go func() {
		e := <-end
		old.Close(t.Context())
		gaveWay <- e.end
	}()
	f.serves("web-1", "nginx")
	d := f.begin(func(q *rollout.Request) { q.Replace, q.Selector.Service = true, "nginx" })
	if e := <-gaveWay; e != rollout.EndReplaced {
		t.Errorf("the replaced driver ended %s", e)
	}
	if r := f.record(); r.Rollout.ID != d.Deployment.ID {
		t.Errorf("%+v", r)
	}
	if o := f.outcome(old.Deployment.ID); o.State != "replaced" {
		t.Errorf("the replaced one's outcome is %+v", o)
	}
	if h := f.hints("db-1"); len(h) != 2 {
		t.Errorf("db-1, which the replaced one had touched, heard %v", h)
	}
	f.says(d.Deployment.ID, "web-1", done)
	_, end = f.follow(d, 0)
	f.ended(end, rollout.EndComplete)
	must(t, d.Promote(t.Context())) // with the lock's session in its transaction
	if locks := f.keys("locks/"); len(locks) != 1 {
		t.Errorf("locks %q", locks)
	}
}

// interrupting ends its context in the middle of a write, as Ctrl-C would.
type interrupting struct {
	kv.Store
	now context.CancelFunc
}

func (s interrupting) Txn(ctx context.Context, ops ...kv.Op) error {
	s.now()
	return s.Store.Txn(ctx, ops...)
}

// Ctrl-C while the record is written: what was written is told to the nodes,
// and the driver says which deployment they go on with. Before it, nothing is.
func TestBeginInterrupted(t *testing.T) {
	for name, replace := range map[string]bool{"alone": false, "waiting for another's lock": true} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, "web-1")
			if replace {
				f.begin(nil)
			}
			ctx, cancel := context.WithCancel(t.Context())
			f.Store = interrupting{f.client, cancel}
			d, err := f.Begin(ctx, request(func(q *rollout.Request) { q.Replace = replace }))
			must(t, err)
			defer d.Close(context.Background())
			if r := f.record(); r.Rollout == nil || r.Rollout.ID != d.Deployment.ID {
				t.Errorf("%+v", r)
			}
			if h := f.hints("web-1"); len(h) == 0 || h[len(h)-1].ID != d.Deployment.ID {
				t.Errorf("web-1 heard %v", h)
			}
			if _, _, err := d.Follow(ctx, time.Minute, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("following it ends with %v", err)
			}
			before := f.record()
			if _, err := f.Begin(ctx, request(func(q *rollout.Request) { q.Replace, q.Detach = true, true })); !errors.Is(err, context.Canceled) {
				t.Errorf("interrupted before the write: %v", err)
			}
			if r := f.record(); r.Seq != before.Seq {
				t.Errorf("written after the interruption: %+v", r)
			}
		})
	}
}

// The clock of whoever deploys may be wrong: the order of changes is seq.
func TestSeqIsMonotonicUnderBackwardClocks(t *testing.T) {
	f := newFleet(t, "web-1")
	clock := time.Now()
	f.Now = func() time.Time { clock = clock.Add(-time.Hour); return clock }
	last := int64(0)
	for range 5 {
		f.begin(func(q *rollout.Request) { q.Detach = true })
		if r := f.record(); r.Seq <= last {
			t.Fatalf("seq %d after %d", r.Seq, last)
		} else {
			last = r.Seq
		}
	}
}

// A driver that died leaves its lock for a while: one that replaces its rollout
// says what it waits for.
func TestReplaceSaysThatItWaits(t *testing.T) {
	f := newFleet(t, "web-1")
	f.begin(nil)
	said := make(waited, 1)
	f.Log = zerolog.New(said)
	began := make(chan error, 1)
	go func() {
		d, err := f.Begin(t.Context(), request(func(q *rollout.Request) { q.Replace = true }))
		if err == nil {
			d.Close(context.Background())
		}
		began <- err
	}()
	if line := <-said; !strings.Contains(line, "until the other driver gives way") || !strings.Contains(line, "held by") {
		t.Errorf("%s", line)
	}
	must(t, f.client.Txn(t.Context(), kv.Op{Verb: kv.Delete, Key: rollout.LockKey("chef")}))
	must(t, <-began)
}

// waited is a log of which one line is waited for.
type waited chan string

func (w waited) Write(p []byte) (int, error) {
	select {
	case w <- string(p):
	default:
	}
	return len(p), nil
}
