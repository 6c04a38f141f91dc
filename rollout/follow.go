package rollout

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"gurney/kv"
	"gurney/report"
)

// Drive is a deployment that Begin began.
type Drive struct {
	App        string
	Deployment Deployment
	Record     Record // as Begin wrote it
	Previous   *Ref   // what was current before; nil: nothing

	driver   *Driver
	selector Selector
	lock     Lock // nil when detached
}

func (f *Drive) session() string {
	if f.lock == nil {
		return ""
	}
	return f.lock.Session()
}

// Close gives the app's lock back. It is idempotent.
func (f *Drive) Close(ctx context.Context) {
	if f.lock == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := f.lock.Unlock(ctx); err != nil {
		f.driver.Log.Debug().Err(err).Msg("the lock could not be given back: it ends with its session")
	}
	f.lock = nil
}

// The ends of Follow.
const (
	EndComplete = "complete" // every live, unheld node is ok
	EndFailed   = "failed"   // ended, and a node failed, alive or not, or was lost in the middle of its run
	EndTimeout  = "timeout"  // the time was over before all had ended
	EndReplaced = "replaced" // another deployment took its place
	EndAborted  = "aborted"  // an operator ended it
	EndLost     = "lost"     // Consul was put back from a backup of before it
)

// refreshEvery is how often the list of nodes and the record are read again.
// Results come by blocking query, at once.
const refreshEvery = 2 * time.Second

// goneAfter is how long a node that was alive, or runs the deployment, has to be
// silent until nobody waits for it any more. A node that Chef keeps busy may look
// dead to the others for a while.
const goneAfter = 30 * time.Second

// Follow shows the deployment to show whenever something changed, until all
// live nodes have ended, the timeout (0: none) is over, or another deployment
// took its place. Consul out of reach is waited out. The error is ctx's.
func (f *Drive) Follow(ctx context.Context, timeout time.Duration, show func(View)) (View, string, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		outer := ctx
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
		view, end, err := f.follow(ctx, show)
		if err != nil && outer.Err() == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return view, EndTimeout, nil
		}
		return view, end, err
	}
	return f.follow(ctx, show)
}

func (f *Drive) follow(ctx context.Context, show func(View)) (View, string, error) {
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan []kv.Pair, 1)
	stopped := make(chan struct{})
	go func() { defer close(stopped); f.watch(ctx, results) }()
	defer func() { cancel(); <-stopped }()

	d, ref := f.driver, f.Record.ref(f.Deployment.ID)
	var (
		targets []Target
		known   = map[string]report.Result{}
		view    View
		heard   bool // results were read at least once
		listed  bool // targets too
		silent  = silence{map[string]bool{}, map[string]time.Time{}}
		refresh = time.NewTimer(0)
	)
	defer refresh.Stop()
	for {
		select {
		case <-ctx.Done():
			return view, "", ctx.Err()
		case pairs := <-results:
			known, heard = d.results(pairs), true
		case <-refresh.C:
			if list, err := d.Fleet.Targets(ctx, f.App, f.selector); err == nil {
				targets, listed = list, true
			} else if ctx.Err() == nil {
				d.Log.Warn().Err(err).Msg("the list of nodes can't be read; trying on")
			}
			if end := f.gone(ctx); end != "" {
				return view, end, nil
			}
			refresh.Reset(refreshEvery)
		}
		if !listed {
			continue
		}
		view = newView(f.App, ref, d.now(), targets, known)
		silent.note(view, time.Now())
		if show != nil {
			show(view)
		}
		if !heard || !view.Ended() || silent.doubtful(view, time.Now(), cmp.Or(d.GoneAfter, goneAfter)) {
			continue
		}
		latest, on := f.on(ctx)
		switch {
		case !on:
		case latest.Retry != nil && (ref.Retry == nil || ref.Retry.Seq < latest.Retry.Seq):
			ref = latest // somebody has asked nodes anew since: they are waited for
		case view.Complete():
			return view, EndComplete, nil
		default:
			return view, EndFailed, nil
		}
	}
}

// silence is which nodes were alive while they were watched, and since when
// nodes are gone.
type silence struct {
	alive map[string]bool
	since map[string]time.Time
}

func (s silence) note(v View, now time.Time) {
	for _, n := range v.Nodes {
		if n.Alive {
			s.alive[n.Node] = true
		}
		if n.Standing != Gone {
			delete(s.since, n.Node)
		} else if s.since[n.Node].IsZero() {
			s.since[n.Node] = now
		}
	}
}

// doubtful says whether a node is gone that may be back in a moment.
func (s silence) doubtful(v View, now time.Time, limit time.Duration) bool {
	return slices.ContainsFunc(v.Nodes, func(n NodeView) bool {
		return n.Standing == Gone && (s.alive[n.Node] || n.MidRun()) && now.Sub(s.since[n.Node]) < limit
	})
}

// watch sends the deployment's results whenever they change.
func (f *Drive) watch(ctx context.Context, out chan<- []kv.Pair) {
	var index uint64
	for ctx.Err() == nil {
		pairs, next, err := f.driver.Fleet.ListIndexed(ctx, report.Prefix(f.App, f.Deployment.ID), index, time.Minute)
		if err != nil {
			if ctx.Err() == nil {
				f.driver.Log.Warn().Err(err).Msg("results can't be read; trying on")
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			index = 0
			continue
		}
		if next < index {
			next = 0 // the store was put back from a backup
		}
		index = next
		select {
		case <-ctx.Done():
		case out <- pairs:
		}
	}
}

// on says whether the record names the deployment, and how, by the leader's
// word. Servers whose data was wiped know of no node and no record until it is
// put back: that all that they list have ended means nothing then.
func (f *Drive) on(ctx context.Context) (Ref, bool) {
	r, _, err := ReadRecord(ctx, f.driver.Store, f.App, kv.Default)
	if err != nil || r == nil || !r.Names(f.Deployment.ID) {
		return Ref{}, false
	}
	return r.ref(f.Deployment.ID), true
}

// gone is the end that the record tells of: it speaks of another deployment
// now, or is of before this one; "" while it does neither. A read that fails
// or is empty says nothing, and one that is old only where the leader says so.
func (f *Drive) gone(ctx context.Context) string {
	for _, how := range []kv.Consistency{kv.Stale, kv.Default} {
		r, _, err := ReadRecord(ctx, f.driver.Store, f.App, how)
		switch {
		case err != nil || r == nil || r.Names(f.Deployment.ID):
			return ""
		case r.Seq >= f.Record.Seq && r.Rollout == nil && sameRef(r.Current, f.Record.Current):
			return EndAborted
		case r.Seq >= f.Record.Seq:
			return EndReplaced
		}
	}
	return EndLost
}

// sameRef says whether both name one deployment, or none.
func sameRef(a, b *Ref) bool {
	return a == nil && b == nil || a != nil && b != nil && a.ID == b.ID
}
