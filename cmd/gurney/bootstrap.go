package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"

	"gurney/agent"
	"gurney/agent/state"
	"gurney/config"
	"gurney/consul"
)

// Reasons of the maintenances that Gurney begins, and therefore ends.
const (
	bakeReason  = "gurney bake: waits for gurney bootstrap"
	birthReason = "gurney bootstrap: not converged yet"
)

func ours(m consul.Maintenance) bool { return m.Reason == bakeReason || m.Reason == birthReason }

// bootstrapCmd is a node's first boot: it joins the service when it is ready,
// and not before.
type bootstrapCmd struct {
	entered bool // maintenance is on
}

func (b *bootstrapCmd) Run(ctx context.Context, p *process, c *cli) error {
	cfg, path, err := c.configuration(p)
	if err != nil {
		return err
	}
	if err := errors.Join(cfg.RequireAgent(), requireApps(cfg)); err != nil {
		return &exitError{Code: exitUsage, Err: missing(path, err)}
	}
	log := logger(p, cfg.Log)
	if err := b.alone(cfg); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, cfg.Bootstrap.Timeout, fmt.Errorf("not ready after %s (bootstrap.timeout)", cfg.Bootstrap.Timeout))
	defer cancel()
	err = b.bear(bounded, p, cfg, path, log)
	if ctx.Err() != nil {
		return ctx.Err() // stopped: no verdict
	}
	if err == nil {
		return b.ready(ctx, cfg, log)
	}
	if cause := context.Cause(bounded); bounded.Err() != nil {
		if !errors.Is(err, context.DeadlineExceeded) {
			cause = fmt.Errorf("%w: %w", cause, err)
		}
		err = cause
	}
	stays := "the node stays in maintenance"
	if !b.entered {
		stays = "the node is in maintenance only if it was before this"
	}
	log.Error().Err(err).Msg("not ready: " + stays)
	return errors.Join(err, tellOutcome(ctx, log, cfg.Bootstrap.Timeout, "on_failed", cfg.Bootstrap.OnFailed))
}

// ready tells that the node is ready, at this boot as at the first: a group that
// keeps machines in stock asks each time. But what was told of this machine already
// may be over by now, as a lifecycle action is; then its failure is no reason to
// keep back what serves.
func (b *bootstrapCmd) ready(ctx context.Context, cfg *config.Config, log zerolog.Logger) error {
	home := state.At(cfg.StateDir)
	told, err := home.ToldReady()
	if err != nil {
		log.Warn().Err(err).Msg("can't say whether on_ready has run before")
	}
	err = tellOutcome(ctx, log, cfg.Bootstrap.Timeout, "on_ready", cfg.Bootstrap.OnReady)
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // stopped: no verdict
	case err != nil && told:
		log.Warn().Err(err).Msg("on_ready failed, and had run well at an earlier boot of this machine: the node is ready all the same")
		return nil
	case err != nil:
		return err
	}
	if err := home.TellReady(); err != nil {
		log.Warn().Err(err).Msg("the next boot can't know that on_ready has run well")
	}
	return nil
}

// tellOutcome runs the lines that tell others how it came out. They have as
// long as the boot had: one that hangs must not keep the unit from trying again.
func tellOutcome(ctx context.Context, log zerolog.Logger, most time.Duration, list string, lines []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("not done after %s (bootstrap.timeout)", most))
	defer cancel()
	return runLines(ctx, log, list, lines)
}

// alone says that no agent runs here: this node was born, and serves. A
// mistaken call must not take it out of service, nor tell its group that it
// has failed.
func (b *bootstrapCmd) alone(cfg *config.Config) error {
	lock, err := state.At(cfg.StateDir).LockAgent("gurney bootstrap")
	lock.Release()
	var busy *state.BusyError
	if errors.As(err, &busy) {
		return fmt.Errorf("an agent runs here, and does what bootstrap would: %w", err)
	}
	return nil // what else is wrong keeps it from being born
}

// bear converges this node and lets it serve.
func (b *bootstrapCmd) bear(ctx context.Context, p *process, cfg *config.Config, path string, log zerolog.Logger) error {
	home, err := state.Open(cfg.StateDir)
	if err != nil {
		return err
	}
	client, err := newConsul(cfg, log)
	if err != nil {
		return err
	}
	if err := enter(ctx, client, log); err != nil {
		return err
	}
	b.entered = true
	o, err := agentOptions(ctx, cfg, path, client, home, log)
	if err != nil {
		return err
	}
	ag, err := agent.New(o)
	if err != nil {
		return err
	}
	standings, err := ag.Bootstrap(ctx)
	if err != nil {
		return err
	}
	for _, s := range standings {
		if s.ID == "" {
			log.Warn().Str("app", s.App).Msg("nothing is deployed: the node serves without it")
		}
		if !s.Good() {
			return fmt.Errorf("%s: %s is %s: %s", s.App, s.ID, s.State, s.Error)
		}
	}
	if err := runLines(ctx, log, "checks", cfg.Bootstrap.Checks); err != nil {
		return err
	}
	m, err := client.Maintenance(ctx)
	if err != nil {
		return err
	}
	if m.On && !ours(m) { // since before, or put in the place of ours meanwhile
		log.Warn().Str("reason", m.Reason).Msg("converged; the maintenance is somebody else's, and stays")
		return nil
	}
	if err := client.SetMaintenance(ctx, false, ""); err != nil {
		return err
	}
	log.Info().Msg("ready: in service")
	return nil
}

// enter makes sure of maintenance, as soon as the local Consul agent answers.
// One that somebody else began is as good.
func enter(ctx context.Context, client *consul.Client, log zerolog.Logger) error {
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		m, err := client.Maintenance(short)
		if err == nil && !m.On {
			err = client.SetMaintenance(short, true, birthReason)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		last = err
		log.Warn().Err(err).Stringer("again_in", wait.Round(time.Millisecond)).Msg("waiting for the local Consul agent")
	}))
	if err != nil && last != nil {
		err = last // the other says only that time is over
	}
	return err
}

// runLines runs lines with sh -c; the first failure ends them. Where ctx ends
// first, so does what the line has started: TERM, and KILL after lineGrace.
func runLines(ctx context.Context, log zerolog.Logger, list string, lines []string) error {
	for i, line := range lines {
		log.Info().Str("command", line).Msgf("bootstrap.%s %d of %d", list, i+1, len(lines))
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
		cmd.WaitDelay = lineGrace
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		err := cmd.Run()
		if ctx.Err() != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what did not heed TERM
			err = context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("bootstrap.%s %d of %d (%.60s): %w", list, i+1, len(lines), strings.TrimSpace(line), err)
		}
	}
	return nil
}

// lineGrace is how long a line that was told to end may take over it.
const lineGrace = 5 * time.Second
