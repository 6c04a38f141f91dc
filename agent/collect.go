package agent

import (
	"context"
	"fmt"
	"time"

	"gurney/agent/hold"
	"gurney/agent/state"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

// maxCut is how many runs may be cut off before it is the release's fault.
const maxCut = 3

// collect takes what the app's run left, and finishes the work or prepares
// the next attempt.
func (a *Agent) collect(p *app) {
	for _, other := range a.apps {
		other.soon()
	}
	w := p.Work
	run := a.o.Dir.Run(w.Run)
	w.Run = ""
	ending, err := run.Ending()
	if err != nil {
		p.log.Error().Err(err).Str("run", run.Name).Msg("the run's result can't be read")
	}
	status, err := run.Status()
	if err != nil {
		p.log.Error().Err(err).Str("run", run.Name).Msg("the run's status can't be read")
	}
	touched := status != nil && status.Touched
	if ending == nil {
		ending = cutOff(w, run, status)
	}
	r := ending.Result
	if touched {
		p.Touched = rollout.Touched{ID: w.ID, Retry: w.Retry}
		if r.State == report.OK || r.State == report.Failed {
			p.Touched.Verdict = string(r.State)
		}
	}
	p.ranDrained(touched)
	a.keepRoles(p, ending)
	a.metrics.ended(p.name, *ending)
	switch {
	case ending.Drain != nil:
		w.Attempt-- // it did not begin
		w.Drain = ending.Drain
		a.save(p)
		p.soon()
	case ending.Hold:
		w.Attempt--        // it did not begin
		a.hold(p, r.Error) // its own manifest wanted it
	case r.State == report.Interrupted:
		a.cut(p, r)
	case ending.Wait:
		a.world(p, *ending)
	default:
		a.finish(p, r)
	}
	if err := run.Tidy(); err != nil {
		p.log.Warn().Err(err).Msg("what a killed run left can't be removed")
	}
	if err := a.o.Dir.PruneRuns(p.name, run.Name); err != nil {
		p.log.Warn().Err(err).Msg("old runs can't be removed")
	}
}

// cutOff is the ending of a run that left none: it was killed, or could not
// even begin, which is the node's fault and not the release's.
func cutOff(w *state.Work, run state.RunDir, status *state.Status) *state.Ending {
	r := report.Result{State: report.Interrupted, Phase: report.PhaseAccepted, Error: "the run was cut off", Start: w.Start.UnixMilli(), Attempt: w.Attempt}
	r.End = time.Now().UnixMilli()
	if status == nil {
		r.State, r.Error, r.Tail = report.Failed, "the run did not begin", run.LastWords()
		return &state.Ending{Result: r, Wait: true}
	}
	r.Phase = status.Phase
	return &state.Ending{Result: r}
}

// cut counts a run that was cut off; the third is the release's fault.
func (a *Agent) cut(p *app, r report.Result) {
	w := p.Work
	w.Cut++
	p.trouble = r.Error
	p.log.Warn().Str("id", w.ID).Str("phase", string(r.Phase)).Int("cut", w.Cut).Msg("run interrupted")
	if w.Cut >= maxCut {
		r.State, r.Release = report.Failed, true
		r.Error = "interrupted three times, the last time: " + r.Error
		a.finish(p, r)
		return
	}
	w.NotUntil = time.Now().Add(backoffFor(w.Cut-1, a.pace.retryMin, a.pace.retryMax))
	a.save(p)
	p.soon()
}

// world prepares another attempt at what the world kept from being done,
// until the deadline.
func (a *Agent) world(p *app, e state.Ending) {
	w := p.Work
	if w.Deadline.IsZero() {
		limit := e.Timeout
		if limit <= 0 {
			limit = a.pace.worldTime
		}
		w.Deadline = w.Start.Add(limit)
	}
	wait := backoffFor(w.Attempt-1, a.pace.worldFirst, a.pace.worldMost)
	if !e.Again && time.Now().Add(wait).After(w.Deadline) {
		a.finish(p, e.Result)
		return
	}
	p.trouble = e.Result.Error
	p.log.Warn().Str("id", w.ID).Str("error", e.Result.Error).Stringer("again_in", wait.Round(time.Millisecond)).Msg("not the release's fault: trying again")
	w.NotUntil = time.Now().Add(wait)
	a.save(p)
	p.soon()
}

// finish ends the work with its final result. The letter is posted before the
// journal says so: after a crash between it is posted again, and is the same.
func (a *Agent) finish(p *app, r report.Result) {
	w := p.Work
	now := time.Now()
	if r.Start == 0 {
		r.Start = w.Start.UnixMilli()
	}
	if r.End == 0 {
		r.End = now.UnixMilli()
	}
	r.Agent = a.o.Version
	e := p.log.Info()
	if r.State == report.Failed {
		e = p.log.Error()
	}
	e.Str("id", w.ID).Str("state", string(r.State)).Msg(r.Line())
	if !w.Again || r.State != w.Was {
		a.tell(p, w.ID, fmt.Sprintf("final%d.%d", w.Attempt, w.Retry), r)
	}
	hold.At(nil, hold.Posted)
	w.State, w.Note, w.Since, w.NotUntil, p.drift = r.State, r.Error, now, time.Time{}, time.Time{}
	if p.turned(now, green(r.State)); r.State == report.OK {
		p.Green = now
	}
	a.save(p)
	p.soon()
}

// supersede reports a deployment that will not run here.
func (a *Agent) supersede(p *app, id, by string, since time.Time) {
	note := "not wanted any more"
	if by != "" {
		note = "by " + by
	}
	p.log.Info().Str("id", id).Str("by", by).Msg("superseded")
	a.tell(p, id, "final", report.Result{State: report.Superseded, Start: since.UnixMilli(), Error: note})
	p.Note(id)
}

// nextURLEvent takes up the URL event that waits, where the app has no
// record: that would be the truth.
func (a *Agent) nextURLEvent(ctx context.Context, p *app) error {
	e := p.Event
	if e == nil {
		if w := p.Work; w != nil && w.URL != "" && !w.State.Final() {
			return a.advance(ctx, p, rollout.Want{ID: w.ID})
		}
		return nil
	}
	now := time.Now()
	// The leader's word: an empty stale read is no proof that there is no
	// record, and the journal's may have been deleted since, by who goes back to
	// events with URLs.
	r, _, err := rollout.ReadRecord(ctx, a.o.Consul, p.name, kv.Default)
	switch {
	case err != nil:
		return err
	case r == nil && p.Record != nil:
		p.log.Warn().Int64("seq", p.Record.Seq).Msg("the app's record was deleted: events with URLs are obeyed again")
		p.Record, p.Born, p.Touched, p.behind = nil, 0, rollout.Touched{}, false
	case r != nil && p.Record == nil:
		p.Record, p.Born = r, r.Seq
	}
	p.Event = nil
	if p.Record != nil {
		a.refuse(p, *e, "this app is deployed by its record: use gurney deploy "+p.name)
		a.save(p)
		p.soon() // the record may have come just now
		return nil
	}
	a.own(p, e.ID)
	if w := p.Work; w != nil && !w.State.Final() {
		a.supersede(p, w.ID, e.ID, w.Start)
	}
	p.Work = &state.Work{ID: e.ID, URL: e.URL, Since: now, Start: now}
	p.turned(now, false)
	return a.advance(ctx, p, rollout.Want{ID: e.ID})
}

// refuse reports a URL event that does not run here, and is no work: what
// stands, waits or goes on stays as it is.
func (a *Agent) refuse(p *app, e state.URLEvent, why string) {
	p.log.Warn().Str("id", e.ID).Str("why", why).Msg("refused an event with a URL")
	a.own(p, e.ID)
	a.tell(p, e.ID, "final", report.Result{State: report.Refused, Phase: report.PhaseAccepted, Error: why, Agent: a.o.Version,
		Start: e.At.UnixMilli(), End: time.Now().UnixMilli()})
}

// own notes a URL event whose result this node writes, and lets go of the
// oldest of such results.
func (a *Agent) own(p *app, id string) {
	p.Note(id)
	for _, old := range p.Remember(id, ownResults) {
		p.forget = append(p.forget, report.Key(p.name, old, a.o.Node), report.FailedKey(p.name, old, a.o.Node))
	}
}

// ownResults is how many results of URL events a node leaves in the store for
// each app.
const ownResults = 5
