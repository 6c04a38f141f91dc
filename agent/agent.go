// Package agent is ONE NODE: the loop that hears of changes, decides what
// this node should run, starts runs and collects what became of them, and the
// outbox that reports it.
//
//	event ─┐
//	timer ─┼─► record ─► Desired ─► maintenance, breaker ─► accepted ─► gurney run
//	start ─┘                                                               │
//	         Consul KV ◄── outbox ◄── result ◄── collect ◄─────────────────┘
//
// The loop is one goroutine and the only writer of journals. It holds no
// bytes and runs no commands: a run is a process of its own that outlives the
// agent.
package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"gurney/agent/state"
	"gurney/event"
	"gurney/kv"
	"gurney/rollout"
)

// Consul is what the agent needs of it.
type Consul interface {
	kv.Store
	event.Lister
	// Maintenance asks the local agent for the node's.
	Maintenance(ctx context.Context) (on bool, reason string, err error)
	// Drain takes the node out of service by a critical check of Gurney's
	// own, Undrain ends it; both may be repeated.
	Drain(ctx context.Context, note string) error
	Undrain(ctx context.Context) error
	// Drained says whether it is, and which of its services are critical.
	Drained(ctx context.Context) (on bool, critical []string, err error)
	// LocalServices lists the local agent's services with their tags.
	LocalServices(ctx context.Context) (map[string][]string, error)
	// Register makes this node known as one that obeys apps; it is quiet when
	// nothing changed.
	Register(ctx context.Context, apps []string, node, version string, ttl time.Duration) error
	// SetRoles makes this node known by the service of that name, whose tags
	// are the roles; by none without a name or roles. It is quiet when that is
	// so already, and says whether it was not.
	SetRoles(ctx context.Context, service string, roles []string) (changed bool, err error)
	// Heartbeat keeps the registration alive; with warn it says that
	// something wants a look. An error with Unregistered()
	// true says that the local agent does not know it any more.
	Heartbeat(ctx context.Context, warn bool, note string) error
}

// Options are what an agent is made of.
type Options struct {
	Apps []string
	// Allowed says why a manifest's URL, of an event, may not be read here; nil:
	// all may.
	Allowed     func(url string) error
	Node        string // Gurney's name for this node
	ConsulNode  string // Consul's; for the dashboard's row
	Version     string
	Dir         state.Dir
	Consul      Consul
	Command     []string // starts a run; the run's directory is added
	Environ     []string // of runs; nil: this process's
	Maintenance string   // hold, skip or ignore
	Drain       bool
	DrainWait   time.Duration
	DrainUntil  string // UntilPassing or UntilEnded
	Reconcile   time.Duration
	// ConvergeEvery is how often Chef runs again on what stands here; 0: never.
	ConvergeEvery time.Duration
	Splay         time.Duration
	RoleService   string        // name of the service that tells Chef's roles; "": none
	StaleAfter    time.Duration // an app that is not green for so long is a warning; 0: never
	Dashboard     string        // category of consul-kv-dashboard's row; "": none
	Listen        string        // host:port of /metrics and /healthz; "": none
	// Notify tells the service manager, in sd_notify's words; nil: there is
	// none. Watchdog is how long it waits for a sign of life; 0: it does not.
	Notify   func(state string)
	Watchdog time.Duration
	Log      zerolog.Logger
}

// Agent obeys the deployments of its node's apps.
type Agent struct {
	o       Options
	log     zerolog.Logger
	seen    *event.Seen
	fresh   bool // no event was ever seen here
	apps    map[string]*app
	running *app // whose run goes on; nil: none
	ended   chan *app
	free    chan struct{}         // the run lock of another process may be free
	waiting bool                  // a goroutine waits for it
	amiss   atomic.Pointer[amiss] // what the loop tells the heartbeat
	adopted bool                  // whether a drain of a lost life is on was looked for
	metrics *metrics
	// lostLetter says that one in the outbox was broken: the outbox's alone.
	lostLetter bool
	unkept     unkept        // letters that the disk had no room for
	post       chan struct{} // wakes the outbox
	wake       chan struct{} // wakes the loop: look at everything again
	asked      chan *asking  // wishes to converge now, past the gate
	past       []*asking     // those that wait for an answer
	birth      bool          // bootstrap: current only, never a rollout that was not begun here before
	roles      chan struct{} // wakes tellRoles
	manager    manager
	group      *errgroup.Group
	pace       pace
}

