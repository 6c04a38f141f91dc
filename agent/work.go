package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"time"

	"gurney/agent/hold"
	"gurney/agent/kin"
	"gurney/agent/state"
	"gurney/report"
)

func maintenanceNote(reason string) string {
	if reason == "" {
		return "maintenance"
	}
	return fmt.Sprintf("maintenance: %q", reason)
}

func haltedNote(failed, limit int) string {
	return fmt.Sprintf("halted: %d failed, at most %d may (max_failures)", failed, limit-1)
}

// hold reports that the work waits for the maintenance to end; once.
func (a *Agent) hold(p *app, note string) {
	p.after(a.pace.held)
	w := p.Work
	if w.State == report.Held && w.Note == note {
		return
	}
	w.State, w.Note, w.Since, p.lifted = report.Held, note, time.Now(), ""
	p.log.Info().Str("id", w.ID).Str("note", note).Msg("held: it runs when the maintenance ends")
	a.tell(p, w.ID, "held"+strconv.FormatInt(w.Since.UnixNano(), 36), report.Result{State: report.Held, Start: w.Start.UnixMilli(), Error: note})
	a.save(p)
}

// accept reports that the work was taken up; once.
func (a *Agent) accept(p *app) {
	w := p.Work
	if w.State == report.Accepted {
		return
	}
	now := time.Now()
	w.State, w.Note, w.Since, w.Start = report.Accepted, "", now, now
	if a.o.Splay > 0 {
		w.NotUntil = now.Add(rand.N(a.o.Splay))
	}
	if w.Again {
		p.log.Info().Str("id", w.ID).Msg("converging again")
		a.save(p)
		return
	}
	p.log.Info().Str("id", w.ID).Msg("accepted")
	a.tell(p, w.ID, fmt.Sprintf("accepted%d.%d", w.Attempt, w.Retry), report.Result{State: report.Accepted, Start: now.UnixMilli(), Attempt: w.Attempt + 1, Agent: a.o.Version})
	a.save(p)
}

// start starts the run of accepted work, when its time has come and no other
// run goes on.
func (a *Agent) start(ctx context.Context, p *app, spec state.Spec, inMaintenance bool) error {
	w := p.Work
	if wait := time.Until(w.NotUntil); wait > 0 {
		p.after(wait)
		return nil
	}
	if a.running != nil {
		return nil // its end makes all apps due
	}
	lock, err := a.o.Dir.LockRun(p.name + " " + w.ID)
	var busy *state.BusyError
	if errors.As(err, &busy) {
		if !a.waiting {
			p.log.Info().Str("by", busy.By).Msg("another run goes on: waiting for it")
		}
		a.awaitFree(ctx)
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Release() // the run has its own hold by then
	if ready, err := a.drain(ctx, p, inMaintenance); err != nil || !ready {
		return err
	}
	spec.Again = w.Again
	spec.Patience = &state.Patience{Start: w.Start, Until: w.Deadline, Wait: backoffFor(w.Attempt, a.pace.worldFirst, a.pace.worldMost)}
	spec.Undrained = w.URL != "" && w.Drain == nil && !inMaintenance
	spec.App, spec.ID, spec.Node, spec.URL, spec.Attempt = p.name, w.ID, a.o.Node, w.URL, w.Attempt+1
	if w.URL == "" {
		d, err := a.deployment(ctx, p.name, w.ID)
		if err != nil {
			return err
		}
		spec.URL, spec.Manifest = d.URL, d.Manifest
	}
	hold.At(ctx.Done(), hold.Accepted)
	dir, err := a.o.Dir.NewRun(spec)
	if err != nil {
		w.Attempt = spec.Attempt
		a.unstarted(p, err)
		return nil
	}
	// In the journal before the process is: a crash between looks like a run
	// that was cut off at once, and is one.
	w.Attempt, w.Run = spec.Attempt, dir.Name
	a.save(p)
	hold.At(ctx.Done(), hold.Starting)
	cmd, err := a.spawn(dir, lock)
	if err != nil {
		w.Run = ""
		a.unstarted(p, fmt.Errorf("start the run: %w", err))
		return nil
	}
	p.log.Info().Str("id", w.ID).Int("attempt", w.Attempt).Int("pid", cmd.Process.Pid).Msg("run started")
	a.running, p.trouble = p, ""
	a.group.Go(func() error {
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }() // may outlive the agent, as its run does
		select {
		case <-ctx.Done():
		case <-done:
			kin.Bury(ctx, dir, p.log)
			a.end(ctx, p)
		}
		return nil
	})
	return nil
}

