package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gurney/screen"
)

// promoteCmd makes the rollout that is on current.
type promoteCmd struct {
	appArg
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (m *promoteCmd) Run(ctx context.Context, p *process, c *cli) error {
	driver, _, err := c.driver(p)
	if err != nil {
		return err
	}
	ref, err := driver.Promote(ctx, m.App)
	if err != nil {
		return err
	}
	if m.Output == "json" {
		return writeJSON(p.Stdout, map[string]any{"app": m.App, "current": ref.ID})
	}
	_, err = fmt.Fprintf(p.Stdout, "%s is now %s\n", m.App, ref.ID)
	return err
}

// abortCmd ends the rollout that is on.
type abortCmd struct {
	appArg
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (a *abortCmd) Run(ctx context.Context, p *process, c *cli) error {
	driver, _, err := c.driver(p)
	if err != nil {
		return err
	}
	aborted, current, err := driver.Abort(ctx, a.App)
	if err != nil {
		return err
	}
	now := ""
	if current != nil {
		now = current.ID
	}
	switch {
	case a.Output == "json":
		return writeJSON(p.Stdout, map[string]any{"app": a.App, "aborted": aborted.ID, "current": now})
	case now == "":
		_, err = fmt.Fprintf(p.Stdout, "aborted %s; %s has no deployment to go back to: nodes stay as they are\n", aborted.ID, a.App)
	default:
		_, err = fmt.Fprintf(p.Stdout, "aborted %s; nodes that it touched go back to %s\n", aborted.ID, now)
	}
	return err
}

// retryCmd asks nodes to run again what failed on them.
type retryCmd struct {
	appArg
	Nodes   []string      `arg:"" optional:"" help:"The nodes; default: all on which it failed."`
	Detach  bool          `help:"Don't follow."`
	Timeout time.Duration `default:"1h" placeholder:"D" help:"How long to follow (${default})."`
	Output  string        `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// AfterApply is kong's hook.
func (r *retryCmd) AfterApply() error {
	if slices.Contains(r.Nodes, "") {
		return errors.New("a node's name must not be empty")
	}
	return errors.Join(r.appArg.AfterApply(), notNegative("--timeout", r.Timeout))
}

func (r *retryCmd) Run(ctx context.Context, p *process, c *cli) error {
	driver, _, err := c.driver(p)
	if err != nil {
		return err
	}
	unwatched()
	began := time.Now()
	drive, err := driver.Retry(ctx, r.App, r.Nodes)
	if err != nil {
		return err
	}
	defer drive.Close(ctx)
	if r.Output == "text" {
		screen.WriteHead(p.Stdout, drive.Deployment)
	}
	if r.Detach {
		return (&deployCmd{Output: r.Output}).detached(p, drive)
	}
	return follow(ctx, p, drive, followOptions{
		timeout: r.Timeout, began: began, json: r.Output == "json", settled: drive.Settled(),
	})
}
