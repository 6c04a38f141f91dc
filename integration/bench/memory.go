package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"gurney/agent/state"
)

// memory reads one of the kernel's figures on a process, in bytes: VmRSS, what
// it has in memory, or VmHWM, the most that it had (proc_pid_status(5)).
func memory(pid int, field string) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), "\n"+field+":")
	line, _, _ := strings.Cut(rest, "\n")
	kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(line, "kB")), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s of process %d: %w", field, pid, err)
	}
	return kb << 10, nil
}

// peak deploys the archive and returns the most memory of its run, and that of
// the agent up to now. Pages that both map, of the program, count twice.
func (w *world) peak(ctx context.Context, a archive, want sizes) (run, agent int64, d deployed, err error) {
	done := make(chan struct{})
	watching, stop := context.WithCancel(ctx)
	d, err = w.deploy(ctx, a, want, func(id string) {
		go func() {
			defer close(done)
			run = w.most(watching, id)
		}()
	})
	stop()
	if err != nil {
		return 0, 0, d, err
	}
	<-done
	if run == 0 {
		return 0, 0, d, fmt.Errorf("the run of %s was never seen", a.Name)
	}
	agent, err = memory(w.host.Agent.Pid(), "VmHWM")
	return run, agent, d, err
}

// most reads the run's high-water mark until the run is gone.
func (w *world) most(ctx context.Context, id string) (most int64) {
	dir := state.At(w.host.State()).Run(fmt.Sprintf("%s@%s@1", app, id))
	for ctx.Err() == nil {
		status, err := dir.Status()
		if err == nil && status != nil {
			n, err := memory(status.PID, "VmHWM")
			if err != nil {
				return most
			}
			most = max(most, n)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return most
}
