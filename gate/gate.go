// Package gate lets a daemon's start obey Consul: it does not start on a node
// in maintenance, and, with a lock, runs on one node of the fleet only.
//
//	supervisor ─► gate ─► maintenance? ─► exec CMD           (no lock: the gate is gone)
//	                  └─► lock ─► child CMD ─ lost ─► TERM, KILL   (the gate stays)
//
// A daemon that runs is not stopped by maintenance: draining is not killing.
package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"gurney/kv"
)

// Consul is what the gate asks of it.
type Consul interface {
	// Maintenance asks the local agent for the node's.
	Maintenance(ctx context.Context) (on bool, reason string, err error)
	// Acquire takes the lock at key, once: an error with Held() true says
	// that somebody else has it.
	Acquire(ctx context.Context, key, value string, delay time.Duration) (Lock, error)
	// WaitFree waits until nobody holds the lock at key, or most is over.
	WaitFree(ctx context.Context, key string, most time.Duration) error
}

// Lock is a held session lock.
type Lock interface {
	Lost() <-chan struct{} // closed when it is no longer sure to be ours
	Unlock(ctx context.Context) error
}

// What to do while Consul can't be asked, and where it refuses to say whether the
// node is in maintenance. The lock's right is never done without.
const (
	Run  = "run"
	Wait = "wait"
)

// Options are what a gate is made of.
type Options struct {
	Command       []string
	UnlessMaint   bool
	LockKey       string        // "": no lock
	Value         string        // tells people who has the lock
	IfUnreachable string        // Run or Wait; "": Run for maintenance, Wait for the lock
	Grace         time.Duration // between TERM and KILL once the lock is lost
	Consul        Consul
	Stderr        io.Writer
}

// Times of the gate.
const (
	// Pause is what it waits before it exits in maintenance or for want of a
	// right, so that a supervisor that restarts it at once does not spin.
	Pause = 10 * time.Second
	// askTime bounds one question to the local Consul agent.
	askTime = 3 * time.Second
	// again is the time between two questions while the answer is waited for.
	again = time.Second
	// watch is how long one query for the end of somebody else's lock stays
	// open. It bounds how long a server that knows no news any more, cut off
	// from the others, is believed.
	watch = time.Minute
	// MaxGrace keeps the lock-delay below Consul's limit of a minute.
	MaxGrace = 45 * time.Second
)

// Refused is the gate's own exit status where Consul refuses it a right that
// the start depends on.
const Refused = 3

// ExitError is how the gate wants to end: the status of CMD, or its own.
type ExitError struct {
	Status int
	Err    error // nil: CMD's own status
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *ExitError) Unwrap() error { return e.Err }

// gate is one on its way.
type gate struct {
	Options
	told map[topic]string // what was said last of each: said once
}

// Pass runs the command when it may run. Without a lock it does not return:
// the process becomes CMD. The error is *ExitError, or ctx's while it waits.
func Pass(ctx context.Context, o Options) error {
	path, err := exec.LookPath(o.Command[0])
	if err != nil {
		status := 127
		if errors.Is(err, os.ErrPermission) {
			status = 126
		}
		return &ExitError{status, fmt.Errorf("%s: %w", o.Command[0], errors.Unwrap(err))}
	}
	g := &gate{Options: o, told: map[topic]string{}}
	if err := g.maintenance(ctx); err != nil {
		return err
	}
	if o.LockKey == "" {
		return g.become(path)
	}
	lock, err := g.lock(ctx)
	if err != nil {
		return err
	}
	if lock == nil {
		return g.become(path) // told to run without
	}
	return g.hold(ctx, path, lock)
}

// become replaces this process by CMD.
func (g *gate) become(path string) error {
	err := syscall.Exec(path, g.Command, os.Environ())
	return &ExitError{126, fmt.Errorf("%s: %w", path, err)}
}

// topic is what something is said of.
type topic int

const (
	ofMaintenance topic = iota
	ofLock
)

// say tells something once, until there is something else to tell of the same:
// a gate that waits asks for both, each second.
func (g *gate) say(of topic, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if text != g.told[of] {
		g.told[of] = text
		_, _ = fmt.Fprintf(g.Stderr, "gurney gate: %s\n", text)
	}
}

// pause waits d, or returns ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// maintenance returns nil when CMD may start.
func (g *gate) maintenance(ctx context.Context) error {
	if !g.UnlessMaint {
		return nil
	}
	for {
		on, err := g.inMaintenance(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case err == nil && !on:
			return nil
		case err == nil:
			if err := pause(ctx, Pause); err != nil {
				return err
			}
			return &ExitError{1, nil} // it was said why
		case g.IfUnreachable == Wait && forbidden(err):
			g.say(ofMaintenance, "the right to see the node's maintenance is missing: %v; not starting %s", err, g.Command[0])
			return g.refused(ctx)
		case g.IfUnreachable == Wait:
			g.say(ofMaintenance, "maintenance can't be asked for: %v; waiting", err)
		default:
			why, then := "maintenance can't be asked for", "starting all the same"
			if g.LockKey != "" {
				then = "going by the lock alone"
			}
			if forbidden(err) {
				// A token that has expired must not take a daemon down on every node.
				why, then = "the right to see the node's maintenance is missing", then+", be it in maintenance or not"
			}
			g.say(ofMaintenance, "%s: %v; %s", why, err, then)
			return nil
		}
		if err := pause(ctx, again); err != nil {
			return err
		}
	}
}

// forbidden says that Consul can be asked and that the token may not.
func forbidden(err error) bool { return errors.Is(err, kv.ErrForbidden) }

// refused ends the gate for want of a right, of which it was told: waiting does
// not mend a token, and the supervisor's next start reads it anew.
func (g *gate) refused(ctx context.Context) error {
	if err := pause(ctx, Pause); err != nil {
		return err
	}
	return &ExitError{Refused, nil}
}

// ask asks the local agent for the node's maintenance.
func (g *gate) ask(ctx context.Context) (on bool, reason string, err error) {
	short, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return g.Consul.Maintenance(short)
}

// inMaintenance asks, and says the reason where it is on.
func (g *gate) inMaintenance(ctx context.Context) (bool, error) {
	on, reason, err := g.ask(ctx)
	if on {
		g.say(ofMaintenance, "maintenance: %q; not starting %s", reason, g.Command[0])
	}
	return on, err
}
