package faults_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gurney/report"
)

// whole says that dest is the old tree or the new one; with rsync each of its
// files is.
func (n *node) whole() error {
	t, err := readTree(n.dest())
	if err != nil {
		return err
	}
	if n.strategy == "rsync" {
		return t.mixes(shared.old.tree, shared.new.tree)
	}
	if t.is(shared.old.tree) != nil && t.is(shared.new.tree) != nil {
		return fmt.Errorf("dest is neither the old tree (%w) nor the new one (%w)", t.is(shared.old.tree), t.is(shared.new.tree))
	}
	return nil
}

// onDesired waits for the deployment's final result, which must be ok.
func (n *node) onDesired(id string) report.Result {
	n.Helper()
	var r report.Result
	n.until("the final result of "+id, func() bool {
		r = n.result(id)
		return r.State.Final()
	})
	if r.State != report.OK {
		n.Errorf("the result is %+v", r)
	}
	return r
}

// settles waits until nothing goes on any more and says what is wrong then.
// live is the tree that must stand at dest.
func (n *node) settles(live tree) {
	n.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = errors.Join(n.rests(), n.drained(false), n.leftovers()); err == nil {
			break
		}
	}
	t, treeErr := readTree(n.dest())
	if treeErr == nil {
		treeErr = t.is(live)
	}
	if err := errors.Join(err, treeErr, n.undisturbed()); err != nil {
		n.Error(err)
	}
}

// rests says that no process, letter or lock of a run is left.
func (n *node) rests() error {
	var errs []error
	if s := n.strays(); len(s) > 0 {
		errs = append(errs, fmt.Errorf("processes are left: %v", s))
	}
	letters, err := n.state.Outbox()
	if len(letters) > 0 {
		errs = append(errs, fmt.Errorf("the outbox holds %d letters", len(letters)))
	}
	lock, lockErr := n.state.LockRun("the test")
	lock.Release()
	return errors.Join(append(errs, err, lockErr)...)
}

// leftovers says what of stages, links and files on their way is left.
func (n *node) leftovers() error {
	var errs []error
	look := func(root string, odd func(name string) bool) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && odd(d.Name()) {
				errs = append(errs, fmt.Errorf("%s is left", path))
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	look(n.Dest(), func(name string) bool {
		return strings.HasPrefix(name, ".") && !strings.HasSuffix(name, ".json")
	})
	look(n.State(), func(name string) bool {
		return strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".refused")
	})
	for _, tmp := range []string{n.holds, filepath.Dir(n.holds)} {
		entries, err := os.ReadDir(tmp)
		errs = append(errs, err)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				errs = append(errs, fmt.Errorf("%s is left in the directory for temporary files", e.Name()))
			}
		}
	}
	return errors.Join(errs...)
}

// undisturbed says that no maintenance was begun, and that nothing is marked
// as failed.
func (n *node) undisturbed() error {
	m, err := n.local.Maintenance(n.Context())
	if err != nil {
		return err
	}
	if m.On {
		return fmt.Errorf("the node is in maintenance: %q", m.Reason)
	}
	keys, err := n.fleet.Keys(n.Context(), report.FailedAppPrefix("chef"), 0)
	if err == nil && len(keys) > 0 {
		err = fmt.Errorf("marked as failed: %v", keys)
	}
	return err
}

// once says that one final result was written; where the agent was killed
// between Consul's yes and its own note of it, the same one twice.
func (n *node) once(id string, twice bool) {
	n.Helper()
	// Consul shows it a moment before the proxy has seen Consul's yes.
	n.until("its final result is taken", func() bool { return len(n.ledger.of(id)) > 0 })
	written := n.ledger.of(id)
	if len(written) == 2 && twice && written[0] == written[1] {
		return
	}
	if len(written) != 1 {
		n.Errorf("%d final results were written: %q", len(written), written)
	}
}
