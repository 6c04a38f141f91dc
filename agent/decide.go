package agent

import (
	"context"
	"errors"
	"slices"
	"time"

	"gurney/kv"
	"gurney/report"
	"gurney/rollout"

	"gurney/agent/hold"
	"gurney/agent/state"
)

const (
	staleWait = 50 * time.Millisecond
	staleMost = 4 // stale reads before the leader is asked
)

// pace is how long the loop waits for what others do.
type pace struct {
	held                  time.Duration // between looks at the local agent while held
	retryMin, retryMax    time.Duration // between tries of what Consul kept from being decided, and of cut runs
	worldFirst, worldMost time.Duration // between tries of what is the world's fault
	worldTime             time.Duration // for all of those, where no timeout is known
}

var calm = pace{
	held: 2 * time.Second, retryMin: time.Second, retryMax: 20 * time.Second,
	worldFirst: 5 * time.Second, worldMost: 5 * time.Minute, worldTime: time.Hour,
}

// paced is calm but where faults are injected, which is in more of a hurry.
func paced() pace {
	return pace{
		held: hold.Pace(calm.held), retryMin: hold.Pace(calm.retryMin), retryMax: hold.Pace(calm.retryMax),
		worldFirst: hold.Pace(calm.worldFirst), worldMost: hold.Pace(calm.worldMost), worldTime: hold.Pace(calm.worldTime),
	}
}

// consider brings the app one step on: it reads the record where that is due,
// decides what should run, and takes it up. It is called again whenever
// something may have changed.
func (a *Agent) consider(ctx context.Context, p *app) {
	if p.unsaved {
		a.save(p)
	}
	if err := a.decide(ctx, p); err != nil {
		if ctx.Err() != nil {
			return
		}
		// A fleet must not come back all at once when its servers do.
		wait := a.jittered(backoffFor(p.failed, a.pace.retryMin, a.pace.retryMax))
		p.failed++
		p.doubt = err.Error()
		p.log.Warn().Err(err).Stringer("again_in", wait.Round(time.Millisecond)).Msg("can't decide yet; nothing changes until then")
		p.after(wait)
		return
	}
	p.failed, p.doubt = 0, ""
}

// backoffFor doubles least with each failure, up to most.
func backoffFor(failures int, least, most time.Duration) time.Duration {
	return min(most, least<<min(failures, 20))
}

func (a *Agent) decide(ctx context.Context, p *app) error {
	if err := a.undrain(ctx, p); err != nil {
		return err
	}
	if p.refresh {
		if err := a.readRecord(ctx, p); err != nil {
			return err
		}
	}
	if w := p.Work; w != nil && w.Run != "" {
		if p.audit && p.Drain != nil { // Consul may have lost its check, with all that it knew
			if err := a.o.Consul.Drain(ctx, drainNote(p)); err != nil {
				return err
			}
		}
		p.audit = false
		return nil // it goes on; collect looks again
	}
	want, known, err := a.want(ctx, p)
	if err != nil || !known {
		return err
	}
	p.wanted = want
	if err := a.dropSuperseded(ctx, p, want.ID); err != nil {
		return err
	}
	a.tellAgain(ctx, p, want)
	if a.settled(p, want) {
		if p.Record != nil {
			p.turned(time.Now(), want.ID == "" || p.standsWell(want.ID))
		}
		if err := a.nextURLEvent(ctx, p); err != nil {
			return err
		}
		return a.drift(ctx, p, want)
	}
	if w := p.Work; w == nil || w.ID != want.ID || w.State.Final() {
		a.takeUp(p, want)
	}
	return a.advance(ctx, p, want)
}

// readRecord reads the record, stale: any server may answer. While it is
// older than the hint it is read again soon, and in the end by the leader. An
// answer that is empty or older than what the journal has changes nothing.
func (a *Agent) readRecord(ctx context.Context, p *app) error {
	how := kv.Stale
	if p.stale >= staleMost {
		how = kv.Default
	}
	r, _, err := rollout.ReadRecord(ctx, a.o.Consul, p.name, how)
	if err != nil {
		return err
	}
	if r != nil && (p.Record == nil || r.Seq > p.Record.Seq) {
		p.Record = r
		if p.Born == 0 {
			p.Born = r.Seq
		}
		a.save(p)
	}
	late := p.atLeast > 0 && (p.Record == nil || p.Record.Seq < p.atLeast) && how == kv.Stale
	if late || p.Record != nil && (r == nil || r.Seq < p.Record.Seq) {
		a.metrics.stale.Inc() // from a server that lags or has lost all, or a backup
	}
	if late {
		p.stale++
		p.after(staleWait << p.stale)
		return nil
	}
	p.refresh, p.atLeast, p.stale = false, 0, 0
	p.audit = p.audit && r != nil && r.Seq == p.Record.Seq
	a.wentBack(ctx, p, r, how)
	return nil
}

