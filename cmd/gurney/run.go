package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"

	"gurney/agent/kin"
	"gurney/agent/run"
	"gurney/agent/state"
	"gurney/chef"
	"gurney/config"
	"gurney/report"
)

// runCmd is a run as the agent starts it: a process of its own, whose result
// is a file.
type runCmd struct {
	Dir string `arg:"" help:"The run's directory."`
}

// lockVariable names the file descriptor by which the agent hands over the
// lock of the one run.
const lockVariable = "GURNEY_RUN_LOCK"

func (r *runCmd) Run(ctx context.Context, p *process, c *cli) error {
	cfg, _, err := c.configuration(p)
	if err != nil {
		return err
	}
	lock, err := adoptLock(p)
	if err != nil {
		return err
	}
	defer lock.Release()
	dir := state.RunAt(r.Dir)
	spec, err := dir.Spec()
	if err != nil {
		return err
	}
	ending, err := carry(ctx, p, cfg, state.At(cfg.StateDir), dir, spec, nil, nil)
	if err != nil {
		return err
	}
	return told(runStatus(runEnding{ending}))
}

func adoptLock(p *process) (*state.Lock, error) {
	fd, err := strconv.ParseUint(p.getenv(lockVariable), 10, 16)
	if err != nil {
		return nil, usageError("run is started by the agent; gurney apply runs a manifest by hand")
	}
	_ = os.Unsetenv(lockVariable) // commands must not take it for theirs
	return state.Adopt(uintptr(fd))
}

// carry runs spec in dir, with this machine's own facts.
func carry(ctx context.Context, p *process, cfg *config.Config, home state.Dir, dir state.RunDir, spec state.Spec,
	console io.Writer, adjust func(*run.Options)) (state.Ending, error) {
	frugal(p)
	out, err := run.OpenLog(dir, console)
	if err != nil {
		return state.Ending{}, err
	}
	defer func() {
		if err := out.Close(); err != nil {
			_, _ = fmt.Fprintf(p.Stderr, "gurney: the log is not whole: %v\n", err)
		}
	}()
	log := out.Logger().Level(logLevel(cfg.Log))
	kin.BuryAll(ctx, home, dir.Name, log)
	fetcher, allow, _, err := newFetcher(ctx, cfg, log)
	if err != nil {
		return state.Ending{}, err
	}
	host, err := chef.ThisHost(ctx, cfg.Chef.HostnamePrefixFile)
	if err != nil {
		return state.Ending{}, err
	}
	o := run.Options{
		Config: cfg, Fetcher: fetcher, Allow: allow, Dir: dir, Chef: home.Chef(), Host: host,
		Env: p.Env, Version: version, Log: log, Out: out,
	}
	if adjust != nil {
		adjust(&o)
	}
	return run.Run(ctx, spec, o), nil
}

// frugal keeps garbage small. Nearly all of a run's memory is buffers that are
// used again and again, so collections are rare all the same: a release of
// 300 MB peaks 8 MB lower (10 for zstd's level 19), in the same time. An agent
// of hundreds of deployments keeps 2 MB less.
func frugal(p *process) {
	if p.getenv("GOGC") == "" {
		debug.SetGCPercent(20)
	}
}

// runEnding tells a run's ending in the words of exit statuses.
type runEnding struct{ state.Ending }

func (e runEnding) ok() bool {
	return e.Result.State == report.OK || e.Result.State == report.Skipped
}
func (e runEnding) refused() bool     { return e.Result.State == report.Refused || e.Hold }
func (e runEnding) interrupted() bool { return e.Result.State == report.Interrupted }
func (e runEnding) unreachable() bool {
	return e.Wait && (e.Result.Phase == report.PhaseFetch || e.Result.Phase == report.PhaseManifest)
}
