package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gurney/kv"
	"gurney/report"
)

// promoteTime is how long a promotion waits for servers that elect.
const promoteTime = 2 * time.Minute

// Promote makes the drive's deployment current. Its write holds only while
// the lock is this driver's and the rollout is still its own. Servers that are
// out of reach are waited for; a lock that was lost is taken again where
// nobody else has it, which is what going on by hand would do.
func (f *Drive) Promote(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 250*time.Millisecond, 5*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := f.promote(ctx)
		if err != nil && !transient(err) {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(promoteTime), backoff.WithNotify(func(err error, next time.Duration) {
		f.driver.Log.Warn().Err(err).Stringer("again_in", next.Round(time.Millisecond)).Msg("can't promote yet; trying on")
	}))
	return err
}

// transient says whether waiting may be all that it takes.
func transient(err error) bool {
	var t interface{ Transient() bool }
	return errors.As(err, &t) && t.Transient()
}

func (f *Drive) promote(ctx context.Context) error {
	_, err := f.driver.promote(ctx, f.App, f.Deployment.ID, f.session())
	if !errors.Is(err, kv.ErrConflict) || f.lock == nil {
		return err
	}
	lock, err := f.driver.Fleet.Lock(ctx, LockKey(f.App), f.Deployment.By)
	var held interface{ Held() bool }
	if errors.As(err, &held) && held.Held() && !transient(err) {
		return refused("the lock was lost, and another driver has %s now: gurney status %s shows it", f.App, f.App)
	}
	if err != nil {
		return err
	}
	f.Close(ctx) // ends what renews the old one
	f.lock = lock
	_, err = f.driver.promote(ctx, f.App, f.Deployment.ID, f.session())
	return err
}

// Promote makes the rollout that is on the app's current deployment, however
// its nodes stand: it is an operator's word.
func (d *Driver) Promote(ctx context.Context, app string) (Ref, error) {
	id, err := d.wet(ctx, app)
	if err != nil {
		return Ref{}, err
	}
	ref, err := d.promote(ctx, app, id, "")
	if err != nil {
		return Ref{}, err
	}
	// How its nodes stand is for the books alone.
	v, err := d.Look(ctx, app, ref, Selector{})
	if err != nil {
		d.Log.Warn().Err(err).Str("app", app).Msg("housekeeping after the promotion")
	}
	d.Close(ctx, app, ref.ID, v.Outcome("promoted", d.now()))
	return ref, nil
}

// wet is the rollout that is on, "" for none, and refuses one that is a dry run: no
// node has what it brings.
func (d *Driver) wet(ctx context.Context, app string) (id string, err error) {
	r, _, err := ReadRecord(ctx, d.Store, app, kv.Default)
	if err != nil || r == nil || r.Rollout == nil {
		return "", err // promote says so
	}
	dep, err := ReadDeployment(ctx, d.Store, app, r.Rollout.ID, kv.Default)
	switch {
	case errors.Is(err, ErrNoDeployment): // the operator's word goes
	case err != nil:
		return "", err
	case dep.Dry:
		return "", refused("%s is a dry run (chef.why_run), and no node has what it brings: gurney abort %s ends it", dep.ID, app)
	}
	return r.Rollout.ID, nil
}

// promote ends rollout id ("" for the one that is on).
func (d *Driver) promote(ctx context.Context, app, id, session string) (Ref, error) {
	old, r, err := d.change(ctx, app, session, func(r *Record) ([]kv.Op, error) {
		if id != "" && r.Current != nil && r.Current.ID == id {
			return nil, errUnchanged // an operator was faster
		}
		if r.Rollout == nil {
			return nil, refused("no rollout of %s is on: there is nothing to promote", app)
		}
		if id != "" && r.Rollout.ID != id {
			return nil, refused("another rollout of %s is on: %s", app, r.Rollout.ID)
		}
		ref := r.Rollout.Ref
		r.Current, r.Rollout = &ref, nil
		return nil, nil
	})
	if errors.Is(err, errUnchanged) {
		return *old.Current, nil
	}
	if err != nil {
		return Ref{}, err
	}
	d.hint(ctx, app, r.Current.ID, r.Seq)
	return *r.Current, nil
}

// Abort ends the rollout that is on. Nodes that it touched go back to
// current, which it returns; nil where the app has none, and then they stay
// as they are.
func (d *Driver) Abort(ctx context.Context, app string) (aborted Ref, current *Ref, err error) {
	old, r, err := d.change(ctx, app, "", func(r *Record) ([]kv.Op, error) {
		if r.Rollout == nil {
			return nil, refused("no rollout of %s is on: there is nothing to abort", app)
		}
		r.Rollout = nil
		return nil, nil
	})
	if err != nil {
		return Ref{}, nil, err
	}
	d.hint(ctx, app, old.Rollout.ID, r.Seq)
	d.Close(ctx, app, old.Rollout.ID, Outcome{State: "aborted", At: d.now().UTC().Truncate(time.Millisecond)})
	return old.Rollout.Ref, r.Current, nil
}

