// Package state is what one node keeps on its disk: a journal for each app, a
// directory for each run, the outbox, the events it has seen. It is plain
// JSON, written atomically, so that any command can read it beside the agent.
//
//	<state_dir>/apps/<app>.json     Journal
//	<state_dir>/runs/<name>/        spec.json, status.json, result.json, run.log, chef.log
//	<state_dir>/outbox/<n>-<name>.json
//	<state_dir>/seen.json           ids of events
//	<state_dir>/roles.json          Roles
//	<state_dir>/chef/               chef-solo's own state, see package chef
//	<state_dir>/run.lock            held while a run goes on, with its name inside
//	<state_dir>/agent.lock          held by the agent
//	<state_dir>/agent.sock          control, 0600
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Dir is a state directory.
type Dir struct{ path string }

// Open makes the directory where it is missing, for the owner alone: what
// commands printed may tell secrets.
func Open(path string) (Dir, error) {
	if !filepath.IsAbs(path) {
		return Dir{}, fmt.Errorf("state_dir %q: an absolute path is wanted", path)
	}
	for _, sub := range []string{"", "apps", "runs", "outbox"} {
		if err := os.MkdirAll(filepath.Join(path, sub), 0o700); err != nil {
			return Dir{}, fmt.Errorf("state_dir: %w", err)
		}
	}
	return Dir{path}, nil
}

// Tidy removes what an agent that was killed left on its way to disk. It is
// for who holds the agent's lock.
func (d Dir) Tidy() error {
	return errors.Join(tidy(d.path, d.join("apps"), d.join("outbox")), d.tidyRuns())
}

// tidyRuns removes what was to become a run and has no spec: its maker was
// killed. The lock of the one run says that nobody makes one now.
func (d Dir) tidyRuns() error {
	lock, err := d.LockRun("gurney agent")
	var busy *BusyError
	if errors.As(err, &busy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	left, err := filepath.Glob(d.join("runs", "*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range left {
		if _, err := os.Stat(filepath.Join(path, "spec.json")); errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}

func tidy(dirs ...string) error {
	var errs []error
	for _, dir := range dirs {
		left, err := filepath.Glob(filepath.Join(dir, ".*.json*"))
		errs = append(errs, err)
		for _, path := range left {
			errs = append(errs, os.Remove(path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("tidy up: %w", err)
	}
	return nil
}

// At names a state directory without making it, for commands that only read.
func At(path string) Dir { return Dir{path} }

// Path is the directory's own.
func (d Dir) Path() string { return d.path }

// Chef is where chef-solo keeps its state.
func (d Dir) Chef() string { return filepath.Join(d.path, "chef") }

// Socket is the agent's control socket.
func (d Dir) Socket() string { return filepath.Join(d.path, "agent.sock") }

func (d Dir) join(parts ...string) string {
	return filepath.Join(append([]string{d.path}, parts...)...)
}

// read decodes the JSON file at path into v; false where it is not there.
func read(path string, v any) (bool, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, &brokenError{path, err}
	}
	return true, nil
}

// write replaces the file at path by v as JSON: the old or the new one is
// there after a crash, never a part. It is written beside path: renameio would
// try $TMPDIR first, each time, and these files may tell secrets.
func write(path string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, append(data, '\n'), 0o600, renameio.WithTempDir(filepath.Dir(path)))
}

// ConsulNode is Consul's name for this node, as it was last told; "" where it
// never was.
func (d Dir) ConsulNode() (string, error) {
	var n consulNode
	_, err := read(d.join("consul.json"), &n)
	return n.Node, err
}

// SaveConsulNode keeps it for a start without Consul.
func (d Dir) SaveConsulNode(name string) error {
	return write(d.join("consul.json"), consulNode{name})
}

type consulNode struct{ Node string }
