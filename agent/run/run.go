// Package run carries one deployment to this machine: one straight function,
// the same for `gurney run`, which the agent starts, and `gurney apply`.
//
//	release:   fetch ─► unpack aside ─► pre ─► chef ─► activate ─► post
//	rsync, mv: fetch ─► pre ─► unpack aside ─► sync ─► chef ─► post
//	no src:    pre ─► post
//
// Then success or failure, which are told the run's log. It knows nothing of
// Consul; what became of it is an Ending.
package run

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"gurney/agent/hold"
	"gurney/agent/kin"
	"gurney/agent/state"
	"gurney/artifact"
	"gurney/chef"
	"gurney/config"
	"gurney/manifest"
	"gurney/report"
)

// Options are what a run needs beside its spec.
type Options struct {
	Config  *config.Config
	Fetcher *artifact.Fetcher
	Allow   artifact.Allowlist // for the manifest's URL and the archive's
	Dir     state.RunDir       // takes status, log and ending
	Chef    string             // chef-solo's state directory
	Host    chef.Host
	Env     func(string) (string, bool) // what templates see
	Version string                      // of this program
	Timeout time.Duration               // of the whole; 0: the manifest's
	Verbose bool                        // name the files that the mirror changes

	Log zerolog.Logger // made by OpenLog
	Out *Log
	// OnStatus sees every change of phase and, in chef and fetch, of detail.
	OnStatus func(state.Status)
}

// runner is one run on its way.
type runner struct {
	Options
	spec    state.Spec
	man     *manifest.Manifest
	status  state.Status
	result  report.Result
	roles   []string  // Chef's, once it has converged; nil: not known
	kin     *kin.Kin  // what this run's part that is on has started
	stopped bool      // Chef's time was over, or the run's
	bytes   int64     // of archives, fetched
	patient bool      // it is tried again: the failure commands wait
	saved   time.Time // when the status was last written
	seconds map[report.Phase]time.Duration
}

// Run carries spec out and returns what became of it; it has then been
// written to the run's directory too. With ctx's end what runs is stopped and
// the result is interrupted.
func Run(ctx context.Context, spec state.Spec, o Options) state.Ending {
	now := time.Now()
	r := &runner{Options: o, spec: spec, seconds: map[report.Phase]time.Duration{}}
	r.result = report.Result{V: report.Version, Start: now.UnixMilli(), Attempt: spec.Attempt, Agent: o.Version}
	r.kin = kin.New(o.Log)
	defer r.kin.Close()
	r.status = newStatus(now)
	r.status.Mark, r.status.Cgroup = r.kin.Mark(), r.kin.Cgroup()
	r.save()
	hold.At(ctx.Done(), hold.Begun)
	ending := r.end(ctx, r.carry(ctx))
	if err := o.Dir.SaveEnding(ending); err != nil {
		o.Log.Error().Err(err).Msg("the result can't be written")
	}
	hold.At(ctx.Done(), hold.Ended)
	return ending
}

// carry is the path of a run, in order.
func (r *runner) carry(ctx context.Context) error {
	if r.Timeout > 0 { // bounds the manifest's way here too
		var cancel context.CancelFunc
		ctx, cancel = within(ctx, r.Timeout)
		defer cancel()
	}
	r.phase(report.PhaseManifest)
	m, err := r.readManifest(ctx)
	if err != nil {
		return err
	}
	r.man = m
	r.Out.Mask(m.Commands.Env)
	if err := r.maintenance(); err != nil {
		return err
	}
	if err := r.drained(); err != nil {
		return err
	}
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	if r.spec.Again && m.Chef != nil {
		return r.again(ctx)
	}
	err = r.strategy(ctx)
	if err != nil && (ctx.Err() != nil || r.stopped) {
		r.sweep(ctx)
	}
	if err != nil && r.world(err) && r.spec.Patience.Lasts(time.Now(), m.Timeout) {
		r.patient = true
		r.Log.Warn().Err(err).Msg("not the release's fault: it is tried again, and only its end is told to the failure commands")
		return err
	}
	r.outcome(ctx, err)
	return err
}