// New checks the options and reads the state directory.
func New(o Options) (*Agent, error) {
	if o.Node == "" || len(o.Apps) == 0 {
		return nil, errors.New("an agent needs a node's name and at least one app")
	}
	a := &Agent{
		o: o, log: o.Log, apps: map[string]*app{},
		ended: make(chan *app, 1), free: make(chan struct{}, 1),
		post: make(chan struct{}, 1), wake: make(chan struct{}, 1), asked: make(chan *asking),
		roles: make(chan struct{}, 1), metrics: newMetrics(o.Version), pace: paced(),
	}
	var err error
	if a.seen, a.fresh, err = o.Dir.Seen(); err != nil {
		return nil, fmt.Errorf("read what was seen: %w", err)
	}
	for _, name := range o.Apps {
		j, err := o.Dir.Journal(name)
		if err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		a.apps[name] = &app{name: name, Journal: j, log: o.Log.With().Str("app", name).Logger()}
	}
	return a, nil
}

// PutAside lets an agent begin where files of its state are broken. The error is
// one that renaming them does not mend.
func PutAside(dir state.Dir, log zerolog.Logger) error {
	broken, err := dir.PutAside()
	tellBroken(log, broken)
	return err
}

func tellBroken(log zerolog.Logger, broken []state.Broken) {
	for _, b := range broken {
		log.Error().Err(b.Err).Str("file", b.Path).Msg(b.String())
	}
}

// app is what the loop knows of one app.
type app struct {
	*state.Journal
	name string
	log  zerolog.Logger
	// due is when the loop looks at the app again by itself; zero: when
	// something happens.
	due     time.Time
	refresh bool         // read the record before deciding
	audit   bool         // look whether Consul still has this node's result, too
	atLeast int64        // seq that a hint promised
	stale   int          // reads of the record in a row that were older than the hint
	behind  bool         // the leader's record is older than the journal's
	forget  []string     // keys to delete with the next result
	failed  int          // decisions in a row that could not be made
	doubt   string       // why the last of them could not be
	trouble string       // why the last attempt came to nothing
	unsaved bool         // the journal on disk is older than this
	lifted  string       // id whose maintenance ended: the record was read anew since
	words   words        // the last manifest's; a node that waits asks Consul for it once
	drift   time.Time    // when Chef runs again on what stands here; zero: not known yet
	again   bool         // somebody who waits wants what failed here tried again
	wanted  rollout.Want // what was wanted at the last look
	passing bool         // its run is over, and its drain waits for services to pass
}

// Run obeys until ctx ends; a run that goes on is left alone. The error is
// what kept the agent from working at all; nil at ctx's end.
func (a *Agent) Run(ctx context.Context) error {
	lock, err := a.o.Dir.LockAgent("gurney agent")
	var busy *state.BusyError
	if errors.As(err, &busy) {
		return fmt.Errorf("another gurney agent runs here: %w", err)
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := a.o.Dir.Tidy(); err != nil {
		a.log.Warn().Err(err).Msg("what a killed agent left can't be removed")
	}
	socket, err := a.control()
	if err != nil {
		return err
	}
	servers := []*server{socket}
	if a.o.Listen != "" {
		s, err := a.listen()
		if err != nil {
			socket.close()
			return err
		}
		servers = append(servers, s)
	}
	var inner context.Context
	a.group, inner = errgroup.WithContext(ctx)
	for _, s := range servers {
		a.group.Go(func() error { return s.serve(inner) })
	}
	if a.o.Notify != nil {
		a.group.Go(func() error {
			<-inner.Done()
			a.o.Notify("STOPPING=1")
			return nil
		})
	}
	events := make(chan event.Batch)
	a.group.Go(func() error { return a.listenEvents(inner, events) })
	a.group.Go(func() error { return a.register(inner) })
	a.group.Go(func() error { return a.tellRoles(inner) })
	a.live(inner, events)
	a.log.Info().Strs("apps", a.o.Apps).Str("node", a.o.Node).Str("version", a.o.Version).Msg("agent started")
	err = a.group.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, http.ErrServerClosed)) {
		a.log.Info().Msg("agent stopped")
		return nil
	}
	return err
}

// listenEvents hands the stream's batches to the loop.
func (a *Agent) listenEvents(ctx context.Context, out chan<- event.Batch) error {
	stream := event.NewStream(a.o.Consul, a.seen, a.fresh, a.log)
	for {
		b, err := stream.Next(ctx)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case out <- b:
		}
	}
}
