package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"gurney/agent/state"
)

// CommandError is a command of the manifest that failed: the release's fault.
type CommandError struct {
	List    string // pre, post, success or failure
	Number  int    // in its list, from 1
	Of      int
	Command string // its beginning
	Exit    int
	Err     error
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("%s command %d of %d (%s): %v", e.List, e.Number, e.Of, e.Command, e.Err)
}

// Unwrap returns the cause.
func (e *CommandError) Unwrap() error { return e.Err }

// commandGrace is what a command gets between SIGTERM and SIGKILL.
const commandGrace = 5 * time.Second

// commands runs a list with sh -c; the first failure ends it.
func (r *runner) commands(ctx context.Context, list string, commands []string) error {
	for i, c := range commands {
		name := r.brief(c)
		r.Log.Info().Str("command", name).Msgf("%s %d of %d", list, i+1, len(commands))
		tail := newTail(tailBytes)
		r.Out.follow(tail)
		err := r.sh(ctx, c, nil, r.Out)
		r.Out.follow(nil)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			r.result.Tail = tail.String()
			return fmt.Errorf("%s command %d of %d (%s): %w", list, i+1, len(commands), name, cause(ctx, ctx.Err()))
		}
		e := &CommandError{List: list, Number: i + 1, Of: len(commands), Command: name, Err: err}
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			e.Exit = exit.ExitCode()
			if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
				e.Exit = 128 + int(s.Signal())
			}
		}
		r.result.Exit, r.result.Tail = e.Exit, tail.String()
		return e
	}
	return nil
}

// outcomeCommands runs success or failure commands with the log on stdin, as
// far as it went when they began: what they print goes into it, too.
func (r *runner) outcomeCommands(ctx context.Context, list string, commands []string) error {
	for i, c := range commands {
		r.Log.Info().Str("command", r.brief(c)).Msgf("%s %d of %d", list, i+1, len(commands))
		if err := r.withLog(func(log io.Reader) error { return r.sh(ctx, c, log, r.Out) }); err != nil {
			return &CommandError{List: list, Number: i + 1, Of: len(commands), Command: r.brief(c), Err: err}
		}
	}
	return nil
}

// withLog hands over the log, as far as it goes now and is kept.
func (r *runner) withLog(do func(io.Reader) error) error {
	var parts []io.Reader
	for _, name := range []string{state.RunLog + ".1", state.RunLog} {
		f, err := os.Open(r.Dir.Path(name))
		if errors.Is(err, fs.ErrNotExist) && name != state.RunLog {
			continue // it was never that long
		}
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		parts = append(parts, io.NewSectionReader(f, 0, info.Size()))
	}
	return do(io.MultiReader(parts...))
}

// sh runs one command in a process group of its own. When ctx ends the whole
// group gets SIGTERM, and SIGKILL after the grace: no child stays behind.
func (r *runner) sh(ctx context.Context, command string, stdin io.Reader, out io.Writer) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, out, out
	cmd.Env = append(os.Environ(), r.kin.Env())
	for k, v := range r.man.Commands.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r.kin.Enter(cmd.SysProcAttr)
	cmd.Cancel = func() error {
		r.kin.Note()
		return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	}
	// A daemon that the command started keeps its output open: that is no
	// reason to wait for it.
	cmd.WaitDelay = commandGrace
	err := cmd.Run()
	if ctx.Err() != nil && cmd.Process != nil {
		killGroup(cmd.Process.Pid)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	return err
}

// killGroup ends what is left of a group, after the grace where it obeys
// SIGTERM slowly.
func killGroup(pid int) {
	for end := time.Now().Add(commandGrace); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if syscall.Kill(-pid, 0) != nil {
			return
		}
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
}

// brief is the beginning of a command, in one line, without secrets.
func (r *runner) brief(command string) string {
	const limit = 100
	line := strings.Join(strings.Fields(r.Out.mask(command)), " ")
	if len(line) > limit {
		line = strings.ToValidUTF8(line[:limit], "") + "…"
	}
	return line
}