// wentBack notes whether the record, last read as r, is older than the journal's by
// the leader's word: a server that lags says so for a moment, and a restore for good.
func (a *Agent) wentBack(ctx context.Context, p *app, r *rollout.Record, how kv.Consistency) {
	if r != nil && r.Seq < p.Record.Seq && how == kv.Stale {
		var err error
		if r, _, err = rollout.ReadRecord(ctx, a.o.Consul, p.name, kv.Default); err != nil {
			return // nothing is known
		}
	}
	if r == nil {
		return
	}
	older := r.Seq < p.Record.Seq
	if older && !p.behind {
		p.log.Warn().Int64("seq", r.Seq).Int64("known", p.Record.Seq).Msg("Consul's record is older than what this node knows, as after a restore: it stays as it is until the next deployment")
	}
	p.behind = older
}

// want is what the record asks of this node; known is false when that can't
// be said now.
func (a *Agent) want(ctx context.Context, p *app) (want rollout.Want, known bool, err error) {
	if p.Record == nil {
		return rollout.Want{}, true, nil
	}
	r := *p.Record
	if a.birth && r.Rollout != nil && p.Touched.ID != r.Rollout.ID {
		// A node that is being born is no part of a rollout. One that boots again
		// and has begun it before is, and must not serve the other for a moment.
		r.Rollout = nil
	}
	var facts *rollout.Facts
	if r.Rollout != nil && r.Rollout.Selector.Service != "" {
		services, err := a.o.Consul.LocalServices(ctx)
		if err != nil {
			return rollout.Want{}, false, err
		}
		facts = &rollout.Facts{Services: services}
	}
	want, known = rollout.Desired(r, rollout.Node{Name: a.o.Node, Born: p.Born}, facts, p.Touched)
	return want, known, nil
}

// settled says whether nothing is to be done for want.
func (a *Agent) settled(p *app, want rollout.Want) bool {
	if want.ID == "" {
		return true
	}
	w := p.Work
	if w != nil && w.ID == want.ID {
		// A superseded one is wanted anew where the rollout was paused, or not
		// open here, in between.
		if !w.State.Final() || w.State == report.Superseded {
			return false
		}
		asked := want.Retry > w.Retry
		again := asked && want.Named || (asked || p.again && a.pastGate()) && w.State != report.OK
		return !again
	}
	// It stands here already: another was taken up since and never touched
	// anything.
	asked := want.Named && want.Retry > p.Touched.Retry
	return p.Touched.ID == want.ID && p.Touched.Verdict == string(report.OK) && !asked
}

// standsWell says whether id ran well here, be it before another was taken up.
func (p *app) standsWell(id string) bool {
	w := p.Work
	return w != nil && w.ID == id && green(w.State) || p.Touched.ID == id && p.Touched.Verdict == string(report.OK)
}

// dropSuperseded reports what was waiting here, or was announced, and will
// not run because another deployment took its place. What was announced and is
// nowhere, nobody deployed: a hint costs who forges it nothing, and must not cost
// each node a write.
func (a *Agent) dropSuperseded(ctx context.Context, p *app, by string) error {
	r := p.Record
	if r == nil {
		return nil // only URL events, which see to it themselves
	}
	if w := p.Work; w != nil && w.Again && w.ID != by && !w.State.Final() {
		a.leave(p)
	} else if w != nil && w.ID != by && !w.State.Final() && (by != "" || w.URL == "") {
		if !a.birth || !r.Names(w.ID) { // else it is only left out while the node is born, and wanted again after that
			a.supersede(p, w.ID, by, w.Start)
		}
		w.State, w.Since = report.Superseded, time.Now()
		a.save(p)
		p.soon() // its drain ends
	}
	if len(p.Heard) == 0 || p.atLeast > 0 {
		return nil // the record is still on its way
	}
	var next []string
	for _, id := range p.Heard {
		if id == by && !p.Knows(id) {
			next = append(next, id) // until it is taken up: a crash before must not forget it
		} else if r.Names(id) {
			// Not missed: if it is not for this node, its end is none of this
			// node's business either.
			p.Note(id)
		} else if !p.Knows(id) {
			_, err := a.deployment(ctx, p.name, id)
			switch {
			case err == nil:
				a.supersede(p, id, by, time.Now())
			case ctx.Err() != nil || transient(err):
				return err
			default: // not there, or nothing that this gurney reads: no reason to run nothing else
				p.log.Warn().Err(err).Str("id", id).Msg("a hint names a deployment that can't be read")
			}
		}
	}
	if len(next) < len(p.Heard) {
		p.Heard = next
		a.save(p)
	}
	return nil
}

