package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/user"
	"time"

	"gurney/artifact"
	"gurney/consul"
	"gurney/manifest"
	"gurney/report"
	"gurney/rollout"
	"gurney/screen"
)

// selectorFlags pick nodes as Consul's event filters do.
type selectorFlags struct {
	Node    filled `placeholder:"REGEXP" help:"Only nodes whose Gurney name matches."`
	Service filled `placeholder:"REGEXP" help:"Only nodes with a matching service."`
	Tag     filled `placeholder:"REGEXP" help:"Only where that service has a matching tag."`
}

// AfterApply is kong's hook: an expression that is none is wrong usage, before
// anybody is asked anything.
func (s selectorFlags) AfterApply() error { return s.selector().Validate() }

func (s selectorFlags) selector() rollout.Selector {
	return rollout.Selector{Node: string(s.Node), Service: string(s.Service), Tag: string(s.Tag)}
}

type deployCmd struct {
	App      string        `arg:"" help:"The app, which is also the event's name."`
	Manifest string        `arg:"" help:"URL of its manifest."`
	Message  string        `short:"m" placeholder:"TEXT" help:"Why, for those who look later."`
	Detach   bool          `help:"Don't follow: make it current at once, or leave the selected nodes to it."`
	Replace  bool          `help:"End the rollout that is on, whatever its state."`
	Timeout  time.Duration `default:"1h" placeholder:"D" help:"How long to follow (${default})."`
	selectorFlags
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// AfterApply is kong's hook.
func (d *deployCmd) AfterApply() error {
	return errors.Join(validApp(d.App), notNegative("--timeout", d.Timeout), d.selectorFlags.AfterApply())
}

func (d *deployCmd) Run(ctx context.Context, p *process, c *cli) error {
	driver, cfg, err := c.driver(p)
	if err != nil {
		return err
	}
	fetcher, allow, _, err := newFetcher(ctx, cfg, quiet(p))
	if err != nil {
		return err
	}
	request, err := d.request(ctx, p, fetcher, allow)
	if err != nil {
		return err
	}
	unwatched()
	began := time.Now()
	drive, err := driver.Begin(ctx, request)
	var held *consul.HeldError
	if errors.As(err, &held) {
		return fmt.Errorf("another deployment of %s is under way: wait for it, or use --replace: %w", d.App, err)
	}
	if err != nil {
		return err
	}
	defer drive.Close(ctx)
	if d.Output == "text" {
		screen.WriteHead(p.Stdout, drive.Deployment)
	}
	if d.Detach {
		return d.detached(p, drive)
	}
	return follow(ctx, p, drive, followOptions{timeout: d.Timeout, began: began, json: d.Output == "json"})
}

// request reads the manifest, and refuses one that no node could run.
func (d *deployCmd) request(ctx context.Context, p *process, fetcher *artifact.Fetcher, allow artifact.Allowlist) (q rollout.Request, err error) {
	u, err := url.Parse(d.Manifest)
	if err != nil || u.Scheme == "" {
		return q, usageError("%q: the manifest's URL is wanted, such as s3://bucket/manifest.yml; nodes read what stands there", d.Manifest)
	}
	if err := allow.Check(u); err != nil {
		return q, err // as a node with these sources would
	}
	data, _, err := fetcher.Read(ctx, u, rollout.MaxManifest)
	if err != nil {
		return q, err
	}
	m, warnings, err := manifest.Parse(artifact.Redact(u), data, manifest.ParseOptions{Env: p.Env, TolerateEnv: true})
	if err != nil {
		return q, &exitError{Code: exitUsage, Err: err}
	}
	for _, w := range warnings {
		_, _ = fmt.Fprintf(p.Stderr, "gurney: warning: %s\n", w.Error())
	}
	if m.App != "" && m.App != d.App {
		return q, usageError("%s: app is %s, but %s is to be deployed", artifact.Redact(u), m.App, d.App)
	}
	if m.DryRun() && d.Detach && d.selector().IsZero() {
		return q, usageError("%s: chef.why_run changes nothing, and --detach would make it current: leave --detach out", artifact.Redact(u))
	}
	sum := sha256.Sum256(data)
	return rollout.Request{
		App: d.App, URL: bare(u), Manifest: data, SHA256: hex.EncodeToString(sum[:]), By: operator(p), Why: d.Message,
		Selector: d.selector(), Replace: d.Replace, Detach: d.Detach, AllowNobody: d.Detach, Dry: m.DryRun(),
	}, nil
}

// bare is the URL for Consul's store, which many can read.
func bare(u *url.URL) string { return artifact.Redact(u) }

// operator is who does it: alice@ops1.
func operator(p *process) string {
	name := p.getenv("SUDO_USER")
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

func (d *deployCmd) detached(p *process, drive *rollout.Drive) error {
	if d.Output == "json" {
		return writeJSON(p.Stdout, map[string]any{"app": drive.App, "id": drive.Deployment.ID, "seq": drive.Record.Seq, "promoted": drive.Settled()})
	}
	app := drive.App
	stands := fmt.Sprintf("not promoted: gurney promote %s does that, or gurney abort %s ends it", app, app)
	switch {
	case drive.Settled():
		stands = app + " is now " + drive.Deployment.ID
	case drive.Deployment.Dry:
		stands = "a dry run: gurney abort " + app + " ends it"
	case drive.Parks():
		stands = fmt.Sprintf("parked on the selected nodes: gurney promote %s, or gurney abort %s", app, app)
	}
	_, err := fmt.Fprintf(p.Stdout, "%s\nnot followed: gurney status %s shows how it goes\n", stands, app)
	return err
}

type followOptions struct {
	timeout time.Duration
	began   time.Time
	json    bool
	settled bool // it is current already: nothing is to be promoted
}

// follow shows the deployment until it ended, promotes it where that is due,
// and tells how it came out.
func follow(ctx context.Context, p *process, drive *rollout.Drive, o followOptions) error {
	live := terminal(p.Stdout) && p.getenv("TERM") != "dumb"
	board := screen.NewBoard(p.Stdout, live, colour(p, p.Stdout), o.began)
	show := board.Show
	if o.json {
		show = nil
	}
	view, end, err := drive.Follow(ctx, o.timeout, show)
	board.Done()
	if err != nil {
		if errors.Is(err, context.Canceled) {
			_, _ = fmt.Fprintf(p.Stderr, "gurney: the nodes go on with %s; gurney status %s shows them\n", drive.Deployment.ID, drive.App)
		}
		return err
	}
	e := screen.Ending{App: drive.App, ID: drive.Deployment.ID, Parked: drive.Parks(), Dry: drive.Deployment.Dry, Took: time.Since(o.began), Promoted: o.settled}
	if drive.Previous != nil && drive.Previous.ID != e.ID {
		e.Previous = drive.Previous.ID
	}
	outcome := "failed"
	if end == rollout.EndComplete {
		outcome = "parked"
		if !e.Parked && !o.settled {
			if err := drive.Promote(ctx); err != nil {
				return fmt.Errorf("complete, not promoted: gurney promote %s does that: %w", drive.App, err)
			}
			e.Promoted = true
		}
		if !e.Parked {
			outcome = "done"
		}
	}
	if end != rollout.EndReplaced && end != rollout.EndAborted && end != rollout.EndLost {
		drive.End(ctx, view, outcome)
	}
	if o.json {
		err = writeJSON(p.Stdout, endingJSON(view, e, end))
	} else if end == rollout.EndLost {
		_, err = fmt.Fprintf(p.Stdout, "Consul was put back from a backup of before this deployment: deploy it again (gurney status %s)\n", drive.App)
	} else if end == rollout.EndAborted {
		_, err = fmt.Fprintf(p.Stdout, "it was aborted; nodes that it touched go back: gurney status %s\n", drive.App)
	} else if end == rollout.EndReplaced {
		_, err = fmt.Fprintf(p.Stdout, "another deployment of %s took its place: gurney status %s\n", drive.App, drive.App)
	} else {
		screen.WriteEnding(p.Stdout, view, e)
	}
	if err != nil {
		return err
	}
	if end != rollout.EndComplete {
		return told(exitFailed)
	}
	return nil
}

type nodeJSON struct {
	Node   string         `json:"node"`
	State  string         `json:"state"` // as people count it: ok, failed, held, running, waiting, gone
	Result *report.Result `json:"result,omitempty"`
	// Drained and Warning are the node's, whatever becomes of this deployment.
	Drained bool   `json:"drained,omitempty"`
	Warning string `json:"warning,omitempty"`
}

func nodesJSON(v rollout.View) []nodeJSON {
	out := []nodeJSON{}
	for _, n := range v.Nodes {
		out = append(out, nodeJSON{n.Node, string(n.Standing), n.Result, n.Drained, n.Warning})
	}
	return out
}

func endingJSON(v rollout.View, e screen.Ending, end string) any {
	return struct {
		App      string                   `json:"app"`
		ID       string                   `json:"id"`
		End      string                   `json:"end"`
		Promoted bool                     `json:"promoted"`
		Previous string                   `json:"previous,omitempty"`
		Seconds  float64                  `json:"seconds"`
		Counts   map[rollout.Standing]int `json:"counts"`
		Nodes    []nodeJSON               `json:"nodes"`
	}{e.App, e.ID, end, e.Promoted, e.Previous, e.Took.Seconds(), v.Counts, nodesJSON(v)}
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
