package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gurney/agent/run"
	"gurney/agent/state"
	"gurney/config"
	"gurney/event"
	"gurney/report"
	"gurney/screen"
)

// applyCmd runs one manifest on this machine.
type applyCmd struct {
	From         string        `arg:"" help:"The manifest: a URL, a file, or - for a URL or consul watch's JSON on standard input."`
	App          string        `placeholder:"NAME" help:"The app that the manifest must be for, where it names one."`
	Timeout      time.Duration `placeholder:"D" help:"Bound on the whole (default: the manifest's timeout)."`
	Retry        *uint         `placeholder:"N" help:"Times that each broken step of a download is tried again (default 4)."`
	RetryWait    time.Duration `placeholder:"D" help:"The wait before the first of them."`
	RandomDelay  time.Duration `placeholder:"D" help:"Sleep a random part of D first."`
	MaxBandWidth byteSize      `placeholder:"B" help:"Bytes a second for the download, such as 10MB."`
	RsyncVerbose bool          `help:"Name every file that the mirror changes."`
	Output       string        `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// inputMost is the most that is read from standard input, in bytes: a ring of
// events is less than a quarter of it.
const inputMost = 1 << 20

// AfterApply is kong's hook.
func (a *applyCmd) AfterApply() error {
	return errors.Join(notNegative("--timeout", a.Timeout), notNegative("--retry-wait", a.RetryWait), notNegative("--random-delay", a.RandomDelay))
}

func (a *applyCmd) Run(ctx context.Context, p *process, c *cli) error {
	cfg, path, err := c.configuration(p)
	if err != nil {
		return a.status(p, err)
	}
	home, err := applyState(p, cfg, path)
	if err != nil {
		return a.status(p, err)
	}
	in, err := a.input(p)
	if err != nil {
		return a.status(p, err)
	}
	if len(cfg.Sources) == 0 {
		_, _ = fmt.Fprintln(p.Stderr, "gurney: no sources are configured: whoever can hand over a URL runs commands here")
	}
	return a.status(p, a.applyAll(ctx, p, cfg, home, in))
}

// applyAll runs what is to be run. It holds the lock of the one run from
// before it looks what is new: a second watcher waits, and then finds nothing.
func (a *applyCmd) applyAll(ctx context.Context, p *process, cfg *config.Config, home state.Dir, in input) error {
	lock, err := home.WaitRun(ctx, "gurney apply", func(b *state.BusyError) {
		_, _ = fmt.Fprintf(p.Stderr, "gurney: another run goes on (%s): waiting for it\n", b.By)
	})
	if err != nil {
		return err
	}
	defer lock.Release()
	work, seen := []state.Spec{in.spec}, (*event.Seen)(nil)
	if in.events != nil {
		if work, seen, err = a.unseen(p, home, in.events); err != nil {
			return err
		}
	}
	if len(work) > 0 {
		if err := a.delay(ctx); err != nil {
			return err
		}
	}
	if seen != nil { // not before: who was stopped while it waited is handed them again
		if err := home.SaveSeen(seen); err != nil {
			return err
		}
	}
	// What fails for one app is no reason to leave out another: its event is
	// seen, and nobody hands it over again.
	var failed error
	for _, spec := range work {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := a.status(p, a.apply(ctx, p, cfg, home, spec)); err != nil && failed == nil {
			failed = err
		}
	}
	return failed
}

// status gives err the exit status of this way of being called: under consul
// watch always 0, or the watch would end, and from standard input only 0 or 1.
func (a *applyCmd) status(p *process, err error) error {
	if err == nil || a.From != "-" {
		return err
	}
	code := exitFailed
	if underConsul(p) {
		code = exitOK
	}
	var e *exitError
	if !errors.As(err, &e) || e.Err != nil {
		_, _ = fmt.Fprintf(p.Stderr, "gurney: %v\n", err)
	}
	return told(code)
}

func underConsul(p *process) bool {
	_, set := p.Env("CONSUL_INDEX")
	return set
}

// applyState is where the run's files go: the configuration's state_dir, or,
// where none is configured and the default can't be written, the user's own: at
// home, else where temporary files go.
func applyState(p *process, cfg *config.Config, path string) (state.Dir, error) {
	home, err := state.Open(cfg.StateDir)
	if err == nil || path != "" || cfg.StateDir != config.Default().StateDir {
		return home, err
	}
	base := p.getenv("XDG_STATE_HOME")
	if base == "" {
		if user, err := os.UserHomeDir(); err == nil {
			base = filepath.Join(user, ".local", "state")
		}
	}
	if base != "" {
		if own, err := state.Open(filepath.Join(base, "gurney")); err == nil {
			cfg.StateDir = own.Path()
			return own, nil
		}
	}
	// A watcher's environment may have no home, and its user none at all.
	cfg.StateDir = filepath.Join(os.TempDir(), fmt.Sprintf("gurney-%d", os.Geteuid()))
	if err := privateDir(cfg.StateDir); err != nil {
		return state.Dir{}, err
	}
	_, _ = fmt.Fprintf(p.Stderr, "gurney: state goes to %s, which a reboot may clear: set GURNEY_STATE_DIR to keep it\n", cfg.StateDir)
	return state.Open(cfg.StateDir)
}

// privateDir makes a directory where anybody may make one, and says whether it is
// this user's alone.
func privateDir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("state_dir: %s is not a directory of this user's alone", path)
	}
	return nil
}

// input is what apply was given: one manifest, or the list of consul watch.
type input struct {
	spec   state.Spec
	events []event.Event // nil: spec it is
}

func (a *applyCmd) input(p *process) (input, error) {
	spec := state.Spec{App: a.App, ID: applyID()}
	if a.From != "-" {
		if u, err := url.Parse(a.From); err == nil && u.Scheme != "" {
			spec.URL = a.From
			return input{spec: spec}, nil
		}
		data, err := readFile(a.From)
		spec.Manifest, spec.File = data, a.From
		return input{spec: spec}, err
	}
	data, err := io.ReadAll(io.LimitReader(p.Stdin, inputMost))
	if err != nil {
		return input{}, fmt.Errorf("read standard input: %w", err)
	}
	events, err := event.ParseInput(data, underConsul(p))
	if err != nil {
		return input{}, err
	}
	if len(events) != 1 || events[0].ID != "" {
		return input{events: append([]event.Event{}, events...)}, nil
	}
	payload, err := event.ParsePayload(events[0].Payload)
	if err != nil {
		return input{}, err
	}
	if payload.Hint != nil {
		return input{}, errors.New("a hint is for gurney agent, which reads the app's record; apply runs a manifest's URL")
	}
	spec.URL = payload.URL
	return input{spec: spec}, nil
}

// unseen picks from consul watch's list what is to be run. The list is the
// whole ring: what was handed over before is not run again, and of several
// new events for one app the newest is run. A first call can't know what is
// new: it runs the newest. With it comes what is to be remembered as seen.
func (a *applyCmd) unseen(p *process, home state.Dir, events []event.Event) ([]state.Spec, *event.Seen, error) {
	broken, err := home.PutAside()
	if err != nil {
		return nil, nil, err
	}
	for _, b := range broken {
		_, _ = fmt.Fprintf(p.Stderr, "gurney: %s: %s (%v)\n", b.Path, b, b.Err)
	}
	seen, fresh, err := home.Seen()
	if err != nil {
		return nil, nil, err
	}
	newest := map[string]int{}
	for i, e := range events {
		if !seen.Has(e.ID) && (!fresh || i == len(events)-1) {
			newest[e.Name] = i
		}
	}
	var work []state.Spec
	for i, e := range events {
		if seen.Has(e.ID) || fresh && i != len(events)-1 {
			continue
		}
		payload, err := event.ParsePayload(e.Payload)
		switch {
		case err != nil:
			_, _ = fmt.Fprintf(p.Stderr, "gurney: event %s %s: %v\n", e.Name, e.ID, err)
		case payload.Hint != nil:
			// For the agent beside; a watch of the same name sees them too.
		case newest[e.Name] != i:
			_, _ = fmt.Fprintf(p.Stderr, "gurney: event %s %s: superseded by a newer one\n", e.Name, e.ID)
		default:
			spec := state.Spec{App: e.Name, ID: e.ID, URL: payload.URL}
			// Both become parts of a path. Consul takes any name, and so did
			// Stretcher: one that can be no app's runs without.
			if !event.ValidApp(spec.App) {
				spec.App = ""
			}
			if !event.ValidID(spec.ID) {
				spec.ID = applyID()
			}
			work = append(work, spec)
		}
	}
	seen.Mark(events...)
	return work, seen, nil
}

func applyID() string { return "apply-" + time.Now().UTC().Format("20060102-150405.000") }

func (a *applyCmd) delay(ctx context.Context) error {
	if a.RandomDelay <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(rand.N(a.RandomDelay)):
		return nil
	}
}

// apply carries one spec and shows what became of it.
func (a *applyCmd) apply(ctx context.Context, p *process, cfg *config.Config, home state.Dir, spec state.Spec) error {
	app := spec.App
	if app == "" {
		app = "apply" // names only the directory: the manifest's own app is right
	}
	spec.Node, spec.Attempt = nodeName(cfg), 1
	named := spec
	named.App = app
	dir, err := home.NewRun(named)
	if err != nil {
		return err
	}
	line := screen.NewLine(p.Stderr, terminal(p.Stderr))
	defer line.Done()
	ending, err := carry(ctx, p, cfg, home, dir, spec, line, func(o *run.Options) {
		o.Timeout, o.Verbose = a.Timeout, a.RsyncVerbose
		o.Fetcher.Bandwidth, o.Fetcher.Wait = int64(a.MaxBandWidth), a.RetryWait
		if a.Retry != nil {
			o.Fetcher.Retries = *a.Retry + 1
		}
		o.OnStatus = func(s state.Status) { line.Set(fmt.Sprintf("%s  %s", s.Phase, s.Detail)) }
	})
	if err != nil {
		return err
	}
	line.Done()
	if err := home.PruneRuns(app, dir.Name); err != nil {
		return err
	}
	return a.show(p, dir, ending)
}

// nodeName is this machine's for Chef, where no agent has told Consul's.
func nodeName(cfg *config.Config) string {
	if cfg.Node != "" {
		return cfg.Node
	}
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}

func (a *applyCmd) show(p *process, dir state.RunDir, e state.Ending) error {
	if a.Output == "json" {
		e.Result.Seconds = report.RoundSeconds(e.Result.Seconds) // as Consul has them from an agent
		enc := json.NewEncoder(p.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(struct {
			report.Result
			Log string `json:"log"`
		}{e.Result, dir.Path(state.RunLog)}); err != nil {
			return err
		}
		return told(runStatus(runEnding{e}))
	}
	_, _ = fmt.Fprintln(p.Stdout, e.Result.Line())
	if e.Result.State != report.OK {
		_, _ = fmt.Fprintf(p.Stdout, "log: %s\n", dir.Path(state.RunLog))
	}
	return told(runStatus(runEnding{e}))
}
