package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"gurney/agent"
	"gurney/agent/state"
	"gurney/event"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

// memory is Consul in the process, without a wire and so within a bubble of
// simulated time: a store, an event ring, and the ways in which they fail.
type memory struct {
	mu     sync.Mutex
	pairs  map[string]kv.Pair
	ring   []event.Event
	rang   chan struct{}
	down   func(write, stale bool) error // of this node's requests; nil: all is well
	taken  []string                      // results in the order in which the store took them
	seq    int64
	failed int // transactions that did not come through
}

type outage struct{ what string }

func (e outage) Error() string   { return e.what }
func (e outage) Unwrap() error   { return kv.ErrUnreachable }
func (e outage) Transient() bool { return true }

func (m *memory) ask(write, stale bool) error {
	if m.down == nil {
		return nil
	}
	return m.down(write, stale)
}

func (m *memory) Get(_ context.Context, key string, c kv.Consistency) (*kv.Pair, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ask(false, c == kv.Stale); err != nil {
		return nil, err
	}
	if p, ok := m.pairs[key]; ok {
		return &p, nil
	}
	return nil, nil
}

func (m *memory) List(context.Context, string, kv.Consistency) ([]kv.Pair, error) {
	return nil, errors.New("no agent lists")
}

func (m *memory) Keys(_ context.Context, prefix string, c kv.Consistency) (out []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.pairs {
		if strings.HasPrefix(k, prefix) {
			out = append(out, k)
		}
	}
	return out, m.ask(false, c == kv.Stale)
}

func (m *memory) Txn(_ context.Context, ops ...kv.Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ask(true, false); err != nil {
		m.failed++
		return err
	}
	for _, o := range ops {
		if o.Verb != kv.Set {
			return errors.New("no agent of a record does that: " + string(o.Verb))
		}
		m.pairs[o.Key] = kv.Pair{Key: o.Key, Value: o.Value}
		if r, err := report.Decode(o.Value); err == nil {
			id := strings.Split(o.Key, "/")[2]
			m.taken = append(m.taken, id+" "+string(r.State))
		}
	}
	return nil
}

func (m *memory) Events(ctx context.Context, index uint64, wait time.Duration) ([]event.Event, uint64, error) {
	m.mu.Lock()
	rang, n := m.rang, uint64(len(m.ring))+1
	m.mu.Unlock()
	if index == n {
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-time.After(wait):
		case <-rang:
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.ring), uint64(len(m.ring)) + 1, nil
}

func (*memory) Maintenance(context.Context) (bool, string, error)        { return false, "", nil }
func (*memory) Drain(context.Context, string) error                      { return nil }
func (*memory) Undrain(context.Context) error                            { return nil }
func (*memory) Drained(context.Context) (bool, []string, error)          { return false, nil, nil }
func (*memory) Heartbeat(context.Context, bool, string) error            { return nil }
func (*memory) SetRoles(context.Context, string, []string) (bool, error) { return false, nil }
func (*memory) LocalServices(context.Context) (map[string][]string, error) {
	return nil, nil
}
func (*memory) Register(context.Context, []string, string, string, time.Duration) error { return nil }

// deploy writes what an operator elsewhere writes, whatever this node can
// reach, and fires the event.
func (m *memory) deploy(t *testing.T, id, path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.seq = max(m.seq+1, now.UnixMilli())
	put := func(key string, v any) {
		value, err := json.Marshal(v)
		must(t, err)
		m.pairs[key] = kv.Pair{Key: key, Value: value}
	}
	put(rollout.DeploymentKey("chef", id), rollout.Deployment{V: 1, App: "chef", ID: id, URL: "fake://x/" + path, Manifest: []byte("{}"), At: now})
	put(rollout.AppKey("chef"), rollout.Record{V: 1, Seq: m.seq, Current: &rollout.Ref{ID: id, At: now, By: "alice"}})
	m.ring = append(m.ring, event.Event{ID: "event-" + id, Name: "chef", Payload: event.Hint{ID: id, Seq: m.seq}.Bytes(), LTime: uint64(len(m.ring))})
	close(m.rang)
	m.rang = make(chan struct{})
}

func (m *memory) fail(f func(write, stale bool) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = f
}

