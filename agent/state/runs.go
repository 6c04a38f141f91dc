package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gurney/report"
)

// Spec says what a run is to do. The agent writes it, `gurney run` reads it.
type Spec struct {
	App      string `json:"app"`
	ID       string `json:"id"`                 // of the deployment, or of the URL event
	Node     string `json:"node"`               // Gurney's name for this node
	URL      string `json:"url"`                // where the manifest stands; may hold secrets
	Manifest []byte `json:"manifest,omitempty"` // its bytes; nil: read them from URL
	File     string `json:"file,omitempty"`     // that Manifest was read from, where there is no URL
	Attempt  int    `json:"attempt"`
	// Patience is the agent's, which tries again what is the world's fault;
	// nil: nobody does.
	Patience *Patience `json:"patience,omitempty"`
	// Maintenance says that the node is in maintenance: a manifest that
	// overrides the configuration's default is then known only here.
	InMaintenance     bool   `json:"in_maintenance,omitempty"`
	MaintenanceReason string `json:"maintenance_reason,omitempty"`
	// Again says that Chef is to run once more on what stands here.
	Again bool `json:"again,omitempty"`
	// Undrained says that only the run can know whether the node is to be
	// drained, and that the agent will do it.
	Undrained bool `json:"undrained,omitempty"`
}

// Patience says how long the world's faults are waited out.
type Patience struct {
	Start time.Time     `json:"start"`          // of the work
	Until time.Time     `json:"until,omitzero"` // zero: the manifest's timeout after Start
	Wait  time.Duration `json:"wait"`           // before the next attempt
}

// Lasts says whether there is another attempt; timeout is the manifest's.
func (p *Patience) Lasts(now time.Time, timeout time.Duration) bool {
	if p == nil {
		return false
	}
	until := p.Until
	if until.IsZero() {
		until = p.Start.Add(timeout)
	}
	return !now.Add(p.Wait).After(until)
}

// Status is where a run is, for those who look on; it is rewritten as the run
// goes.
type Status struct {
	PID     int          `json:"pid"`
	Phase   report.Phase `json:"phase"`
	Start   time.Time    `json:"start"`
	Since   time.Time    `json:"since"` // of the phase
	Detail  string       `json:"detail,omitempty"`
	Touched bool         `json:"touched,omitempty"` // pre, sync or chef has begun
	// Mark and Cgroup tell the run's processes, see package kin: whoever finds
	// the run dead ends them by these.
	Mark   string `json:"mark,omitempty"`
	Cgroup string `json:"cgroup,omitempty"`
}

// Ending is what a run left behind: its result, and what the agent needs to
// go on from it.
type Ending struct {
	Result report.Result `json:"result"`
	Bytes  int64         `json:"bytes,omitempty"` // of archives, fetched
	Wait   bool          `json:"wait,omitempty"`  // the world's fault: trying again can help
	// Again says that the failure commands wait for another attempt's end.
	Again bool `json:"again,omitempty"`
	// Drain says that the manifest wants the node drained, which only the run
	// could read; nothing was begun.
	Drain *DrainWish `json:"drain,omitempty"`
	// Roles are Chef's, of a converge that was green; nil: there was none, or
	// it did not tell. They go no further than this node's own service.
	Roles []string `json:"roles,omitzero"`
	// Hold says that the manifest wants to wait for the maintenance to end.
	Hold    bool          `json:"hold,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"` // the manifest's, once known
}

// RunDir is the directory of one run.
type RunDir struct {
	Name string
	path string
}

// Path joins a file's name to the directory.
func (r RunDir) Path(name string) string { return filepath.Join(r.path, name) }

// Files of a run that hold output.
const (
	RunLog  = "run.log"  // what the run says, and its commands print; rotated to run.log.1
	ChefLog = "chef.log" // what chef-solo prints; rotated to chef.log.1
	Stderr  = "stderr"   // what the run's process says where it has no run.log
)

// LastWords are the end of Stderr, at most 1 KiB; "" where there is none.
func (r RunDir) LastWords() string {
	const most = 1 << 10
	data, err := os.ReadFile(r.Path(Stderr))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data[max(0, len(data)-most):]))
}

