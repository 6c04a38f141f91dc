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

// String says what was done, and what becomes of what it held.
func (b Broken) String() string { return "a broken file was put aside: " + b.Means }

// PutAside renames files that can't be decoded to <name>.broken, for people to
// look at: one broken file must not keep a node from all that it should run, and
// what it held is found again elsewhere, or done anew. A file that can't be read
// at all is an error.
//
// It is for who begins. While an agent lives, the outbox alone may be looked at:
// all else is the loop's.
func (d Dir) PutAside() ([]Broken, error) {
	return putAside([]kept{
		{d.join("consul.json"), as[consulNode], "the local Consul agent is asked for this node's name"},
		{d.join("life.json"), as[Life], "this directory is taken for this machine's"},
		{d.join("seen.json"), as[event.Seen], "the events that Consul's agent holds now count as seen"},
		{d.join("roles.json"), as[Roles], "the roles are told again after the next green converge"},
		{d.join("ready.json"), as[ready], "on_ready counts as not run yet"},
		{d.join("apps", "*.json"), as[Journal], "the app is begun anew, by its record"},
		d.letters(),
	})
}

// PutLettersAside is PutAside for the outbox alone.
func (d Dir) PutLettersAside() ([]Broken, error) { return putAside([]kept{d.letters()}) }

func (d Dir) letters() kept {
	return kept{d.join("outbox", "*.json"), as[Letter], "its result is told again as the journal has it"}
}

// kept are files of one kind.
type kept struct {
	pattern string
	value   func() any // to decode into
	means   string     // see Broken
}

func as[T any]() any { return new(T) }

func putAside(kinds []kept) (out []Broken, err error) {
	var errs []error
	for _, k := range kinds {
		paths, err := filepath.Glob(k.pattern)
		errs = append(errs, err)
		for _, path := range paths {
			_, err := read(path, k.value())
			var b *brokenError
			if errors.As(err, &b) {
				if err = os.Rename(path, path+broken); err == nil {
					out = append(out, Broken{path + broken, b.err, k.means})
				}
			}
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return out, fmt.Errorf("put aside what is broken: %w", err)
	}
	return out, nil
}

const broken = ".broken"
