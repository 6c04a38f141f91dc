package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"gurney/rollout"
	"gurney/screen"
)

// statusCmd shows what the records say, and how the nodes stand.
type statusCmd struct {
	App    string `arg:"" optional:"" help:"The app; default: all that have a record."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// AfterApply is kong's hook.
func (s *statusCmd) AfterApply() error {
	if s.App == "" {
		return nil // all of them
	}
	return validApp(s.App)
}

func (s *statusCmd) Run(ctx context.Context, p *process, c *cli) error {
	driver, _, err := c.driver(p)
	if err != nil {
		return err
	}
	apps := []string{s.App}
	if s.App == "" {
		if apps, err = driver.Apps(ctx); err != nil {
			return err
		}
	}
	list := []*rollout.Status{}
	for _, app := range apps {
		one, err := driver.Status(ctx, app)
		if err != nil {
			return err
		}
		if one != nil {
			list = append(list, one)
		} else if s.App != "" {
			return usageError("%s has no record: nothing was deployed by gurney deploy", s.App)
		}
	}
	if s.Output == "json" {
		out := []any{}
		for _, one := range list {
			out = append(out, statusJSON(one))
		}
		return writeJSON(p.Stdout, out)
	}
	if len(list) == 0 {
		_, err = fmt.Fprintln(p.Stdout, "no app has a record yet: gurney deploy APP URL makes the first")
		return err
	}
	for i, one := range list {
		if i > 0 {
			_, _ = fmt.Fprintln(p.Stdout)
		}
		writeStatus(p.Stdout, one)
	}
	return nil
}

func statusJSON(s *rollout.Status) any {
	out := map[string]any{"app": s.App, "record": s.Record}
	if s.Last != nil && s.Last.Why != "" {
		out["why"] = s.Last.Why
	}
	if s.Current != nil {
		out["current"] = map[string]any{"id": s.Current.ID, "counts": s.Current.Counts, "nodes": nodesJSON(*s.Current)}
	}
	if s.Rollout != nil {
		out["rollout"] = map[string]any{"id": s.Rollout.ID, "counts": s.Rollout.Counts, "complete": s.Rollout.Complete(), "nodes": nodesJSON(*s.Rollout)}
	}
	return out
}

func writeStatus(w io.Writer, s *rollout.Status) {
	r := s.Record
	_, _ = fmt.Fprintf(w, "%s\n", s.App)
	if r.Current != nil {
		_, _ = fmt.Fprintf(w, "  current  %s  since %s  by %s\n", r.Current.ID, r.Current.At.UTC().Format("2006-01-02 15:04"), r.Current.By)
	}
	view := s.Current
	if r.Rollout != nil {
		view = s.Rollout
		_, _ = fmt.Fprintf(w, "  rollout  %s  since %s  by %s%s\n", r.Rollout.ID, r.Rollout.At.UTC().Format("2006-01-02 15:04"), r.Rollout.By, rolloutNote(s))
	}
	if s.Last != nil && s.Last.Why != "" {
		_, _ = fmt.Fprintf(w, "  why      %q\n", s.Last.Why)
	}
	if view != nil {
		_, _ = fmt.Fprintln(w)
		screen.WriteNodes(w, *view, time.Now())
		for _, n := range view.Nodes {
			if n.Warning != "" {
				_, _ = fmt.Fprintf(w, "warning: %s: %s\n", n.Node, n.Warning)
			}
		}
	}
}

// rolloutNote says what the rollout waits for.
func rolloutNote(s *rollout.Status) string {
	var parts []string
	if sel := s.Record.Rollout.Selector; !sel.IsZero() {
		parts = append(parts, "selected nodes only")
	}
	switch {
	case s.Last != nil && s.Last.Dry && s.Rollout.Ended():
		parts = append(parts, "a dry run, and over: gurney abort "+s.App)
	case len(s.Rollout.Nodes) == 0:
		parts = append(parts, "no node takes it: gurney abort "+s.App)
	case s.Rollout.Complete():
		parts = append(parts, "complete, not promoted: gurney promote "+s.App)
	case s.Rollout.Ended() && s.Rollout.Counts[rollout.Failed] == 0:
		parts = append(parts, "a node is gone in mid-run: wait for it, or gurney promote "+s.App)
	case s.Rollout.Ended():
		parts = append(parts, fmt.Sprintf("%d failed: gurney retry %s, or gurney abort %s", s.Rollout.Counts[rollout.Failed], s.App, s.App))
	}
	if len(parts) == 0 {
		return ""
	}
	return "\n           " + strings.Join(parts, "; ")
}
