package agent

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"gurney/agent/state"
	"gurney/event"
)

// live takes up what the agent before this one left, and only then begins to
// decide and to send: where that one was killed with a result posted and
// nothing noted, this one posts it again, and both are one letter.
func (a *Agent) live(ctx context.Context, events <-chan event.Batch) {
	a.resume(ctx)
	a.group.Go(func() error { return a.deliver(ctx) })
	a.group.Go(func() error { return a.loop(ctx, events) })
}

// loop is the agent's one goroutine that decides. Whatever happens makes some
// apps due; those are looked at, one after the other.
func (a *Agent) loop(ctx context.Context, events <-chan event.Batch) error {
	reconcile := time.NewTimer(a.jittered(a.o.Reconcile))
	defer reconcile.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	beat, still := a.beat()
	defer still()
	for {
		a.alive()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-events:
			a.hear(b)
		case <-reconcile.C:
			a.refreshAll()
			reconcile.Reset(a.jittered(a.o.Reconcile))
		case <-a.wake:
			a.refreshAll()
		case q := <-a.asked:
			a.ask(q)
		case ended := <-a.ended:
			a.running = nil
			a.collect(ended)
		case <-a.free:
			a.waiting = false
			for _, app := range a.apps {
				app.soon()
			}
		case <-due.C:
		case <-beat:
		}
		a.considerDue(ctx)
		a.showGreen()
		a.answer()
		due.Reset(a.untilDue())
	}
}

// jittered spreads the fleet's timers by a fifth either way.
func (a *Agent) jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

func (a *Agent) refreshAll() {
	for _, app := range a.apps {
		app.refresh, app.audit = true, true
		app.soon()
	}
}

// soon makes the app due at once.
func (p *app) soon() { p.due = time.Now() }

// after makes the app due in d, where nothing does earlier.
func (p *app) after(d time.Duration) {
	at := time.Now().Add(d)
	if p.due.IsZero() || p.due.After(at) {
		p.due = at
	}
}

// considerDue looks at the apps that are due, in the order of the
// configuration.
func (a *Agent) considerDue(ctx context.Context) {
	a.adoptDrain(ctx)
	for _, name := range a.o.Apps {
		app := a.apps[name]
		if !app.isDue() {
			continue
		}
		app.due = time.Time{}
		a.consider(ctx, app)
		app.driftOver(time.Now())
		a.alive()
		if ctx.Err() != nil {
			return
		}
	}
}

func (p *app) isDue() bool {
	now := time.Now()
	return !p.due.IsZero() && !now.Before(p.due) || !p.drift.IsZero() && !now.Before(p.drift)
}

func (a *Agent) untilDue() time.Duration {
	wait := time.Hour
	for _, app := range a.apps {
		for _, at := range []time.Time{app.due, app.drift} {
			if !at.IsZero() {
				wait = min(wait, max(0, time.Until(at)))
			}
		}
	}
	return wait
}

// hear takes a batch of events in: what it means is in the journals before
// the events are marked as seen, so that a crash between loses none.
func (a *Agent) hear(b event.Batch) {
	if b.Reconnect || b.First {
		a.refreshAll()
	}
	for _, e := range b.Events {
		app, ok := a.apps[e.Name]
		if !ok {
			continue
		}
		payload, err := event.ParsePayload(e.Payload)
		switch {
		case err != nil:
			app.log.Warn().Err(err).Str("event", e.ID).Msg("event left out")
		case payload.Hint != nil:
			a.hint(app, *payload.Hint)
		default:
			a.urlEvent(app, e.ID, payload.URL)
		}
	}
	if len(b.Events)+len(b.Standing) == 0 && !b.First {
		return
	}
	a.seen.Mark(b.Standing...)
	a.seen.Mark(b.Events...)
	if err := a.o.Dir.SaveSeen(a.seen); err != nil {
		a.log.Error().Err(err).Msg("the seen events can't be written")
	}
}

// hint makes the app look at its record, which must be at least as new.
func (a *Agent) hint(p *app, h event.Hint) {
	p.log.Debug().Str("id", h.ID).Int64("seq", h.Seq).Msg("hint")
	p.refresh, p.atLeast = true, max(p.atLeast, h.Seq)
	if !p.Knows(h.ID) && !slices.Contains(p.Heard, h.ID) {
		p.Heard = append(p.Heard, h.ID)
		a.save(p)
	}
	p.soon()
}

// urlEvent keeps Stretcher's kind of event until its turn; one that waited is
// superseded. One that may not run here takes nobody's place.
func (a *Agent) urlEvent(p *app, id, url string) {
	if p.Knows(id) || p.Event != nil && p.Event.ID == id {
		return // an agent before this one was killed before it marked it as seen
	}
	e := state.URLEvent{ID: id, URL: url, At: time.Now()}
	if a.o.Allowed != nil && p.Record == nil { // beside a record that is what is wrong
		if err := a.o.Allowed(url); err != nil {
			a.refuse(p, e, err.Error())
			a.save(p)
			return
		}
	}
	if waiting := p.Event; waiting != nil {
		a.supersede(p, waiting.ID, id, waiting.At)
	}
	p.Event = &e
	a.save(p)
	p.refresh = true
	p.soon()
}

// save writes the app's journal. What can't be written is tried again with
// the next change, or after a while; until then the agent goes by what it has
// in memory.
func (a *Agent) save(p *app) {
	told := p.unsaved
	err := a.o.Dir.SaveJournal(p.Journal)
	if p.unsaved = err != nil; !p.unsaved {
		return
	}
	p.after(a.pace.retryMax)
	if !told {
		p.log.Error().Err(err).Msg("the journal can't be written: it is kept in memory until it can")
	}
}
