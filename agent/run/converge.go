package run

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"gurney/agent/state"
	"gurney/chef"
	"gurney/report"
)

const (
	chefAttempts = 3               // runs that Chef may ask for (exit 213)
	busyWait     = 3 * time.Second // between looks whether Chef's lock is free
)

// converge runs chef-solo on dir until it says what became of the converge:
// it waits for another run's lock, and runs again where Chef upgraded itself.
func (r *runner) converge(ctx context.Context, dir string) error {
	options, err := r.chefOptions(dir)
	if err != nil {
		return err
	}
	noted := context.AfterFunc(ctx, r.kin.Note)
	defer noted()
	for attempt := 1; ; attempt++ {
		r.Log.Info().Str("node_json", r.result.NodeJSON).Str("output", options.Output).Msg("run chef-solo")
		v, err := r.chefOnce(ctx, options)
		if err != nil {
			return err
		}
		r.result.Updated, r.result.Total, r.result.Reboot = v.Updated, v.Total, v.Reboot
		switch {
		case v.Success:
			r.Log.Info().Int("updated", v.Updated).Int("total", v.Total).Bool("reboot", v.Reboot).Msg("converged")
			if !options.WhyRun {
				r.roles = v.Roles
			}
			return nil
		case v.Rerun && attempt < chefAttempts:
			r.Log.Info().Msg("Chef upgraded itself and wants to be run again")
			options.Append = true
			continue
		case v.Rerun:
			v.Why = fmt.Sprintf("Chef wants to be run again after %d runs", attempt)
		}
		r.stopped = r.stopped || v.TimedOut || v.Interrupted || v.Killed
		r.result.Exit, r.result.Tail = v.Exit, v.Tail
		if ctx.Err() != nil && !v.TimedOut {
			return cause(ctx, ctx.Err())
		}
		return &ConvergeError{Why: v.Why, Killed: v.Killed}
	}
}

// progress is how far Chef is; more resources may be added as it goes.
func progress(p chef.Progress) string {
	return fmt.Sprintf("%d of ~%s", p.Done, report.Count(p.Total, "resource", "resources"))
}

// chefOnce waits for Chef's lock where another run holds it.
func (r *runner) chefOnce(ctx context.Context, o chef.Options) (chef.Verdict, error) {
	for {
		v, err := chef.Converge(ctx, o)
		var busy *chef.BusyError
		if !errors.As(err, &busy) {
			return v, err
		}
		detail := "waiting for Chef's lock"
		if busy.PID != 0 {
			detail = fmt.Sprintf("waiting for Chef's lock (pid %d)", busy.PID)
		}
		if r.status.Detail != detail {
			r.Log.Info().Int("pid", busy.PID).Msg("another chef-solo holds the lock: waiting for it")
			r.detail(detail)
		}
		o.Append = true
		select {
		case <-ctx.Done():
			// Whoever holds it, it is not the release's fault.
			return chef.Verdict{}, fmt.Errorf("%w: %w", busy, cause(ctx, ctx.Err()))
		case <-time.After(busyWait):
		}
	}
}

func (r *runner) chefOptions(dir string) (chef.Options, error) {
	m, c := r.man.Chef, r.Config.Chef
	command, err := chef.Find(c.Command)
	if err != nil {
		return chef.Options{}, err
	}
	choice, err := chef.Resolve(filepath.Join(dir, m.Nodes), r.Host)
	if err != nil {
		return chef.Options{}, err
	}
	r.result.NodeJSON = choice.Stem
	r.Log.Info().Str("node_json", choice.JSON).Str("by", choice.How).Msg("picked")
	environment := c.Environment
	if m.Environment != "" {
		environment = m.Environment
	}
	// The manifest's word bounds one converge; the configuration's bounds
	// what any manifest may ask.
	timeout := m.Timeout
	if c.Timeout > 0 && c.Timeout < timeout {
		timeout = c.Timeout
	}
	return chef.Options{
		Command: command, Release: dir, State: r.Chef, Node: r.spec.Node, JSON: choice.JSON,
		Config: m.Config, Environment: environment, RunList: m.RunList, LogLevel: m.LogLevel,
		WhyRun: m.WhyRun, License: c.License, Timeout: timeout,
		Env:    []string{"GURNEY_APP=" + r.spec.App, "GURNEY_ID=" + r.spec.ID, "GURNEY_RUN=" + r.Dir.Name, r.kin.Env()},
		Attr:   r.kin.Enter,
		Output: r.Dir.Path(state.ChefLog), Log: r.Log,
		OnProgress: func(p chef.Progress) {
			if p.Total > 0 {
				r.detail(progress(p))
			}
		},
	}, nil
}

// ConvergeError is a converge that failed: the release's fault, but where
// Chef was killed, which is an interruption.
type ConvergeError struct {
	Why    string
	Killed bool
}

func (e *ConvergeError) Error() string { return e.Why }
