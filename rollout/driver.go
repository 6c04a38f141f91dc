package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"gurney/event"
	"gurney/kv"
)

// Fleet is what driving needs of Consul beside the store.
type Fleet interface {
	// Fire sends an event to the agents that its filters pick.
	Fire(ctx context.Context, e event.Event) (id string, err error)
	// Targets lists the nodes that obey app and that the selector picks.
	Targets(ctx context.Context, app string, sel Selector) ([]Target, error)
	// Lock takes a session lock; *HeldError where another driver has it.
	Lock(ctx context.Context, key, value string) (Lock, error)
	// ListIndexed is a blocking read: what stands below prefix once it
	// differs from the state at index, or after wait.
	ListIndexed(ctx context.Context, prefix string, index uint64, wait time.Duration) ([]kv.Pair, uint64, error)
}

// Lock is a held session lock.
type Lock interface {
	Session() string
	Lost() <-chan struct{} // closed when the session is gone
	Unlock(ctx context.Context) error
}

// RefusedError says why a change was not made: another rollout or driver is
// in the way, or there is nothing to change.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

func refused(format string, args ...any) error {
	return &RefusedError{Reason: fmt.Sprintf(format, args...)}
}

// Driver changes apps' records and follows what becomes of it. It is used by
// operators' commands; nodes only read.
type Driver struct {
	Store kv.Store
	Fleet Fleet
	Log   zerolog.Logger
	Now   func() time.Time // nil: time.Now
	// GoneAfter is how long a node that was alive, or runs the deployment, is
	// waited for when it is silent; 0: 30 s.
	GoneAfter time.Duration
}

func (d *Driver) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

// Request is a deployment that is wanted.
type Request struct {
	App      string
	URL      string // of the manifest, redacted
	Manifest []byte
	SHA256   string // of Manifest, hex
	By, Why  string
	Selector Selector
	Dry      bool // the manifest asks for a dry run
	Replace  bool // end the rollout that is on, whatever its state
	Detach   bool // without selector: current at once, nobody follows
	// AllowNobody deploys although no node obeys the app now.
	AllowNobody bool
	MaxFailures int // 0: no breaker
}

// Begin writes the deployment and the record in one transaction and fires the
// hint. Unless detached it holds the app's lock, which Drive.Close gives back.
// An error means that nothing was written, but for one that says otherwise:
// where ctx ends later than that, the drive is returned and its Follow says so.
func (d *Driver) Begin(ctx context.Context, q Request) (*Drive, error) {
	if err := q.Selector.Validate(); err != nil {
		return nil, err
	}
	if len(q.Manifest) > MaxManifest {
		return nil, fmt.Errorf("the manifest has %d bytes; at most %d stand in Consul", len(q.Manifest), MaxManifest)
	}
	targets, err := d.Fleet.Targets(ctx, q.App, q.Selector)
	if err != nil {
		return nil, fmt.Errorf("list the nodes that obey %s: %w", q.App, err)
	}
	if len(targets) == 0 && !q.AllowNobody {
		return nil, refused("no node obeys %s%s: is its name right, and do agents run that list it in apps? (--detach deploys all the same)", q.App, q.Selector.suffix())
	}
	drive := &Drive{driver: d, App: q.App}
	if !q.Detach {
		drive.lock, err = d.Fleet.Lock(ctx, LockKey(q.App), q.By)
		if err != nil && !q.Replace {
			return nil, err
		}
	}
	if err := d.begin(ctx, q, drive); err != nil {
		drive.Close(ctx)
		return nil, err
	}
	if !q.Detach && drive.lock == nil {
		if drive.lock, err = d.takeOver(ctx, q); err != nil && ctx.Err() == nil {
			return nil, err
		}
	}
	return drive, nil
}

// takeOver takes the lock from the driver whose rollout was just replaced: it
// sees that and gives it back, or is dead and loses it with its session.
func (d *Driver) takeOver(ctx context.Context, q Request) (Lock, error) {
	bound, cancel := context.WithTimeout(ctx, takeOverTime)
	defer cancel()
	tell := time.Now().Add(takeOverQuiet)
	for {
		lock, err := d.Fleet.Lock(ctx, LockKey(q.App), q.By)
		if err == nil {
			return lock, nil
		}
		select {
		case <-bound.Done():
			return nil, fmt.Errorf("the deployment is on, but another driver does not give way: %w", err)
		case <-time.After(takeOverPoll):
		}
		if !tell.IsZero() && time.Now().After(tell) {
			d.Log.Warn().Err(err).Msgf("the deployment is on; waiting up to %s until the other driver gives way, or its session ends", takeOverTime)
			tell = time.Time{}
		}
	}
}

