package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Lock is a held flock. It ends with the last process that holds its file:
// nothing has to clean up after a kill.
type Lock struct{ file *os.File }

// BusyError says that another process holds a lock, and what it wrote there.
type BusyError struct{ Lock, By string }

func (e *BusyError) Error() string {
	if e.By == "" {
		return e.Lock + " is held by another process"
	}
	return fmt.Sprintf("%s is held by %s", e.Lock, e.By)
}

// LockAgent makes this process the node's agent. It tries for a second: what an
// agent that was killed just now had begun to start holds its lock until it has
// become a program of its own.
func (d Dir) LockAgent(by string) (*Lock, error) {
	for end := time.Now().Add(time.Second); ; time.Sleep(20 * time.Millisecond) {
		l, err := tryLock(d.join("agent.lock"), by)
		var busy *BusyError
		if !errors.As(err, &busy) || time.Now().After(end) {
			return l, err
		}
	}
}

// LockRun takes the lock of the one run that may go on; *BusyError where one
// does.
func (d Dir) LockRun(by string) (*Lock, error) { return tryLock(d.join("run.lock"), by) }

// runPoll is how often WaitRun looks whether the lock is free.
const runPoll = 100 * time.Millisecond

// WaitRun takes the lock of the one run, waiting for the one that goes on;
// busy, where not nil, is told once who that is.
func (d Dir) WaitRun(ctx context.Context, by string, busy func(*BusyError)) (*Lock, error) {
	for {
		l, err := d.LockRun(by)
		var b *BusyError
		if !errors.As(err, &b) {
			return l, err
		}
		if busy != nil {
			busy(b)
			busy = nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(runPoll):
		}
	}
}

func tryLock(path, by string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder, _ := os.ReadFile(path)
		_ = f.Close()
		return nil, &BusyError{Lock: path, By: strings.TrimSpace(string(holder))}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	l := &Lock{f}
	_ = l.Name(by) // for people alone: a full disk is no reason not to hold it
	return l, nil
}

// Name writes who holds the lock, for those who find it held.
func (l *Lock) Name(by string) error {
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if _, err := l.file.WriteAt([]byte(by+"\n"), 0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

// File is for handing the lock to a child, which then holds it too.
func (l *Lock) File() *os.File { return l.file }

// Adopt is the other side of File: the lock that this process was started
// with as file descriptor fd. Its own children don't inherit it.
func Adopt(fd uintptr) (*Lock, error) {
	unix.CloseOnExec(int(fd))
	f := os.NewFile(fd, "run.lock")
	if f == nil {
		return nil, fmt.Errorf("lock: no file descriptor %d", fd)
	}
	if _, err := f.Stat(); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return &Lock{f}, nil
}

// Release gives up this process's hold.
func (l *Lock) Release() {
	if l != nil && l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}