// unstarted counts an attempt that this node could not even begin, with a full
// disk or without memory: the world's fault, which is reported in the end.
func (a *Agent) unstarted(p *app, err error) {
	w := p.Work
	p.ranDrained(false)
	r := report.Result{V: report.Version, State: report.Failed, Phase: report.PhaseAccepted, Error: err.Error(), Start: w.Start.UnixMilli(), Attempt: w.Attempt}
	a.world(p, state.Ending{Result: r, Wait: true})
}

// end tells the loop that the app's run is gone, while there is a loop.
func (a *Agent) end(ctx context.Context, p *app) {
	select {
	case <-ctx.Done():
	case a.ended <- p:
	}
}

// spawn starts `gurney run` in a session of its own, with the lock as file
// descriptor 3: it is held until the run is gone, whatever becomes of the
// agent.
func (a *Agent) spawn(dir state.RunDir, lock *state.Lock) (*exec.Cmd, error) {
	out, err := os.OpenFile(dir.Path(state.Stderr), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	argv := append(append([]string(nil), a.o.Command...), dir.Path(""))
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(a.environ(), lockVariable+"=3"), out, out
	cmd.ExtraFiles = []*os.File{lock.File()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, cmd.Start()
}

// lockVariable tells the run by which file descriptor it has the lock.
const lockVariable = "GURNEY_RUN_LOCK"

func (a *Agent) environ() []string {
	if a.o.Environ != nil {
		return slices.Clone(a.o.Environ)
	}
	return os.Environ()
}

// awaitFree makes all apps due once the lock of the one run is free.
func (a *Agent) awaitFree(ctx context.Context) {
	if a.waiting {
		return
	}
	a.waiting = true
	a.group.Go(func() error {
		lock, err := a.o.Dir.WaitRun(ctx, "gurney agent", nil)
		if err == nil {
			lock.Release()
		}
		select {
		case <-ctx.Done():
		case a.free <- struct{}{}:
		}
		return nil
	})
}

// gone says whether the app's run has ended: it left its result, or nobody
// holds the lock. That somebody does is no proof that it goes on, for it may
// be a run by hand.
func (a *Agent) gone(p *app) bool {
	if e, err := a.o.Dir.Run(p.Work.Run).Ending(); err == nil && e != nil {
		return true
	}
	lock, err := a.o.Dir.LockRun("gurney agent")
	lock.Release()
	return err == nil
}

// resume picks up what the agent before this one left: runs that still go on,
// and runs that ended with nobody there to collect them.
func (a *Agent) resume(ctx context.Context) {
	for _, name := range a.o.Apps {
		p := a.apps[name]
		p.refresh, p.audit = true, true
		if a.birth {
			p.stale = staleMost // a node is born by the leader's word
		}
		p.soon()
		if p.Work == nil || p.Work.Run == "" {
			continue
		}
		run := a.o.Dir.Run(p.Work.Run)
		gone := a.gone(p)
		if e, err := run.Ending(); gone && err == nil && e != nil {
			a.collect(p)
			continue
		}
		if !gone {
			p.log.Info().Str("id", p.Work.ID).Msg("the run goes on: picked it up")
		}
		a.running = p
		a.group.Go(func() error {
			lock, err := a.o.Dir.WaitRun(ctx, "gurney agent", nil)
			for ; err != nil && ctx.Err() == nil; lock, err = a.o.Dir.WaitRun(ctx, "gurney agent", nil) {
				p.log.Error().Err(err).Msg("can't say whether the run goes on")
				select {
				case <-ctx.Done():
				case <-time.After(a.pace.retryMax):
				}
			}
			if ctx.Err() != nil {
				lock.Release()
				return nil
			}
			kin.Bury(ctx, run, p.log) // before another run can begin
			lock.Release()
			a.end(ctx, p)
			return nil
		})
	}
}