func (r *runner) strategy(ctx context.Context) error {
	switch {
	case r.man.Src == "":
		return r.commandsOnly(ctx)
	case r.man.SyncStrategy == manifest.Release:
		return r.release(ctx)
	default:
		return r.sync(ctx)
	}
}

// commandsOnly is a manifest without src.
func (r *runner) commandsOnly(ctx context.Context) error {
	r.touch(report.PhasePre)
	if err := r.commands(ctx, "pre", r.man.Commands.Pre); err != nil {
		return err
	}
	r.phase(report.PhasePost)
	return r.commands(ctx, "post", r.man.Commands.Post)
}

// deadline bounds what follows by the manifest's timeout, where no other was
// asked for: that one runs already.
func (r *runner) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.Timeout > 0 {
		return ctx, func() {}
	}
	return within(ctx, r.man.Timeout)
}

func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, &TimeoutError{After: timeout})
}

// TimeoutError is the end of a run's time.
type TimeoutError struct{ After time.Duration }

func (e *TimeoutError) Error() string { return fmt.Sprintf("not done after %s (timeout)", e.After) }

// HoldError says that the node is in maintenance and the manifest wants to
// wait for its end (Hold), or to be passed over.
type HoldError struct {
	Hold   bool
	Reason string
}

func (e *HoldError) Error() string {
	if e.Reason == "" {
		return "maintenance"
	}
	return fmt.Sprintf("maintenance: %q", e.Reason)
}

// maintenance honours the node's maintenance by the manifest's word, else by
// the configuration's.
func (r *runner) maintenance() error {
	if !r.spec.InMaintenance {
		return nil
	}
	word := r.Config.Maintenance
	if r.man.Maintenance != "" {
		word = r.man.Maintenance
	}
	switch word {
	case "ignore":
		return nil
	case "skip":
		return &HoldError{Reason: r.spec.MaintenanceReason}
	default:
		return &HoldError{Hold: true, Reason: r.spec.MaintenanceReason}
	}
}

// DrainError says that the node is to be drained before this run begins.
type DrainError struct{ Wait *time.Duration }

func (e *DrainError) Error() string { return "the node is to be drained first" }

// drained gives the run back to the agent where the manifest, else the
// configuration, wants the node drained and the agent could not know.
func (r *runner) drained() error {
	wanted := r.Config.Drain
	if r.man.Drain != nil {
		wanted = *r.man.Drain
	}
	if !r.spec.Undrained || !wanted {
		return nil
	}
	return &DrainError{r.man.DrainWait}
}

// outcome runs the manifest's success or failure commands, which read the
// run's log on standard input; none of a dry run, which changes nothing. They run
// after a timeout and an interruption too, on time of their own.
func (r *runner) outcome(ctx context.Context, err error) {
	list, name := r.man.Commands.Success, "success"
	if err != nil {
		list, name = r.man.Commands.Failure, "failure"
		r.Log.Error().Err(err).Msg("failed")
	}
	if len(list) == 0 || r.man.DryRun() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outcomeTime)
	defer cancel()
	// What a run that went well has started stays, also where these are stopped.
	r.kin = r.kin.After()
	defer r.kin.Close()
	if err := r.outcomeCommands(ctx, name, list); err != nil {
		r.Log.Warn().Err(err).Msg("the result stays as it is")
	}
	if ctx.Err() != nil {
		r.sweep(ctx)
	}
}

// sweep ends what a run that was stopped has left behind: Chef starts
// everything in sessions of its own, and commands may.
func (r *runner) sweep(ctx context.Context) {
	found, err := r.kin.Sweep(context.WithoutCancel(ctx), syscall.SIGTERM)
	if found > 0 {
		r.Log.Info().Int("processes", found).Msg("ended what the stopped run had left behind")
	}
	if err != nil {
		r.Log.Error().Err(err).Msg("the stopped run leaves something behind")
	}
}

// outcomeTime is what success or failure commands get in all.
const outcomeTime = 5 * time.Minute

// cause is why ctx ended, where that is what err tells; else err.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil && err != nil {
		if c := context.Cause(ctx); c != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
			return c
		}
	}
	return err
}
