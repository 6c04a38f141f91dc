package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Release is one staged tree on its way to dest. It holds nothing open.
type Release struct {
	o     Options
	where string // the directory of stages
	dir   string // the tree: a stage, and after Proven what it became
	moved bool   // dest is this release already
}

const (
	unverified = ".unverified"
	trash      = ".trash"
)

var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// releases is where the trees of strategy release stand.
func releases(dest string) string { return dest + ".releases" }

// Open makes an empty stage on dest's own file system, and removes what
// interrupted runs left there. A tree of the same id that is proven already is
// left alone until the new one is.
func Open(o Options) (*Release, error) {
	if err := CheckDest(o.Dest, o.Strategy, o.Allowed); err != nil {
		return nil, err
	}
	if !validID.MatchString(o.ID) || strings.HasPrefix(o.ID, "before-") {
		return nil, fmt.Errorf("release %q: letters, digits, '.', '_' and '-' make an id", o.ID)
	}
	o.Dest = filepath.Clean(o.Dest)
	r := &Release{o: o}
	mount, err := isMount(o.Dest)
	if err != nil {
		return nil, fmt.Errorf("dest %s: %w", o.Dest, err)
	}
	inside := mount || o.Strategy == Rsync && onlyInside(o.Dest)
	switch {
	case o.Strategy == Symlink && mount:
		return nil, fmt.Errorf("dest %s is a mount point, which can't become a symlink: take a directory inside it, or sync_strategy rsync", o.Dest)
	case o.Strategy == Symlink:
		r.where = releases(o.Dest)
	case o.Strategy == Rsync && inside:
		r.where = filepath.Join(o.Dest, hidden)
	case o.Strategy == Rsync || o.Strategy == Mv:
		r.where = filepath.Join(filepath.Dir(o.Dest), "."+filepath.Base(o.Dest)+".gurney")
	default:
		return nil, fmt.Errorf("sync_strategy %q: release, rsync or mv", o.Strategy)
	}
	if fi, err := os.Lstat(r.where); err == nil && fi.Mode()&os.ModeSymlink != 0 {
		return nil, &RefusedError{o.Dest, r.where + " is a symlink: what releases are made in must be a directory of its own"}
	}
	if fi, err := os.Stat(o.Dest); err == nil && !fi.IsDir() && o.Strategy != Mv {
		return nil, fmt.Errorf("dest %s is there and no directory: nothing is put in its place", o.Dest)
	}
	if o.Strategy == Mv {
		if _, err := os.Lstat(o.Dest); err == nil {
			if !isMovedAs(o.Dest, o.ID) {
				return nil, fmt.Errorf("dest %s exists, and sync_strategy mv replaces nothing", o.Dest)
			}
			r.moved = true
		}
	}
	if err := clean(r.where, o.Dest); err != nil {
		return nil, fmt.Errorf("clean up after an interrupted run: %w", err)
	}
	if err := os.MkdirAll(r.where, 0o755); err != nil {
		return nil, fmt.Errorf("make stage: %w", err)
	}
	r.dir = filepath.Join(r.where, "."+o.ID+unverified)
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make stage: %w", err)
	}
	return r, nil
}

// hidden is the directory of stages inside a dest that is mounted, or beside which
// nothing may be made. The mirror never sees it.
const hidden = ".gurney"

// Dir is where to unpack; after Proven it is the tree.
func (r *Release) Dir() string { return r.dir }

// Proven takes the stage for what was promised: it gets dest's mode and, with
// strategy release, its own name. It returns the directory of the tree.
func (r *Release) Proven() (string, error) {
	mode := r.o.Mode
	if mode == 0 {
		mode = 0o755
	}
	if err := os.Chmod(r.dir, mode); err != nil {
		return "", fmt.Errorf("dest_mode: %w", err)
	}
	if r.o.Strategy != Symlink {
		return r.dir, nil
	}
	final := filepath.Join(r.where, r.o.ID)
	m := readMeta(r.o.Dest, r.o.ID) // of a retry: what was before it stays so
	m.Proven, m.Changed = time.Now(), false
	if err := takePlace(r.dir, final); err != nil {
		return "", fmt.Errorf("name the release: %w", err)
	}
	// Not before: it says what stands there, and a crash may come between.
	if err := writeMeta(r.o.Dest, r.o.ID, m); err != nil {
		return "", err
	}
	r.dir = final
	return final, nil
}

// Discard removes the stage where it was not proven, or was synced from. It is
// idempotent.
func (r *Release) Discard() error {
	stage := filepath.Join(r.where, "."+r.o.ID+unverified)
	err := removeAll(stage)
	if e := os.Remove(stage + ".archive"); err == nil && !errors.Is(e, fs.ErrNotExist) {
		err = e
	}
	if r.o.Strategy != Symlink {
		_ = os.Remove(r.where) // when it was the last
	}
	return err
}

// Moved says whether dest is already there, whole, as this release: mv brought it
// before, and only what comes after is to be done again.
func (r *Release) Moved() bool { return r.moved }

// clean removes stages, links and trash of interrupted runs.
func clean(where, dest string) error {
	entries, err := os.ReadDir(where)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		name := e.Name()
		switch {
		case !strings.HasPrefix(name, "."):
			continue
		case strings.HasSuffix(name, asideLink):
			// A crash between the exchange and its end left the directory
			// that stood at dest under the link's name: it is kept.
			if e.IsDir() {
				id := strings.TrimSuffix(strings.TrimPrefix(name, "."), asideLink)
				errs = append(errs, os.Rename(filepath.Join(where, name), filepath.Join(where, before+id)))
				continue
			}
			errs = append(errs, os.Remove(filepath.Join(where, name)))
		case strings.HasSuffix(name, unverified), strings.HasSuffix(name, trash),
			strings.HasSuffix(name, unverified+".archive"), strings.HasSuffix(name, unverified+".zip"):
			errs = append(errs, removeAll(filepath.Join(where, name)))
		case strings.HasPrefix(name, ".."): // what was to become a release's note
			errs = append(errs, os.Remove(filepath.Join(where, name)))
		case strings.HasSuffix(name, metaSuffix):
			id := strings.TrimSuffix(strings.TrimPrefix(name, "."), metaSuffix)
			if _, err := os.Lstat(filepath.Join(where, id)); errors.Is(err, fs.ErrNotExist) && where == releases(dest) {
				errs = append(errs, os.Remove(filepath.Join(where, name)))
			}
		}
	}
	return errors.Join(errs...)
}

// takePlace renames stage to final. A tree that stands there may be the live
// one, which a retry brings anew: the two are exchanged, so that dest never
// points at nothing.
func takePlace(stage, final string) error {
	err := unix.Renameat2(unix.AT_FDCWD, stage, unix.AT_FDCWD, final, unix.RENAME_EXCHANGE)
	switch {
	case err == nil:
		return putAside(stage)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		// The file system can't exchange: for a moment nothing stands there.
		if err := putAside(final); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return &os.LinkError{Op: "exchange", Old: stage, New: final, Err: err}
	}
	return os.Rename(stage, final)
}

// putAside makes a tree's name free: what is removed has a name that says so.
func putAside(path string) error {
	gone := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+trash)
	if err := removeAll(gone); err != nil {
		return err
	}
	if err := os.Rename(path, gone); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return removeAll(gone)
}

// removeAll removes a tree, also one with directories that their owner may
// not write.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}