// reserve is a file that only takes room, of so many bytes: a run that meets
// a full disk must still be able to say so.
const (
	reserve  = "reserve"
	reserved = 16 << 10
)

// NewRun makes the directory of a run's attempt.
func (d Dir) NewRun(s Spec) (RunDir, error) {
	name := fmt.Sprintf("%s@%s@%d", s.App, s.ID, s.Attempt)
	r := RunDir{name, d.join("runs", name)}
	if err := os.RemoveAll(r.path); err != nil {
		return RunDir{}, fmt.Errorf("make run: %w", err)
	}
	if err := os.MkdirAll(r.path, 0o700); err != nil {
		return RunDir{}, fmt.Errorf("make run: %w", err)
	}
	if err := write(r.Path("spec.json"), s); err != nil {
		return RunDir{}, fmt.Errorf("make run: %w", err)
	}
	if err := os.WriteFile(r.Path(reserve), make([]byte, reserved), 0o600); err != nil {
		return RunDir{}, fmt.Errorf("make run: %w", err)
	}
	return r, nil
}

// Run names a run's directory.
func (d Dir) Run(name string) RunDir { return RunDir{name, d.join("runs", name)} }

// RunAt is the run in the directory at path.
func RunAt(path string) RunDir { return RunDir{filepath.Base(path), path} }

// Spec reads what the run is to do.
func (r RunDir) Spec() (Spec, error) {
	var s Spec
	found, err := read(r.Path("spec.json"), &s)
	if err == nil && !found {
		err = fmt.Errorf("%s: %w", r.Path("spec.json"), fs.ErrNotExist)
	}
	return s, err
}

// Status reads where the run is; nil where it has not begun.
func (r RunDir) Status() (*Status, error) {
	var s Status
	if found, err := read(r.Path("status.json"), &s); err != nil || !found {
		return nil, err
	}
	return &s, nil
}

// SaveStatus writes where the run is.
func (r RunDir) SaveStatus(s Status) error { return write(r.Path("status.json"), s) }

// Ending reads what the run left; nil where it has not ended in order.
func (r RunDir) Ending() (*Ending, error) {
	var e Ending
	if found, err := read(r.Path("result.json"), &e); err != nil || !found {
		return nil, err
	}
	return &e, nil
}

// SaveEnding writes what the run leaves, in the room that was kept for it
// where there is no other.
func (r RunDir) SaveEnding(e Ending) error {
	_ = os.Remove(r.Path(reserve)) // another run's directory has none
	return write(r.Path("result.json"), e)
}

// Tidy removes what a run that is gone left on its way to disk.
func (r RunDir) Tidy() error { return tidy(r.path) }

// Runs lists the runs of app ("": all), the oldest first.
func (d Dir) Runs(app string) ([]RunDir, error) {
	entries, err := os.ReadDir(d.join("runs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	type dated struct {
		RunDir
		at time.Time
	}
	var all []dated
	for _, e := range entries {
		if !e.IsDir() || app != "" && !strings.HasPrefix(e.Name(), app+"@") {
			continue
		}
		// The spec is written once: its time is the run's.
		r := d.Run(e.Name())
		info, err := os.Stat(r.Path("spec.json"))
		if err != nil {
			continue
		}
		all = append(all, dated{r, info.ModTime()})
	}
	slices.SortStableFunc(all, func(a, b dated) int { return a.at.Compare(b.at) })
	out := make([]RunDir, 0, len(all))
	for _, r := range all {
		out = append(out, r.RunDir)
	}
	return out, nil
}

// keepRuns is how many runs of an app keep their output on disk.
const keepRuns = 10

// PruneRuns removes the oldest runs of app beyond those that are kept, never
// the one named.
func (d Dir) PruneRuns(app, not string) error {
	runs, err := d.Runs(app)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range runs[:max(0, len(runs)-keepRuns)] {
		if r.Name != not {
			errs = append(errs, os.RemoveAll(r.path))
		}
	}
	return errors.Join(errs...)
}