const (
	takeOverTime = 45 * time.Second // a dead driver's session, which Consul ends after up to twice its TTL
	takeOverPoll = 250 * time.Millisecond
	// takeOverQuiet is how long one that lives may take without a word of it.
	takeOverQuiet = 2 * time.Second
)

func (d *Driver) begin(ctx context.Context, q Request, drive *Drive) error {
	now := d.now().UTC().Truncate(time.Millisecond)
	dep := Deployment{
		V: Version, App: q.App, URL: q.URL, SHA256: q.SHA256, Manifest: q.Manifest,
		At: now, By: q.By, Why: q.Why, Dry: q.Dry,
	}
	old, r, err := d.change(ctx, q.App, drive.session(), func(r *Record) ([]kv.Op, error) {
		if r.Rollout != nil && !q.Replace {
			return nil, refused("a rollout of %s is on: %s by %s since %s; end it with promote or abort, or use --replace",
				q.App, r.Rollout.ID, r.Rollout.By, r.Rollout.At.Format(time.RFC3339))
		}
		dep.ID = NewID(now) // by each try: it may be taken
		ref := Ref{ID: dep.ID, At: now, By: q.By}
		if q.Detach && q.Selector.IsZero() {
			r.Current, r.Rollout = &ref, nil
		} else {
			r.Rollout = &Rollout{
				Ref: ref, Seq: r.Seq, Selector: q.Selector,
				Open: map[string]string{"": AllOpen}, MaxFailures: q.MaxFailures,
			}
		}
		op := writeDeployment(dep)
		op.Verb = kv.CAS // only if it does not exist
		return []kv.Op{op}, nil
	})
	if err != nil {
		return err
	}
	drive.Deployment, drive.Record, drive.selector = dep, *r, q.Selector
	if old != nil {
		drive.Previous = old.Current
	}
	d.hint(ctx, q.App, dep.ID, r.Seq)
	if old != nil && old.Rollout != nil {
		d.Close(ctx, q.App, old.Rollout.ID, Outcome{State: "replaced", At: now})
	}
	return nil
}

// errUnchanged is an edit's word that the record is already as it wants it.
var errUnchanged = errors.New("already so")

// tries is how often a change is made anew when another writer came between.
const tries = 5

// change reads the record, lets edit change it, and writes it with the
// operations that edit returns, in one transaction. edit sees Seq as it will
// be. It returns the record of before (nil: none) and the new one.
func (d *Driver) change(ctx context.Context, app, session string, edit func(*Record) ([]kv.Op, error)) (old, changed *Record, err error) {
	for range tries {
		old, index, err := ReadRecord(ctx, d.Store, app, kv.Default)
		if err != nil {
			return nil, nil, err
		}
		r := Record{}
		if old != nil {
			r = *old
		}
		r.V, r.Seq = Version, next(old, d.now())
		more, err := edit(&r)
		if err != nil {
			return old, nil, err
		}
		var ops []kv.Op
		if session != "" {
			ops = append(ops, kv.Op{Verb: kv.CheckSession, Key: LockKey(app), Session: session})
		}
		ops = append(append(ops, writeRecord(app, r, index)), more...)
		err = d.write(ctx, ops)
		if err == nil {
			return old, &r, nil
		}
		if !errors.Is(err, kv.ErrConflict) {
			return nil, nil, fmt.Errorf("write record of %s: %w", app, err)
		}
	}
	return nil, nil, fmt.Errorf("write record of %s: %w", app, kv.ErrConflict)
}

// lastingTime is how much longer than its context a change may take: nobody
// should have to ask whether what was interrupted was written.
const lastingTime = 5 * time.Second

// lasting is ctx, but ends lastingTime after it.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lastingTime, cancel) })
	return longer, func() { stop(); cancel() }
}

func (d *Driver) write(ctx context.Context, ops []kv.Op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := lasting(ctx)
	defer cancel()
	return d.Store.Txn(ctx, ops...)
}

// hint fires the event that makes nodes look at the record. Without it they
// look on their timer, so its failure is no failure of the change. It goes to
// all nodes: Consul matches a service filter against services' ids (1.22), which
// need not be their names, and each node knows by the record whether it is meant.
func (d *Driver) hint(ctx context.Context, app, id string, seq int64) {
	e := event.Event{Name: app, Payload: event.Hint{ID: id, Seq: seq}.Bytes()}
	ctx, cancel := lasting(ctx)
	defer cancel()
	if _, err := d.Fleet.Fire(ctx, e); err != nil {
		d.Log.Warn().Err(err).Msg("the event could not be fired: nodes will see the change on their timer")
	}
}

func (s Selector) suffix() string {
	out := ""
	for _, e := range []struct{ name, expr string }{{"node", s.Node}, {"service", s.Service}, {"tag", s.Tag}} {
		if e.expr != "" {
			out += fmt.Sprintf(" --%s %q", e.name, e.expr)
		}
	}
	return out
}
