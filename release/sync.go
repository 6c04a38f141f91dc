package release

import (
	"context"
	"errors"
	"fmt"
	"io"
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
