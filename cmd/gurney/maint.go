package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"gurney/agent"
	"gurney/agent/state"
	"gurney/config"
	"gurney/consul"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
	"gurney/screen"
)

// maintCmd is Consul's maintenance of this node, with Gurney's order: who
// leaves it converges first, and serves then.
type maintCmd struct {
	Enable  maintEnableCmd  `cmd:"" help:"Put this node into maintenance."`
	Disable maintDisableCmd `cmd:"" help:"Converge, then end this node's maintenance."`
	Status  maintStatusCmd  `cmd:"" default:"withargs" help:"Say whether this node is in maintenance, and what waits for its end."`
}

type maintEnableCmd struct {
	Reason string `short:"m" placeholder:"TEXT" help:"Why, for those who look later."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (m *maintEnableCmd) Run(ctx context.Context, p *process, c *cli) error {
	client, _, err := c.client(p)
	if err != nil {
		return err
	}
	before, err := client.Maintenance(ctx)
	if err != nil {
		return err
	}
	if !before.On {
		if err := client.SetMaintenance(ctx, true, m.Reason); err != nil {
			return err
		}
	}
	now, err := client.Maintenance(ctx)
	if err != nil {
		return err
	}
	if m.Output == "json" {
		return writeJSON(p.Stdout, map[string]any{"maintenance": true, "reason": now.Reason, "was": before.On})
	}
	if before.On {
		_, err = fmt.Fprintf(p.Stdout, "in maintenance already: %q (Consul keeps the first reason)\n", now.Reason)
	} else {
		_, err = fmt.Fprintf(p.Stdout, "in maintenance: %q\n", now.Reason)
	}
	return err
}

type maintDisableCmd struct {
	Now    bool   `help:"Don't converge first."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (m *maintDisableCmd) Run(ctx context.Context, p *process, c *cli) error {
	client, cfg, err := c.client(p)
	if err != nil {
		return err
	}
	before, err := client.Maintenance(ctx)
	if err != nil {
		return err
	}
	drained, _, err := client.Drained(ctx)
	if err != nil {
		return err
	}
	standings := []agent.Standing{}
	if !m.Now && (before.On || drained) {
		// The agent waits for servers that are away, which can be long.
		if err := reachable(ctx, client, cfg); err != nil {
			return fmt.Errorf("can't converge first, which --now does without: %w", err)
		}
		if standings, err = converge(ctx, p, cfg); err != nil {
			return err
		}
	}
	bad := false
	for _, s := range standings {
		bad = bad || !s.Good()
	}
	if !bad {
		// Both or neither would be better, but Consul has no such call.
		if err := errors.Join(client.SetMaintenance(ctx, false, ""), client.Undrain(ctx)); err != nil {
			return err
		}
	}
	if m.Output == "json" {
		if err := writeJSON(p.Stdout, map[string]any{"maintenance": bad && before.On, "was": before.On, "apps": standings}); err != nil {
			return err
		}
	} else {
		m.tell(p, before, drained, standings, bad)
	}
	if bad {
		return told(exitFailed)
	}
	return nil
}

func (m *maintDisableCmd) tell(p *process, before consul.Maintenance, drained bool, standings []agent.Standing, bad bool) {
	for _, s := range standings {
		if s.ID == "" {
			continue // nothing is deployed
		}
		line := fmt.Sprintf("%s  %s  %s", s.App, s.ID, s.State)
		if s.Error != "" {
			line += ": " + s.Error
		}
		_, _ = fmt.Fprintln(p.Stdout, line)
	}
	switch {
	case bad && !before.On:
		_, _ = fmt.Fprintln(p.Stdout, "stays drained; gurney maint disable --now ends it all the same")
	case bad:
		_, _ = fmt.Fprintln(p.Stdout, "stays in maintenance; gurney maint disable --now ends it all the same")
	case before.On:
		_, _ = fmt.Fprintf(p.Stdout, "in service: maintenance %q has ended\n", before.Reason)
	case drained:
		_, _ = fmt.Fprintln(p.Stdout, "in service: the drain has ended")
	default:
		_, _ = fmt.Fprintln(p.Stdout, "in service: there was no maintenance")
	}
}

type maintStatusCmd struct {
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (m *maintStatusCmd) Run(ctx context.Context, p *process, c *cli) error {
	client, cfg, err := c.client(p)
	if err != nil {
		return err
	}
	now, err := client.Maintenance(ctx)
	if err != nil {
		return err
	}
	drained, _, err := client.Drained(ctx)
	if err != nil {
		return err
	}
	held, err := heldHere(cfg)
	if err != nil {
		return err
	}
	if m.Output == "json" {
		return writeJSON(p.Stdout, map[string]any{"maintenance": now.On, "reason": now.Reason, "service": now.Service, "drained": drained, "held": held})
	}
	switch {
	case now.On:
		_, err = fmt.Fprintf(p.Stdout, "in maintenance: %q\n", now.Reason)
	case now.Service != "":
		_, err = fmt.Fprintf(p.Stdout, "in service; the service %s is in maintenance: %q\n", now.Service, now.Reason)
	case drained:
		_, err = fmt.Fprintln(p.Stdout, "drained for a run")
	default:
		_, err = fmt.Fprintln(p.Stdout, "in service")
	}
	for _, h := range held {
		_, _ = fmt.Fprintf(p.Stdout, "held: %s  %s: converges when it ends\n", h.App, h.ID)
	}
	return err
}

// heldHere is what the agent on this node holds back. Where its journals
// can't be read, there is nothing to say.
func heldHere(cfg *config.Config) ([]agent.Standing, error) {
	home := state.At(cfg.StateDir)
	out := []agent.Standing{}
	for _, app := range cfg.Apps {
		j, err := home.Journal(app)
		if err != nil {
			return nil, err
		}
		if w := j.Work; w != nil && w.State == report.Held {
			out = append(out, agent.Standing{App: app, ID: w.ID, State: w.State, Error: w.Note})
		}
	}
	return out, nil
}

// reachable reads the records as the agent will.
func reachable(ctx context.Context, client *consul.Client, cfg *config.Config) error {
	for _, app := range cfg.Apps {
		if _, err := client.Get(ctx, rollout.AppKey(app), kv.Default); err != nil {
			return err
		}
	}
	return nil
}

// converge asks this node's agent to run what it should, past maintenance.
func converge(ctx context.Context, p *process, cfg *config.Config) ([]agent.Standing, error) {
	line := screen.NewLine(p.Stderr, terminal(p.Stderr))
	line.Set("converging; Ctrl-C leaves the node in maintenance")
	defer line.Done()
	socket := state.At(cfg.StateDir).Socket()
	var d net.Dialer
	hc := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", socket)
	}}}
	defer hc.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent/converge", bytes.NewReader(nil))
	if err != nil {
		return nil, err
	}
	resp, err := hc.Do(req)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("no gurney agent runs here (%s): start it, or end the maintenance unconverged with --now", socket)
	case err != nil:
		return nil, fmt.Errorf("ask the agent to converge: %w", errors.Unwrap(err))
	}
	defer func() { _ = resp.Body.Close() }()
	var out []agent.Standing
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return nil, fmt.Errorf("the agent ended before it had converged; the node stays in maintenance: %w", err)
	}
	return out, nil
}
