package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"gurney/agent/state"
	"gurney/kv"
	"gurney/manifest"
	"gurney/report"
)

// What ends a drain.
const (
	UntilPassing = "passing" // the run ended well, and the node's services pass again
	UntilEnded   = "ended"   // the run is over, well or not
)

// words are what a deployment's manifest says to the agent, or what the
// configuration says where the manifest is silent.
type words struct {
	id          string // of the deployment; "": none was read yet
	maintenance string
	chef        bool // Chef converges it
	drain       bool
	drainWait   time.Duration
}

// says reads the words of the app's work, once.
func (a *Agent) says(ctx context.Context, p *app) (words, error) {
	w := words{id: p.Work.ID, maintenance: a.o.Maintenance, drain: a.o.Drain, drainWait: a.o.DrainWait}
	if p.Work.URL != "" {
		w.wish(p.Work.Drain) // only the run reads a URL's manifest
		return w, nil
	}
	if p.words.id == w.id {
		return p.words, nil
	}
	d, err := a.deployment(ctx, p.name, w.id)
	if err != nil {
		return words{}, err
	}
	// A manifest that does not parse is told by its run.
	if m, _, err := manifest.Parse(d.URL, d.Manifest, manifest.ParseOptions{Env: os.LookupEnv}); err == nil {
		w.hear(m)
	}
	p.words = w
	return w, nil
}

func (w *words) hear(m *manifest.Manifest) {
	w.chef = m.Chef != nil
	if m.Maintenance != "" {
		w.maintenance = m.Maintenance
	}
	if m.Drain != nil {
		w.drain = *m.Drain
	}
	if m.DrainWait != nil {
		w.drainWait = *m.DrainWait
	}
}

func (w *words) wish(d *state.DrainWish) {
	w.drain = d != nil
	if d != nil && d.Wait != nil {
		w.drainWait = *d.Wait
	}
}

// drain takes the node out of service for the run that is about to start;
// ready once those who used the node have had time to go elsewhere. A node in
// maintenance is out of service already; and drift is mended in service: a fleet
// must not lose its nodes by the clock, least of all to a Chef that fails.
func (a *Agent) drain(ctx context.Context, p *app, inMaintenance bool) (ready bool, err error) {
	w, err := a.says(ctx, p)
	if err != nil {
		return false, err
	}
	if !w.drain || inMaintenance || p.Work.Again {
		return true, nil
	}
	on, critical, err := a.o.Consul.Drained(ctx)
	if errors.Is(err, kv.ErrForbidden) {
		a.barred(p, err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if p.Drain == nil || !on { // or somebody has ended it since
		now := time.Now()
		p.Drain = &state.Drain{Since: now, Until: now.Add(w.drainWait), Before: critical}
		p.log.Info().Str("id", w.id).Dur("wait", w.drainWait).Msg("draining")
		a.save(p) // before the check is there: a crash between leaves none behind
	}
	err = a.o.Consul.Drain(ctx, drainNote(p))
	if errors.Is(err, kv.ErrForbidden) {
		if !on {
			p.Drain = nil // the check was not made
		}
		a.barred(p, err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if wait := time.Until(p.Drain.Until); wait > 0 {
		p.after(wait)
		return false, nil
	}
	return true, nil
}

// drainNote is what people see at the check.
func drainNote(p *app) string { return "gurney runs " + p.name + " " + p.Work.ID }

// barred ends work that is to run drained on a node whose ACL token does not
// let it: no waiting gives it one that does, and to run in service is not what
// was asked. It is no fault of the release.
func (a *Agent) barred(p *app, err error) {
	p.Work.Attempt++
	a.finish(p, report.Result{
		State: report.Failed, Phase: report.PhaseAccepted, Attempt: p.Work.Attempt,
		Error: fmt.Sprintf("%v: give it node:write on this node, or switch drain off", err),
	})
}

// undrain brings the node back into service when it is time: at once where
// the run touched nothing, else by the policy. It asks again while it is not.
func (a *Agent) undrain(ctx context.Context, p *app) error {
	d, w := p.Drain, p.Work
	p.passing = false
	if d == nil || w != nil && w.Run != "" {
		return nil
	}
	switch {
	case d.Idle:
	case w != nil && !w.State.Final():
		return nil // its run is still to come, or comes again
	case !d.Touched || a.o.DrainUntil == UntilEnded:
	case w == nil || w.State != report.OK:
		// The next run that ends well brings it back, or somebody has by hand.
		if on, _, err := a.o.Consul.Drained(ctx); err != nil || on {
			return err
		}
	default:
		_, critical, err := a.o.Consul.Drained(ctx)
		if err != nil {
			return err
		}
		critical = slices.DeleteFunc(critical, func(s string) bool { return slices.Contains(d.Before, s) })
		if len(critical) > 0 {
			if note := "waits for services to pass: " + strings.Join(critical, ", "); note != d.Note {
				d.Note = note
				p.log.Info().Str("id", w.ID).Strs("services", critical).Msg("drained until they pass again")
				a.save(p)
			}
			p.passing = true
			p.after(a.pace.held)
			return nil
		}
	}
	// The check is one for all apps: it goes with the last that wants it.
	others := a.drainedFor(p)
	if len(others) == 0 {
		if err := a.o.Consul.Undrain(ctx); err != nil {
			return err
		}
	}
	p.log.Info().Dur("after", time.Since(d.Since)).Strs("still_drained_for", others).Msg("its drain has ended")
	p.Drain = nil
	a.save(p)
	return nil
}

// drainedFor are the other apps for which the node is out of service.
func (a *Agent) drainedFor(p *app) (apps []string) {
	for _, name := range a.o.Apps {
		if other := a.apps[name]; other != p && other.Drain != nil {
			apps = append(apps, name)
		}
	}
	return apps
}

// ranDrained notes what the run that ended means for the drain.
func (p *app) ranDrained(touched bool) {
	if p.Drain == nil {
		return
	}
	p.Drain.Touched = p.Drain.Touched || touched
	// Nothing began: no reason to stay away while the world is waited for.
	p.Drain.Idle = !p.Drain.Touched
}

// adoptDrain ends, once after the start, a drain that no journal knows: its
// state directory was lost. It is Gurney's own check, nobody else's.
func (a *Agent) adoptDrain(ctx context.Context) {
	if a.adopted {
		return
	}
	on, _, err := a.o.Consul.Drained(ctx)
	if err != nil {
		return // again with the next look
	}
	a.adopted = true
	for _, p := range a.apps {
		on = on && p.Drain == nil
	}
	if !on {
		return
	}
	if err := a.o.Consul.Undrain(ctx); err != nil {
		a.adopted = false
		return
	}
	a.log.Warn().Msg("ended a drain that no run here began")
}
