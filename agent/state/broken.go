package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gurney/event"
)

// brokenError says that a file is there and holds something else than it
// should: a disk that failed, a power cut, somebody's editor.
type brokenError struct {
	path string
	err  error
}

func (e *brokenError) Error() string { return e.path + " is broken: " + e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// Broken is a file that was put aside.
type Broken struct {
	Path  string // where it is now
	Err   error  // why it can't be read
	Means string // what becomes of what it held
}

// PutAside renames files that can't be decoded to <name>.broken, for people to
// look at: one broken file must not keep a node from all that it should run, and
// what it held is found again elsewhere, or done anew. A file that can't be read
// at all is an error.
func (d Dir) PutAside() ([]Broken, error) {
	type part struct {
		path  string
		value any
		means string
	}
	parts := []part{
		{d.join("consul.json"), &consulNode{}, "the local Consul agent is asked for this node's name"},
		{d.join("life.json"), &Life{}, "this directory is taken for this machine's"},
		{d.join("seen.json"), &event.Seen{}, "the events that Consul's agent holds now count as seen"},
		{d.join("roles.json"), &Roles{}, "the roles are told again after the next green converge"},
		{d.join("ready.json"), &ready{}, "on_ready counts as not run yet"},
	}
	for _, more := range []struct {
		pattern string
		value   func() any
		means   string
	}{
		{d.join("apps", "*.json"), func() any { return &Journal{} }, "the app is begun anew, by its record"},
		{d.join("outbox", "*.json"), func() any { return &Letter{} }, "its result is told again as the journal has it"},
	} {
		paths, err := filepath.Glob(more.pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			parts = append(parts, part{path, more.value(), more.means})
		}
	}
	var out []Broken
	var errs []error
	for _, p := range parts {
		_, err := read(p.path, p.value)
		var b *brokenError
		if errors.As(err, &b) {
			aside := p.path + broken
			if err = os.Rename(p.path, aside); err == nil {
				out = append(out, Broken{aside, b.err, p.means})
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("put aside what is broken: %w", err))
		}
	}
	return out, errors.Join(errs...)
}

const broken = ".broken"
