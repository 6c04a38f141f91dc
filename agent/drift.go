package agent

import (
	"context"
	"time"

	"gurney/agent/state"
	"gurney/report"
	"gurney/rollout"
)

// drift runs Chef again on what stands here once converge_every is over: for
// those who leave a Chef server and expect that what was changed by hand is
// mended. It costs the servers nothing while all is as it was: only a change
// of state is reported.
func (a *Agent) drift(ctx context.Context, p *app, want rollout.Want) error {
	w := p.Work
	if a.o.ConvergeEvery <= 0 || w == nil || w.URL != "" {
		return nil
	}
	if w.ID != want.ID {
		if want.ID == "" || !p.standsWell(want.ID) {
			return nil
		}
		// Another was taken up since, and touched nothing.
		w = &state.Work{ID: want.ID, Rollout: want.Rollout, Retry: p.Touched.Retry, State: report.OK, Since: w.Since}
		p.Work = w
	}
	if ran := w.State == report.OK || w.Again && w.State == report.Failed; !ran {
		return nil // what never ran well here is not drift
	}
	if p.drift.IsZero() {
		p.drift = w.Since.Add(a.jittered(a.o.ConvergeEvery))
	}
	if time.Until(p.drift) > 0 {
		return nil
	}
	words, err := a.says(ctx, p)
	if err != nil {
		return err
	}
	now := time.Now()
	p.drift = time.Time{}
	if !words.chef {
		w.Since = now
		return nil
	}
	p.Work = &state.Work{
		ID: w.ID, Rollout: w.Rollout, Retry: w.Retry, Attempt: w.Attempt, Told: w.Told,
		Again: true, Was: w.State, Since: now, Start: now,
	}
	return a.advance(ctx, p, want)
}

// driftOver forgets a time for drift that has come while something else was on:
// a time that is past would have the loop look at nothing else. It is set anew
// once that is over.
func (p *app) driftOver(now time.Time) {
	if !now.Before(p.drift) {
		p.drift = time.Time{}
	}
}

// leave gives up a converge for drift that has not begun: its time comes
// again.
func (a *Agent) leave(p *app) {
	w := p.Work
	w.State, w.Since = w.Was, time.Now()
	a.save(p)
}