// Retry asks nodes (none given: all where it failed, or that were lost in the
// middle of it) to run the deployment again: the rollout that is on, else current. It deletes their markers
// in the transaction that asks them. A node that is not there is refused: nobody
// would answer.
func (d *Driver) Retry(ctx context.Context, app string, nodes []string) (*Drive, error) {
	var again Ref
	var sel Selector
	var dep *Deployment
	old, r, err := d.change(ctx, app, "", func(r *Record) ([]kv.Op, error) {
		var ref *Ref
		ref, sel = r.latest()
		if ref == nil {
			return nil, refused("%s has no deployment: there is nothing to retry", app)
		}
		if err := d.known(ctx, app, *ref, sel, nodes); err != nil {
			return nil, err
		}
		var err error
		if dep, err = ReadDeployment(ctx, d.Store, app, ref.ID, kv.Default); err != nil {
			return nil, err // nodes would look for it in vain
		}
		again = *ref
		again.Retry = ref.Retry.after(r.Seq, nodes)
		if r.Rollout != nil {
			rollout := *r.Rollout
			rollout.Ref = again
			r.Rollout = &rollout
		} else {
			r.Current = &again
		}
		return d.unmark(app, again.ID, nodes), nil
	})
	if err != nil {
		return nil, err
	}
	d.hint(ctx, app, again.ID, r.Seq)
	return &Drive{App: app, Deployment: *dep, Record: *r, Previous: old.Current, driver: d, selector: sel}, nil
}

// known refuses nodes that neither obey app, as far as the selector picks them,
// nor have reported of the deployment; and where none are named, a deployment that
// failed nowhere.
func (d *Driver) known(ctx context.Context, app string, ref Ref, sel Selector, nodes []string) error {
	v, err := d.Look(ctx, app, ref, sel)
	if err != nil {
		return err
	}
	if len(nodes) == 0 && v.Counts[Failed] == 0 && !slices.ContainsFunc(v.Nodes, NodeView.MidRun) {
		return refused("%s failed on no node: there is nothing to retry; gurney retry %s NODE runs it again on one", ref.ID, app)
	}
	for _, name := range nodes {
		if !slices.ContainsFunc(v.Nodes, func(n NodeView) bool { return n.Node == name }) {
			return refused("no node %s obeys %s%s: gurney status %s shows those that do", name, app, sel.suffix(), app)
		}
	}
	return nil
}

// unmark deletes the markers of nodes, all of them where none are given or
// there are more than one transaction takes.
func (d *Driver) unmark(app, id string, nodes []string) []kv.Op {
	const others = 4 // operations that a change has beside these
	if len(nodes) == 0 || len(nodes) > kv.MaxOps-others {
		return []kv.Op{{Verb: kv.DeleteTree, Key: report.FailedPrefix(app, id)}}
	}
	var ops []kv.Op
	for _, n := range nodes {
		ops = append(ops, kv.Op{Verb: kv.Delete, Key: report.FailedKey(app, id, n)})
	}
	return ops
}

// Close writes how a deployment ended into its record, and prunes what is too
// old to keep. It is housekeeping: what fails is logged.
func (d *Driver) Close(ctx context.Context, app, id string, o Outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := d.close(ctx, app, id, o); err != nil {
		d.Log.Warn().Err(err).Str("app", app).Msg("housekeeping after the deployment")
	}
}

func (d *Driver) close(ctx context.Context, app, id string, o Outcome) error {
	dep, err := ReadDeployment(ctx, d.Store, app, id, kv.Default)
	if err != nil {
		return err
	}
	dep.Outcome = &o
	if err := d.Store.Txn(ctx, writeDeployment(*dep)); err != nil {
		return fmt.Errorf("write outcome of %s: %w", id, err)
	}
	return d.prune(ctx, app)
}

// Outcome sums a view up.
func (v View) Outcome(state string, at time.Time) Outcome {
	return Outcome{State: state, At: at.UTC().Truncate(time.Millisecond), OK: v.Counts[Done], Fail: v.Counts[Failed], Held: v.Counts[Held]}
}

// End writes the drive's outcome, and prunes what is too old to keep.
func (f *Drive) End(ctx context.Context, v View, state string) {
	f.driver.Close(ctx, f.App, f.Deployment.ID, v.Outcome(state, f.driver.now()))
}

// Settled says whether the deployment that the drive follows is current.
func (f *Drive) Settled() bool {
	return f.Record.Current != nil && f.Record.Current.ID == f.Deployment.ID
}

// Parks says whether the deployment stays parked at its end, and is not promoted:
// it is for a selection of nodes, or a dry run.
func (f *Drive) Parks() bool { return !f.selector.IsZero() || f.Deployment.Dry }
