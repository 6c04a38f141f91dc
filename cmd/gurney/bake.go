package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gurney/agent/state"
)

// bakeCmd makes an image: converged, in maintenance, and nobody yet.
type bakeCmd struct {
	Manifests     []string `arg:"" help:"The manifests to converge, one after the other: URLs or files."`
	ConsulDataDir string   `placeholder:"DIR" help:"Remove Consul's node-id from its data directory, so that each clone gets its own."`
	Output        string   `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (b *bakeCmd) Run(ctx context.Context, p *process, c *cli) error {
	cfg, path, err := c.configuration(p)
	if err != nil {
		return err
	}
	id, err := b.nodeID()
	if err != nil {
		return err
	}
	home, err := applyState(p, cfg, path)
	if err != nil {
		return err
	}
	agentLock, err := home.LockAgent("gurney bake")
	var busy *state.BusyError
	if errors.As(err, &busy) {
		return &exitError{Code: exitRefused, Err: fmt.Errorf("an agent runs here, and would write anew what bake strips: stop it first (%w)", err)}
	}
	if err != nil {
		return err
	}
	defer agentLock.Release()
	client, err := newConsul(cfg, quiet(p))
	if err != nil {
		return err
	}
	m, err := client.Maintenance(ctx)
	if err != nil {
		return fmt.Errorf("the image must boot in maintenance, which only a running Consul agent can keep: %w", err)
	}
	if m.On && !ours(m) {
		return &exitError{Code: exitRefused, Err: fmt.Errorf("in maintenance already: %q: gurney bootstrap would not end that one; end it first", m.Reason)}
	}
	if err := client.SetMaintenance(ctx, true, bakeReason); err != nil {
		return err
	}
	aside := *p // what each run says is no part of the document
	if b.Output == "json" {
		aside.Stdout = p.Stderr
	}
	for _, from := range b.Manifests {
		apply := applyCmd{From: from, Output: "text"}
		in, err := apply.input(p)
		if err != nil {
			return err
		}
		lock, err := home.WaitRun(ctx, "gurney bake", nil)
		if err != nil {
			return err
		}
		err = apply.apply(ctx, &aside, cfg, home, in.spec)
		lock.Release()
		if err != nil {
			return err
		}
	}
	removed, err := home.Strip()
	if err != nil {
		return err
	}
	// Consul keeps what was registered in its data directory, as it does the
	// maintenance: a clone would be found by this machine's name and roles.
	forgotten, err := client.Forget(ctx)
	if err != nil {
		return err
	}
	if id != "" {
		if err := os.Remove(id); err != nil {
			return err
		}
	}
	return b.tell(p, removed, forgotten, id)
}

// nodeID is Consul's node-id, where it is told from where; it is known to be there
// before anything is done.
func (b *bakeCmd) nodeID() (path string, err error) {
	if b.ConsulDataDir == "" {
		return "", nil
	}
	path = filepath.Join(b.ConsulDataDir, "node-id")
	if _, err := os.Stat(path); err != nil {
		return "", usageError("--consul-data-dir %s: there is no node-id in it; is it Consul's data_dir?", b.ConsulDataDir)
	}
	return path, nil
}

func (b *bakeCmd) tell(p *process, removed, forgotten []string, id string) error {
	if b.Output == "json" {
		return writeJSON(p.Stdout, map[string]any{
			"maintenance": bakeReason, "stripped": append([]string{}, removed...), "deregistered": append([]string{}, forgotten...), "consul_node_id": id,
		})
	}
	_, _ = fmt.Fprintf(p.Stdout, "baked: in maintenance, %q\n", bakeReason)
	for _, r := range removed {
		_, _ = fmt.Fprintf(p.Stdout, "stripped  %s\n", r)
	}
	for _, f := range forgotten {
		_, _ = fmt.Fprintf(p.Stdout, "stripped  %s, which was registered with Consul\n", f)
	}
	if id != "" {
		_, _ = fmt.Fprintf(p.Stdout, "stripped  %s\n", id)
		_, err := fmt.Fprintln(p.Stdout, "stop Consul with a kill, not with consul leave, before the image is taken: it writes its node-id only when it starts")
		return err
	}
	_, err := fmt.Fprintln(p.Stdout, "left to you: node-id in Consul's data_dir (--consul-data-dir removes it); clones that share it are one node to Consul")
	return err
}
