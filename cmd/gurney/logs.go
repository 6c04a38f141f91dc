package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"gurney/agent/state"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

// logsCmd shows what a run printed: whole where it ran, and its tail, as the
// result in Consul has it, from elsewhere.
type logsCmd struct {
	appArg
	ID     string `arg:"" optional:"" help:"The deployment; default: the last one."`
	Node   string `placeholder:"NODE" help:"Show the tail of another node's, from Consul (default: every node's that has one, where this machine has no log)."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (l *logsCmd) Run(ctx context.Context, p *process, c *cli) error {
	cfg, _, err := c.configuration(p)
	if err != nil {
		return err
	}
	if l.Node == "" {
		run, err := l.local(state.At(cfg.StateDir))
		if err != nil {
			return err
		}
		if run != nil {
			return l.show(p.Stdout, *run)
		}
	}
	return l.remote(ctx, p, c)
}

// local is the run's directory where this machine has it.
func (l *logsCmd) local(home state.Dir) (*state.RunDir, error) {
	runs, err := home.Runs(l.App)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: the logs of runs are their owner's", err)
	}
	if err != nil {
		return nil, err
	}
	for i := len(runs) - 1; i >= 0; i-- {
		if l.ID == "" || strings.HasPrefix(runs[i].Name, l.App+"@"+l.ID+"@") {
			return &runs[i], nil
		}
	}
	return nil, nil
}

func (l *logsCmd) show(w io.Writer, run state.RunDir) error {
	if l.Output == "json" {
		files := map[string]string{}
		for _, name := range logFiles {
			if data, err := os.ReadFile(run.Path(name)); err == nil {
				files[name] = string(data)
			}
		}
		return writeJSON(w, map[string]any{"run": run.Name, "files": files})
	}
	for _, name := range logFiles {
		f, err := os.Open(run.Path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(w, "==> %s <==\n", run.Path(name))
		_, err = io.Copy(w, f)
		_ = f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// logFiles are a run's, in the order in which they are read.
var logFiles = []string{state.RunLog + ".1", state.RunLog, state.ChefLog + ".1", state.ChefLog}

// remote shows the tails that stand in Consul.
func (l *logsCmd) remote(ctx context.Context, p *process, c *cli) error {
	driver, _, err := c.driver(p)
	if err != nil {
		return err
	}
	id := l.ID
	if id == "" {
		r, _, err := rollout.ReadRecord(ctx, driver.Store, l.App, kv.Stale)
		if err != nil {
			return err
		}
		switch {
		case r != nil && r.Rollout != nil:
			id = r.Rollout.ID
		case r != nil && r.Current != nil:
			id = r.Current.ID
		default:
			return usageError("%s has no record, and no run of it is on this machine", l.App)
		}
	}
	pairs, err := driver.Store.List(ctx, report.Prefix(l.App, id), kv.Stale)
	if err != nil {
		return err
	}
	found := map[string]report.Result{}
	shown := 0
	for _, pair := range pairs {
		node := report.Node(pair.Key)
		r, err := report.Decode(pair.Value)
		if err != nil || l.Node != "" && node != l.Node || l.Node == "" && r.Tail == "" {
			continue
		}
		found[node] = r
		shown++
		if l.Output == "text" {
			_, _ = fmt.Fprintf(p.Stdout, "==> %s, from Consul <==\n%s\n", node, r.Line())
			if tail := strings.TrimRight(r.Tail, "\n"); tail != "" {
				_, _ = fmt.Fprintf(p.Stdout, "%s\n", tail)
			}
		}
	}
	if l.Output == "json" && shown > 0 {
		return writeJSON(p.Stdout, map[string]any{"app": l.App, "id": id, "nodes": found})
	}
	if shown == 0 {
		what := "no node has a tail of it in Consul"
		if l.Node != "" {
			what = "no result of " + l.Node + " is in Consul"
		}
		return usageError("%s %s: no log on this machine, and %s", l.App, id, what)
	}
	return nil
}
