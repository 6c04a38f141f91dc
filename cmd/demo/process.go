package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a child in the background whose end is always waited for.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed at its end
}

// start runs argv with its output in a file. The child has a process group of
// its own, so that a Ctrl-C is the demo's alone, which stops it in order; and
// should the demo be killed, the kernel kills the child.
func start(dir string, env []string, output string, argv ...string) (*process, error) {
	out, err := os.OpenFile(output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the child has its own
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd, make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(p.done)
	}()
	return p, nil
}

// ended says whether the child is gone, and how it went.
func (p *process) ended() (string, bool) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.String(), true
	default:
		return "", false
	}
}

// stop ends the child: SIGTERM, and SIGKILL after the grace.
func (p *process) stop(grace time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // gone already is as good
	select {
	case <-p.done:
		return nil
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not end within %s of SIGTERM", filepath.Base(p.cmd.Path), grace)
	}
}

// adopt makes this process the parent of every descendant that loses its own.
// An agent's run outlives it by design, so at the end of the demo a run, its
// chef-solo and what that started may still be there; so they can be found.
func adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of orphans: %w", err)
	}
	return nil
}

// sweep ends the children that are left, and theirs: SIGTERM, which a run
// takes as a wish to stop Chef in order, and SIGKILL after the grace. No child
// may be waited for elsewhere by then.
func sweep(grace time.Duration) error {
	deadline := time.Now().Add(grace)
	asked := map[int]bool{}
	for {
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if err != nil || pid == 0 {
				break
			}
		}
		left, err := children()
		if err != nil || len(left) == 0 {
			return err
		}
		for _, pid := range left {
			switch {
			case time.Now().After(deadline):
				_ = syscall.Kill(pid, syscall.SIGKILL)
			case !asked[pid]:
				asked[pid] = true
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// children are the processes whose parent this one is.
func children() ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var out []int
	self := strconv.Itoa(os.Getpid())
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		// proc_pid_stat(5): "pid (name) state ppid …", and a name may hold anything.
		rest := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
		if len(rest) < 2 || string(rest[1]) != self {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			out = append(out, pid)
		}
	}
	return out, nil
}
