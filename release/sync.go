package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Sync brings the proven stage to dest: rsync mirrors it there with deletion,
// mv renames it and fails where dest exists.
func (r *Release) Sync(ctx context.Context, o SyncOptions) (SyncStats, error) {
	if err := ctx.Err(); err != nil {
		return SyncStats{}, err
	}
	switch r.o.Strategy {
	case Mv:
		markMoved(r.dir, r.o.ID)
		err := unix.Renameat2(unix.AT_FDCWD, r.dir, unix.AT_FDCWD, r.o.Dest, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EEXIST) {
			return SyncStats{}, fmt.Errorf("dest %s exists, and sync_strategy mv replaces nothing", r.o.Dest)
		}
		if err != nil {
			return SyncStats{}, &os.LinkError{Op: "rename", Old: r.dir, New: r.o.Dest, Err: err}
		}
		return SyncStats{}, nil
	case Rsync:
		rules, err := r.rules(o)
		if err != nil {
			return SyncStats{}, err
		}
		return mirror(ctx, r.dir, r.o.Dest, rules, o, func(place string) error { return CheckDest(place, Rsync, r.o.Allowed) })
	}
	return SyncStats{}, fmt.Errorf("sync_strategy %s is activated, not synced", r.o.Strategy)
}

// movedAttribute names, on a dest that mv brought, the release that it is. A file
// system without such attributes has none, and then nothing is known of it.
const movedAttribute = "user.gurney.release"

func markMoved(dir, id string) { _ = unix.Lsetxattr(dir, movedAttribute, []byte(id), 0) }

func isMovedAs(dest, id string) bool {
	value := make([]byte, len(id)+1)
	n, err := unix.Lgetxattr(dest, movedAttribute, value)
	return err == nil && string(value[:n]) == id
}

// LeaveOut removes from the stage what the patterns exclude, for a release that is not
// synced but becomes live as it is. Directories keep their times.
func (r *Release) LeaveOut(ctx context.Context, o SyncOptions) (left int, err error) {
	rules, err := r.rules(o)
	if err != nil {
		return 0, err
	}
	err = filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || path == r.dir {
			return err
		}
		rel, err := filepath.Rel(r.dir, path)
		if err != nil || !rules.excluded(rel, d.IsDir()) {
			return err
		}
		left++
		if err := removeFrom(path); err != nil {
			return fmt.Errorf("leave out %s: %w", rel, err)
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	return left, err
}

// removeFrom removes path from its directory, which stays as it was otherwise.
func removeFrom(path string) error {
	parent := filepath.Dir(path)
	var was unix.Stat_t
	if err := unix.Lstat(parent, &was); err != nil {
		return err
	}
	dir, err := openDir(unix.AT_FDCWD, parent, parent) // which makes it writable
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if err := removeAll(path); err != nil {
		return err
	}
	if err := unix.Fchmod(int(dir.Fd()), was.Mode&0o7777); err != nil {
		return err
	}
	return setTimes(dir, ".", &was)
}

// rules reads the patterns of exclude_from, which is a file of the archive,
// and then those of excludes.
func (r *Release) rules(o SyncOptions) (rules, error) {
	var file io.Reader
	if o.ExcludeFrom != "" {
		if !filepath.IsLocal(o.ExcludeFrom) {
			return rules{}, fmt.Errorf("exclude_from %q is not inside the archive", o.ExcludeFrom)
		}
		root, err := os.OpenRoot(r.dir)
		if err != nil {
			return rules{}, err
		}
		defer func() { _ = root.Close() }()
		f, err := root.Open(o.ExcludeFrom)
		if err != nil {
			return rules{}, fmt.Errorf("exclude_from: %w", err)
		}
		defer func() { _ = f.Close() }()
		file = f
	}
	return parseRules(o.Excludes, file)
}
