package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gurney/kv"
)

// fake is a Consul whose lock somebody else holds until free is closed.
type fake struct {
	free     chan struct{}
	maint    atomic.Bool
	deaf     bool        // a query that waits fails at once
	delay    bool        // nobody holds it: the lock-delay runs
	silent   atomic.Bool // it takes connections, and says nothing
	refuses  bool        // the token has no right to anything
	acquires atomic.Int32
	queries  atomic.Int32
}

type heldError struct{ delay bool }

func (heldError) Error() string     { return "held by web-2" }
func (heldError) Held() bool        { return true }
func (e heldError) Transient() bool { return e.delay }

type mine struct{}

func (mine) Lost() <-chan struct{}        { return nil }
func (mine) Unlock(context.Context) error { return nil }

type silence struct{ error }

func (silence) Transient() bool { return true }

func (f *fake) hang(ctx context.Context) error {
	if !f.silent.Load() {
		return nil
	}
	<-ctx.Done()
	return silence{ctx.Err()}
}

func (f *fake) Maintenance(ctx context.Context) (bool, string, error) {
	if f.refuses {
		return false, "", fmt.Errorf("read the node's maintenance: %w", kv.ErrForbidden)
	}
	return f.maint.Load(), "fan", f.hang(ctx)
}

func (f *fake) Acquire(ctx context.Context, _, _ string, _ time.Duration) (Lock, error) {
	f.acquires.Add(1)
	if f.refuses {
		return nil, fmt.Errorf("read jobs/cron: %w", kv.ErrForbidden)
	}
	if err := f.hang(ctx); err != nil {
		return nil, err
	}
	select {
	case <-f.free:
		return mine{}, nil
	default:
		return nil, heldError{f.delay}
	}
}

func (f *fake) WaitFree(ctx context.Context, _ string, most time.Duration) error {
	f.queries.Add(1)
	if f.deaf {
		return errors.New("no leader")
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-f.free:
	case <-time.After(most):
	}
	return nil
}

func waiter(f *fake) *gate {
	f.free = make(chan struct{})
	return &gate{Options: Options{Command: []string{"worker"}, LockKey: "jobs/cron", UnlessMaint: true, Consul: f, Stderr: io.Discard}, told: map[topic]string{}}
}

// Who waits asks the servers once a minute, and hears of the end at once.
func TestWaitingCostsTheServersLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		g, done := waiter(f), make(chan error, 1)
		go func() { _, err := g.lock(t.Context()); done <- err }()
		time.Sleep(time.Hour)
		synctest.Wait()
		if a, q := f.acquires.Load(), f.queries.Load(); a > 61 || q > 61 || a < 55 {
			t.Errorf("in an hour it asked %d and %d times", a, q)
		}
		close(f.free)
		freed := time.Now()
		if err := <-done; err != nil || time.Since(freed) > again+settle {
			t.Errorf("it had the lock %s after it was free: %v", time.Since(freed), err)
		}
	})
}

// Where the query fails, and in the lock-delay, of which there is no news, it
// asks as often as it does of a Consul out of reach.
func TestWaitingWithoutTheQuery(t *testing.T) {
	for name, f := range map[string]*fake{"fails": {deaf: true}, "lock-delay": {delay: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, done := waiter(f), make(chan error, 1)
				go func() { _, err := g.lock(t.Context()); done <- err }()
				time.Sleep(time.Minute)
				synctest.Wait()
				if a := f.acquires.Load(); a > 61 || a < 15 {
					t.Errorf("in a minute it asked %d times", a)
				}
				close(f.free)
				freed := time.Now()
				if err := <-done; err != nil || time.Since(freed) > 3*again+settle {
					t.Errorf("it had the lock %s after it was free: %v", time.Since(freed), err)
				}
			})
		})
	}
}

// Maintenance is noticed while it waits, and so is that it is to end.
func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		g, done := waiter(f), make(chan error, 1)
		go func() { _, err := g.lock(t.Context()); done <- err }()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		f.maint.Store(true)
		began := time.Now()
		var exit *ExitError
		if err := <-done; !errors.As(err, &exit) || exit.Status != 1 || time.Since(began) > 3*again+Pause {
			t.Errorf("in maintenance for %s: %v", time.Since(began), err)
		}
		f.maint.Store(false)
		ctx, stop := context.WithCancel(t.Context())
		go func() { _, err := g.lock(ctx); done <- err }()
		time.Sleep(10 * time.Second)
		stop()
		began = time.Now()
		if err := <-done; !errors.Is(err, context.Canceled) || time.Since(began) > 0 {
			t.Errorf("stopped, after %s: %v", time.Since(began), err)
		}
	})
}

// A Consul that says nothing more is noticed while it waits, by who may start
// without it.
func TestWaitingForASilentConsul(t *testing.T) {
	for _, unlessMaint := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{}
			g, done := waiter(f), make(chan error, 1)
			g.UnlessMaint, g.IfUnreachable = unlessMaint, Run
			go func() {
				l, err := g.lock(t.Context())
				if l != nil {
					err = errors.New("it has a lock")
				}
				done <- err
			}()
			time.Sleep(10*time.Minute + 12*time.Second) // a query has just begun
			synctest.Wait()
			if a := f.acquires.Load(); a > 12 {
				t.Errorf("while all is well it asked the servers %d times in 10 minutes", a)
			}
			f.silent.Store(true)
			began := time.Now()
			if err := <-done; err != nil || time.Since(began) > 20*time.Second {
				t.Errorf("started after %s: %v", time.Since(began), err)
			}
		})
	}
}

// A right that is missing is not a Consul out of reach: it is told as what it
// is, and waiting would not mend it.
func TestWithoutTheRight(t *testing.T) {
	for _, test := range []struct {
		name, lock, ifUnreachable string
		status                    int // 0: it starts
		says                      string
	}{
		{"maintenance", "", "", 0, "right to see the node's maintenance is missing: read the node's maintenance: not allowed by the ACL token; starting all the same, be it in maintenance or not"},
		{"maintenance, run", "", Run, 0, "starting all the same"},
		{"maintenance, wait", "", Wait, Refused, "not starting worker"},
		{"lock", "jobs/cron", "", Refused, "right to hold the lock is missing: read jobs/cron: not allowed by the ACL token; not starting worker"},
		{"lock, run", "jobs/cron", Run, Refused, "not starting worker"},
		{"lock, wait", "jobs/cron", Wait, Refused, "right to see the node's maintenance is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := waiter(&fake{refuses: true})
				var told strings.Builder
				g.LockKey, g.IfUnreachable, g.Stderr = test.lock, test.ifUnreachable, &told
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				began := time.Now()
				err := g.maintenance(ctx)
				if err == nil && test.lock != "" {
					_, err = g.lock(ctx)
				}
				var exit *ExitError
				switch took := time.Since(began); {
				case test.status == 0 && err != nil:
					t.Errorf("got %v, want it to start", err)
				case test.status != 0 && (!errors.As(err, &exit) || exit.Status != test.status):
					t.Errorf("got %v, want exit status %d", err, test.status)
				case test.status != 0 && took != Pause:
					t.Errorf("it was gone after %s: a supervisor would spin", took)
				}
				if !strings.Contains(told.String(), test.says) {
					t.Errorf("it says %q, want %q", told.String(), test.says)
				}
			})
		})
	}
}
