package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Activate makes dest point at the proven tree, in one step that nobody can
// see half done. What the tree's files hold is on disk before. A directory
// that stands at dest is exchanged for the link, and kept.
func (r *Release) Activate(ctx context.Context) (Activation, error) {
	dest := r.o.Dest
	tree, ok := Existing(dest, r.o.ID)
	if !ok {
		return Activation{}, fmt.Errorf("activate %s: %w", r.o.ID, fs.ErrNotExist)
	}
	a := Activation{ID: r.o.ID}
	info, err := os.Lstat(dest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return Activation{}, fmt.Errorf("activate: %w", err)
	case info.Mode().Type() == fs.ModeSymlink:
		if a.Previous = currentID(dest); a.Previous == "" {
			if a.Previous, err = linkTarget(dest); err != nil {
				return Activation{}, fmt.Errorf("activate: %w", err)
			}
		}
		if a.Already = a.Previous == r.o.ID; a.Already {
			a.Previous = readMeta(dest, r.o.ID).Previous
		}
	case info.IsDir():
		a.Kept = freeName(filepath.Join(releases(dest), before+r.o.ID))
		a.Previous = a.Kept
	default:
		return Activation{}, fmt.Errorf("activate: dest %s is neither a directory nor a symlink", dest)
	}
	if err := ctx.Err(); err != nil {
		return Activation{}, err
	}
	if err := syncfs(tree); err != nil {
		return Activation{}, fmt.Errorf("activate: write %s to disk: %w", tree, err)
	}
	m := readMeta(dest, r.o.ID)
	m.Previous = a.Previous
	if err := writeMeta(dest, r.o.ID, m); err != nil {
		return Activation{}, err
	}
	if a.Already {
		return a, nil
	}
	if err := flip(dest, filepath.Join(filepath.Base(releases(dest)), r.o.ID), r.o.ID, a.Kept); err != nil {
		return Activation{}, fmt.Errorf("activate %s: %w", r.o.ID, err)
	}
	return a, nil
}

// Restore makes dest point at what was there before: the id of a release, or
// an absolute path, as Activation.Previous has it.
func Restore(ctx context.Context, dest, previous string) error {
	dest = filepath.Clean(dest)
	target := previous
	if !filepath.IsAbs(previous) {
		// As it was or not: it is what was live.
		if info, err := os.Lstat(filepath.Join(releases(dest), previous)); err != nil || !info.IsDir() {
			return fmt.Errorf("go back to release %s: %w", previous, cmp.Or(err, fs.ErrNotExist))
		}
		target = filepath.Join(filepath.Base(releases(dest)), previous)
	} else if filepath.Dir(previous) == releases(dest) {
		target = filepath.Join(filepath.Base(releases(dest)), filepath.Base(previous))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return flip(dest, target, "restore", "")
}

// flip puts a symlink to target at dest. Where keep is not empty a directory
// stands at dest, and ends up there.
func flip(dest, target, id, keep string) error {
	link := filepath.Join(releases(dest), "."+id+asideLink)
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, link); err != nil {
		return err
	}
	if keep == "" {
		return os.Rename(link, dest)
	}
	err := unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, dest, unix.RENAME_EXCHANGE)
	if err == nil {
		return os.Rename(link, keep)
	}
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return &os.LinkError{Op: "exchange", Old: link, New: dest, Err: err}
	}
	// The file system can't exchange: for a moment nothing stands at dest,
	// this once.
	if err := os.Rename(dest, keep); err != nil {
		return err
	}
	if err := os.Rename(link, dest); err != nil {
		return errors.Join(err, os.Rename(keep, dest))
	}
	return nil
}

// linkTarget is where a symlink points, as an absolute path.
func linkTarget(link string) (string, error) {
	target, err := os.Readlink(link)
	if err != nil || filepath.IsAbs(target) {
		return target, err
	}
	return filepath.Join(filepath.Dir(link), target), nil
}

// freeName is path, or path with a number where that is taken.
func freeName(path string) string {
	for n, try := 2, path; ; n++ {
		if _, err := os.Lstat(try); errors.Is(err, fs.ErrNotExist) {
			return try
		}
		try = fmt.Sprintf("%s.%d", path, n)
	}
}

// syncfs writes the file system of dir to disk: once, instead of every file.
func syncfs(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return unix.Syncfs(int(f.Fd()))
}
