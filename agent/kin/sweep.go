package kin

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"gurney/proc"
)

const (
	patience  = 3 * time.Second // with each signal but the last
	killFor   = 5 * time.Second // until a killed process must be gone
	sweepPoll = 50 * time.Millisecond
)

// Sweep ends all of k: with the given signals first, each with three seconds'
// time, and then with SIGKILL. It says how many there were; the error names
// those that even that did not end, or is ctx's.
func (k *Kin) Sweep(ctx context.Context, gently ...syscall.Signal) (found int, err error) {
	left := k.members()
	found = len(left)
	for _, s := range gently {
		if len(left) == 0 {
			return found, nil
		}
		for pid, start := range left {
			signal(pid, start, s)
		}
		if left, err = k.await(ctx, patience, nil); err != nil {
			return found, err
		}
	}
	if len(left) == 0 {
		return found, nil
	}
	left, err = k.await(ctx, killFor, func(left map[int]string) {
		k.cgroup.kill()
		for pid, start := range left {
			signal(pid, start, syscall.SIGKILL)
		}
	})
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("processes that SIGKILL does not end: %v", sorted(left))
	}
	return found, err
}

// await looks who is left until nobody is, at most for limit; each time again
// does what it can about those.
func (k *Kin) await(ctx context.Context, limit time.Duration, again func(map[int]string)) (map[int]string, error) {
	over := time.NewTimer(limit)
	defer over.Stop()
	poll := time.NewTicker(sweepPoll)
	defer poll.Stop()
	for {
		left := k.members()
		if len(left) == 0 {
			return nil, nil
		}
		if again != nil {
			again(left)
		}
		select {
		case <-ctx.Done():
			return left, ctx.Err()
		case <-over.C:
			return left, nil
		case <-poll.C:
		}
	}
}

// signal reaches the process that began at start, and none that has taken its
// pid since: a process is held by a pidfd, and looked at again, before.
func signal(pid int, start string, s syscall.Signal) {
	p, err := os.FindProcess(pid)
	if err != nil {
		return
	}
	defer func() { _ = p.Release() }()
	if now, ok := proc.Read(pid); ok && now.Start == start {
		_ = p.Signal(s)
	}
}
