package gate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// TTL is the session's, the shortest that Consul takes: a node that dies leaves
// its daemon to another as soon as can be.
const TTL = 10 * time.Second

// Detection is the longest that a holder that can run takes to notice that
// its session is gone. With Consul in reach that is two thirds of the TTL: the
// lock is renewed every third, and an answer is given as long again. But what
// ends the session may be what cuts the holder off, as the local Consul agent
// does that leaves the cluster: then it is sure until the TTL is over.
const Detection = TTL

// Delay is the lock-delay that a grace asks for: nobody else gets the lock
// before a holder that lost it has noticed, and its CMD is dead.
func Delay(grace time.Duration) time.Duration { return Detection + grace + time.Second }

// settle is how long a lock is held before CMD is started. Consul 1.22 forgets
// a key's lock-delay by a timer that knows only the key: one that is late by a
// moment forgets the delay of a loss that came in that moment too, and the next
// holder would start beside this one's CMD. Nothing runs here yet then.
const settle = time.Second

// lock waits for the lock, and gives up when the node goes into maintenance
// meanwhile. It returns nil where Consul is out of reach and the operator
// wants CMD to run all the same.
func (g *gate) lock(ctx context.Context) (Lock, error) {
	for {
		l, err := g.acquire(ctx)
		if err == nil {
			// Waiting may have taken days. Where the node may not start CMD now
			// the lock goes back before the pause: another is free to.
			if g.UnlessMaint {
				on, err := g.inMaintenance(ctx)
				if on || err != nil && g.IfUnreachable == Wait {
					g.unlock(l)
					if err := g.maintenance(ctx); err != nil {
						return nil, err
					}
					continue
				}
			}
			if err := pause(ctx, settle); err != nil {
				g.unlock(l)
				return nil, err
			}
			g.say(ofLock, "got the lock %s; starting %s", g.LockKey, g.Command[0])
			return l, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var held interface{ Held() bool }
		var transient interface{ Transient() bool }
		passes := errors.As(err, &transient) && transient.Transient()
		// Many may wait for one lock: not all at the same moment.
		wait := again + rand.N(2*again)
		switch {
		case errors.As(err, &held) && held.Held():
			g.say(ofLock, "%v; waiting", err)
			if passes {
				break // only the lock-delay runs, of which there is no news
			}
			switch free, err := g.free(ctx); {
			case err != nil:
				return nil, err
			case free:
				wait = rand.N(again)
			}
		case passes:
			if g.IfUnreachable == Run {
				g.say(ofLock, "the lock can't be asked for: %v; starting WITHOUT it", err)
				return nil, nil
			}
			g.say(ofLock, "the lock can't be asked for: %v; waiting", err)
		case forbidden(err):
			g.say(ofLock, "the right to hold the lock is missing: %v; not starting %s", err, g.Command[0])
			return nil, g.refused(ctx)
		default:
			return nil, &ExitError{1, err}
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
		if err := g.maintenance(ctx); err != nil {
			return nil, err
		}
	}
}

// free waits for the end of somebody else's lock, without asking the servers
// again and again; the node's maintenance is asked of the local agent. It only
// hastens: what it misses, and why it could not ask, acquire finds. The error is
// ctx's or maintenance's.
func (g *gate) free(ctx context.Context) (bool, error) {
	bound, stop := context.WithCancel(ctx)
	asked := make(chan error, 1)
	go func() { asked <- g.Consul.WaitFree(bound, g.LockKey, watch); close(asked) }()
	defer func() {
		stop()
		for range asked {
		}
	}()
	for {
		select {
		case err := <-asked:
			return err == nil, ctx.Err()
		case <-time.After(again + rand.N(2*again)):
		}
		if err := g.maintenance(ctx); err != nil {
			return false, err
		}
		if g.IfUnreachable != Run {
			continue
		}
		if _, _, err := g.ask(ctx); err != nil {
			return true, ctx.Err() // who may start without Consul need not wait for the query's end
		}
	}
}

func (g *gate) acquire(ctx context.Context) (Lock, error) {
	short, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return g.Consul.Acquire(short, g.LockKey, g.Value, Delay(g.Grace))
}

// unlock gives the lock back. Where that fails its TTL does it.
func (g *gate) unlock(l Lock) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	if err := l.Unlock(ctx); err != nil {
		g.say(ofLock, "the lock %s could not be given back: %v; it ends by its TTL", g.LockKey, err)
	}
}

// forwarded are the signals that supervisors send to what they believe is the
// daemon.
var forwarded = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGWINCH, syscall.SIGCONT}

// hold runs CMD as a child for as long as the lock is ours, and ends as it
// does. The lock is given back only after the child is dead.
func (g *gate) hold(ctx context.Context, path string, l Lock) error {
	defer g.unlock(l)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, forwarded...)
	defer signal.Stop(signals)
	if ctx.Err() != nil {
		return ctx.Err() // the signal came before we took them over
	}
	select {
	case <-l.Lost():
		return &ExitError{1, fmt.Errorf("lost the lock %s before %s was started", g.LockKey, g.Command[0])}
	default:
	}
	guard, err := newGuard()
	if err != nil {
		return &ExitError{126, err}
	}
	defer guard.dismiss()

	cmd := exec.Command(path, g.Command[1:]...)
	cmd.Args[0] = g.Command[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// In the guard's group, so that its children go with it; and it must not
	// outlive a gate that is killed, for nobody would watch the lock then. Until
	// it is in that group the kernel sees to that, which ties it to the thread
	// that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: guard.group(), Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return &ExitError{126, fmt.Errorf("%s: %w", path, err)}
	}
	guard.watch(cmd)
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // its status is asked below

	lost := l.Lost()
	for {
		select {
		case <-ended:
			guard.signal(syscall.SIGKILL) // its children must not go on without the lock
			return exitOf(cmd.ProcessState)
		case s := <-signals:
			_ = cmd.Process.Signal(s)
			if ends(s) {
				// One that has stopped, such as one that reads from a terminal
				// which is not its own, hears of it only when it goes on.
				_ = cmd.Process.Signal(syscall.SIGCONT)
			}
		case <-lost:
			g.say(ofLock, "lost the lock %s; stopping %s", g.LockKey, g.Command[0])
			guard.end(g.Grace)
			<-ended
			return &ExitError{1, nil}
		}
	}
}

// ends says whether the signal is meant to end what gets it.
func ends(s os.Signal) bool {
	return s == syscall.SIGTERM || s == syscall.SIGINT || s == syscall.SIGHUP || s == syscall.SIGQUIT
}

// exitOf is CMD's own status, as a shell tells it.
func exitOf(s *os.ProcessState) error {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return &ExitError{128 + int(w.Signal()), nil}
	}
	if s.ExitCode() == 0 {
		return nil
	}
	return &ExitError{s.ExitCode(), nil}
}
