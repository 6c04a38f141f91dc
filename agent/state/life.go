package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Life is who this node is, so that a clone of its disk knows that it is
// somebody else. Either of the two alone is not enough: images are made with
// the one or the other still in them.
type Life struct {
	Machine string `json:"machine"` // /etc/machine-id; "": unknown
	Consul  string `json:"consul"`  // Consul's node id
}

// Begin compares this life with the one that the directory knows, and makes
// the directory this life's. Where it is another's, its journals, events and
// runs are removed, and its outbox, its roles and that it was ready too when the
// machine is another: those letters are the other's to send, and of the other it
// was told. A run that goes on here is proof that the life is the same.
func (d Dir) Begin(now Life) (reborn bool, err error) {
	var before Life
	found, err := read(d.join("life.json"), &before)
	if err != nil {
		return false, err
	}
	if found && before == now {
		return false, nil
	}
	reborn = found
	if found && before.Machine == now.Machine {
		// A run that goes on is no clone's: this machine's Consul lost its data in
		// the middle of it, and what the journals say of it holds.
		goesOn, err := d.runGoesOn()
		if err != nil {
			return false, fmt.Errorf("begin a new life: %w", err)
		}
		reborn = !goesOn
	}
	if reborn {
		keep := []string{"chef", "agent.lock", "agent.sock", "run.lock"}
		if before.Machine == now.Machine {
			keep = append(keep, "outbox", "roles.json", "ready.json") // Consul's data was lost, not ours
		}
		if _, err := removeBut(d.path, keep...); err != nil {
			return false, fmt.Errorf("begin a new life: %w", err)
		}
		if _, err := Open(d.path); err != nil {
			return false, err
		}
	}
	return reborn, write(d.join("life.json"), now)
}

// runGoesOn says whether a run goes on that a journal knows.
func (d Dir) runGoesOn() (bool, error) {
	lock, err := d.LockRun("gurney agent")
	lock.Release()
	var busy *BusyError
	if err == nil || !errors.As(err, &busy) {
		return false, err
	}
	apps, err := d.Apps()
	if err != nil {
		return false, err
	}
	for _, app := range apps {
		j, err := d.Journal(app)
		if err != nil || j.Work == nil || j.Work.Run == "" {
			continue // a run by hand holds the lock too
		}
		if end, err := d.Run(j.Work.Run).Ending(); err == nil && end == nil {
			return true, nil
		}
	}
	return false, nil
}

// ready is that others were told that this machine is ready.
type ready struct {
	At time.Time `json:"at"` // the last time
}

// ToldReady says whether TellReady was called on this machine.
func (d Dir) ToldReady() (bool, error) { return read(d.join("ready.json"), &ready{}) }

// TellReady notes that others were told that this machine is ready. No clone and
// no image has the note.
func (d Dir) TellReady() error { return write(d.join("ready.json"), ready{time.Now()}) }

// Elsewhere says that the directory was another machine's, which can be told
// without Consul.
func (d Dir) Elsewhere(machine string) (bool, error) {
	var before Life
	found, err := read(d.join("life.json"), &before)
	return found && before.Machine != machine, err
}

// Strip removes what an image must not carry into the machines that are made
// of it: who it was, what it did and heard, what it had to tell. What chef-solo
// cached stays. It returns what was there.
func (d Dir) Strip() (removed []string, err error) {
	for _, part := range []struct{ dir, keep string }{{d.Chef(), "cache"}, {d.path, "chef"}} {
		gone, err := removeBut(part.dir, part.keep)
		removed = append(removed, gone...)
		if err != nil {
			return removed, fmt.Errorf("strip the state directory: %w", err)
		}
	}
	return removed, nil
}

// removeBut removes what is in dir but for some names.
func removeBut(dir string, keep ...string) (removed []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if slices.Contains(keep, e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := os.RemoveAll(path); err != nil {
			return removed, err
		}
		removed = append(removed, path)
	}
	return removed, nil
}