// takeUp begins the work that want asks for.
func (a *Agent) takeUp(p *app, want rollout.Want) {
	now := time.Now()
	w := &state.Work{ID: want.ID, Rollout: want.Rollout, Retry: want.Retry, State: "", Since: now, Start: now}
	if old := p.Work; old != nil && old.ID == want.ID {
		w.Attempt = old.Attempt // a retry counts on
	}
	p.Work, p.again = w, false
	p.turned(now, false)
	p.Note(w.ID)
	p.Heard = slices.DeleteFunc(p.Heard, func(id string) bool { return id == w.ID })
	a.save(p) // before anybody is told of it: who comes after a crash must know to end it
}

// advance brings work that is not running one step on: held, refused,
// accepted, started.
func (a *Agent) advance(ctx context.Context, p *app, want rollout.Want) error {
	w := p.Work
	on, reason, err := a.o.Consul.Maintenance(ctx)
	if err != nil {
		return err
	}
	spec := state.Spec{MaintenanceReason: reason}
	gate := on && !a.pastGate()
	spec.InMaintenance = gate
	if gate && w.Again {
		a.leave(p)
		return nil
	}
	if gate && w.URL == "" {
		words, err := a.says(ctx, p)
		if err != nil {
			return err
		}
		switch words.maintenance {
		case "skip":
			a.finish(p, report.Result{State: report.Skipped, Error: maintenanceNote(reason)})
			return nil
		case "hold":
			a.hold(p, maintenanceNote(reason))
			return nil
		}
		spec.InMaintenance = false // ignored: decided here, where the manifest is known
	} else if gate && w.State == report.Held {
		p.after(a.pace.held) // only the run knows a URL's manifest, and it said hold
		return nil
	} else if !on && w.State == report.Held && w.URL == "" && p.lifted != w.ID {
		// The newest runs when maintenance ends, though its event was missed.
		p.lifted, p.refresh = w.ID, true
		p.soon()
		return nil
	}
	if want.MaxFailures > 0 && !w.Again {
		failed, halted, err := a.halted(ctx, p, want.MaxFailures)
		if err != nil {
			return err
		}
		if halted {
			a.finish(p, report.Result{State: report.Refused, Error: haltedNote(failed, want.MaxFailures)})
			return nil
		}
	}
	a.accept(p)
	return a.start(ctx, p, spec, on)
}

// deployment reads a deployment: stale first, and by the leader where a
// server does not have it yet.
func (a *Agent) deployment(ctx context.Context, app, id string) (*rollout.Deployment, error) {
	d, err := rollout.ReadDeployment(ctx, a.o.Consul, app, id, kv.Stale)
	if errors.Is(err, rollout.ErrNoDeployment) {
		return rollout.ReadDeployment(ctx, a.o.Consul, app, id, kv.Default)
	}
	return d, err
}

// halted says whether so many nodes failed that none may begin, and how many.
// Any server may say that there are few; that there are too many is the
// leader's word, for a server that lags still shows what a retry deleted.
func (a *Agent) halted(ctx context.Context, p *app, limit int) (failed int, halted bool, err error) {
	for _, how := range []kv.Consistency{kv.Stale, kv.Default} {
		if failed, err = a.failures(ctx, p, how); err != nil || failed < limit {
			return failed, false, err
		}
	}
	return failed, true, nil
}

// failures counts the nodes on which the deployment failed, this one left out.
func (a *Agent) failures(ctx context.Context, p *app, how kv.Consistency) (int, error) {
	keys, err := a.o.Consul.Keys(ctx, report.FailedPrefix(p.name, p.Work.ID), how)
	if err != nil {
		return 0, err
	}
	keys = slices.DeleteFunc(keys, func(k string) bool { return report.Node(k) == a.o.Node })
	return len(keys), nil
}
