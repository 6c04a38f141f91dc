package chef

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	graceDefault = 10 * time.Second
	tickEvery    = 500 * time.Millisecond
	sweepFor     = 2 * time.Second
)

// process is a running chef-solo and what it runs.
type process struct {
	cmd  *exec.Cmd
	done chan ending
	kin  kin
}

// ending is how the process ended, and why it did where that was our doing.
type ending struct {
	code        int // 128 + signal where one ended it
	signal      syscall.Signal
	timedOut    bool
	interrupted bool
}

// start runs chef-solo in a process group of its own, so that signals meant
// for us don't reach it. No shell, no pipe.
func start(o Options, args []string, out *os.File) (*process, error) {
	cmd := exec.Command(o.Command, args...)
	cmd.Dir, cmd.Env = o.Release, environment(o)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if o.Attr != nil {
		o.Attr(cmd.SysProcAttr)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan ending, 1)}
	go func() {
		_ = cmd.Wait()
		p.done <- endingOf(cmd.ProcessState)
	}()
	return p, nil
}

func endingOf(s *os.ProcessState) ending {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return ending{code: 128 + int(w.Signal()), signal: w.Signal()}
	}
	return ending{code: s.ExitCode()}
}

// watch waits for the end, and brings it about when ctx or the timeout is over.
func (p *process) watch(ctx context.Context, o Options, tick func()) ending {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	var timeout <-chan time.Time
	if o.Timeout > 0 {
		t := time.NewTimer(o.Timeout)
		defer t.Stop()
		timeout = t.C
	}
	for n := 0; ; n++ {
		select {
		case end := <-p.done:
			tick()
			if end.signal != 0 {
				// Somebody killed it. Chef's lock is free by that, and the
				// command it ran goes on.
				p.sweep()
			}
			return end
		case <-ticker.C:
			if n%2 == 0 {
				p.kin.look(p.cmd.Process.Pid)
			}
			tick()
		case <-ctx.Done():
			end := p.stop(o.Grace, ticker.C, tick)
			end.interrupted = true
			return end
		case <-timeout:
			end := p.stop(o.Grace, ticker.C, tick)
			end.timedOut = true
			return end
		}
	}
}

// stop ends chef-solo: SIGTERM would be ignored, and SIGKILL would leave its
// command alive beside a free lock. At the first SIGINT Chef itself ends the
// command, which takes it three seconds when it must kill; a second one cuts
// that short.
func (p *process) stop(grace time.Duration, ticks <-chan time.Time, tick func()) ending {
	if grace <= 0 {
		grace = graceDefault
	}
	pid := p.cmd.Process.Pid
	p.kin.keep = true
	p.kin.look(pid)
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, grace / 2}, {syscall.SIGINT, grace - grace/2}, {syscall.SIGKILL, 0}} {
		_ = syscall.Kill(-pid, step.signal)
		if step.signal == syscall.SIGKILL {
			break
		}
		over := time.NewTimer(step.wait)
		for waiting := true; waiting; {
			select {
			case end := <-p.done:
				over.Stop()
				tick()
				p.sweep()
				return end
			case <-ticks:
				p.kin.look(pid)
				tick()
			case <-over.C:
				waiting = false
			}
		}
		p.kin.look(pid)
	}
	end := <-p.done
	tick()
	p.sweep()
	return end
}

// sweep kills what chef-solo's end left of the commands it ran.
func (p *process) sweep() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	for until := time.Now().Add(sweepFor); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		left := p.kin.left()
		if len(left) == 0 {
			return
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// shortage says whether the machine had too little of something to start a
// process, or the program was just being replaced.
func shortage(err error) bool {
	for _, e := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.ENFILE, syscall.EMFILE, syscall.ETXTBSY} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
