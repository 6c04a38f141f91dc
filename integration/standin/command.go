package standin

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// killAfter is what a command has between TERM and KILL once SIGINT came.
const killAfter = 3 * time.Second

// shell runs a command in a session of its own, as Chef does: a signal to
// Chef's process group does not reach it.
func (c *run) shell(line string, r *resource) (code int, stdout, stderr string, e *exception) {
	var out, errs bytes.Buffer
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Dir = r.prop("cwd", "")
	cmd.Env = os.Environ()
	if set, ok := r.props["environment"].(map[string]any); ok {
		for k, v := range set {
			cmd.Env = append(cmd.Env, k+"="+text(v))
		}
	}
	cmd.Stdout, cmd.Stderr = &out, &errs
	if truth(r.props["live_stream"]) {
		c.out.printf("\n")
		cmd.Stdout = io.MultiWriter(&out, writer{c.out})
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, "", "", errno(err, line)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is in ProcessState
	}()
	select {
	case <-done:
	case <-c.signals.interrupt:
		c.end(cmd.Process.Pid, done)
		return 0, "", "", c.interrupted()
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String(), c.out.broken()
}

// end stops the running command: TERM, and KILL when it is still there three
// seconds later or at a second SIGINT.
func (c *run) end(pid int, done <-chan struct{}) {
	_ = syscall.Kill(-pid, syscall.SIGTERM)
	over := time.NewTimer(killAfter)
	defer over.Stop()
	select {
	case <-done:
		return
	case <-over.C:
	case <-c.signals.interrupt:
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
}

// writer lets a command's output through to Chef's own.
type writer struct{ *output }

func (w writer) Write(p []byte) (int, error) {
	w.printf("%s", p)
	return len(p), nil
}