// An hour in which this node's results are not taken, from the middle of a
// run on: servers that elect again and again, then none in reach at all, then
// a leader again for others. Deployments supersede each other meanwhile, and
// the agent is restarted in the middle of it. Afterwards each result has come
// once, in its order, and nothing has failed.
func TestOutboxOfAnHour(t *testing.T) {
	home, script := t.TempDir(), t.TempDir()
	var log locked
	synctest.Test(t, func(t *testing.T) {
		dir, err := state.Open(home)
		must(t, err)
		m := &memory{pairs: map[string]kv.Pair{}, rang: make(chan struct{})}
		var stop func()
		start := func() {
			a, err := agent.New(agent.Options{
				Apps: []string{"chef"}, Node: me, ConsulNode: me, Version: "1.0", Dir: dir, Consul: m,
				Command: []string{os.Args[0]}, Environ: append(os.Environ(), scriptVariable+"="+script, "GORACE=atexit_sleep_ms=0"),
				Maintenance: "hold", Reconcile: 5 * time.Minute, Log: zerolog.New(&log),
			})
			must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- agent.Work(ctx, a) }()
			stop = func() {
				cancel()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Errorf("the agent ended with %v", err)
				}
			}
		}
		// A run is a real process: while one goes on the bubble's time stands.
		after := func(d time.Duration) { time.Sleep(d); synctest.Wait() }

		start()
		after(time.Minute)
		m.deploy(t, "first", "ok")
		after(time.Minute)
		noLeader := func(write, stale bool) error {
			if !write && stale {
				return nil
			}
			return outage{"500 No cluster leader"}
		}
		began := time.Now()
		m.deploy(t, "cut", "block")
		for !slices.Contains(m.results(), "cut accepted") {
			_ = unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil) // real: the run goes on; a signal may cut it short
		}
		m.fail(noLeader)
		must(t, os.WriteFile(filepath.Join(script, "go"), nil, 0o600))
		after(10 * time.Minute)
		m.deploy(t, "second", "ok") // decided by stale reads
		after(5 * time.Minute)
		m.fail(func(bool, bool) error { return outage{"connection refused"} })
		m.deploy(t, "third", "ok") // not to be read, and then it is too late
		after(5 * time.Minute)
		stop()
		after(10 * time.Minute)
		m.deploy(t, "fourth", "ok")
		start()
		after(10 * time.Minute)
		m.fail(noLeader)
		after(10 * time.Minute)
		m.deploy(t, "passed", "ok")
		m.deploy(t, "fifth", "ok")
		after(time.Until(began.Add(time.Hour)))
		tries := m.failed
		want := []string{"first accepted", "first ok", "cut accepted"}
		if got := m.results(); !slices.Equal(got, want) {
			t.Fatalf("taken before its end: %q", got)
		}
		m.fail(nil)
		after(time.Minute)
		want = append(want, "cut ok", "second accepted", "second ok", "third superseded", "fourth accepted", "fourth ok", "passed superseded", "fifth accepted", "fifth ok")
		if got := m.results(); !slices.Equal(got, want) {
			t.Errorf("the store took\n%q, want\n%q", got, want)
		}
		if letters, err := dir.Outbox(); err != nil || len(letters) > 0 {
			t.Errorf("%d letters stay, %v", len(letters), err)
		}
		// Every 30 seconds and less often than at first.
		if tries < 60 || tries > 300 {
			t.Errorf("the store was asked %d times in that hour", tries)
		}
		after(time.Hour)
		if got := m.results(); !slices.Equal(got, want) {
			t.Errorf("an hour later it had taken %q", got)
		}
		stop()
		if t.Failed() {
			t.Logf("the agents' log:\n%s", &log)
		}
	})
	begun, err := os.ReadFile(filepath.Join(script, "begun"))
	must(t, err)
	var runs []string
	for line := range strings.Lines(string(begun)) {
		runs = append(runs, strings.Join(strings.Fields(line)[1:3], " "))
	}
	if want := []string{"first 1", "cut 1", "second 1", "fourth 1", "fifth 1"}; !slices.Equal(runs, want) {
		t.Errorf("ran %q, want %q", runs, want)
	}
}

func (m *memory) results() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.taken)
}
