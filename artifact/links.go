package artifact

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// replaceByDir makes a directory of a file or symlink that an earlier entry
// brought, as tar does. It is for entries that are directories: the parents
// of a name never replace anything.
func (t *tree) replaceByDir(path string) (*dir, error) {
	parentPath, base := split(path)
	parent, err := t.dirs.open(parentPath, true)
	if err != nil {
		return nil, err
	}
	defer t.dirs.release(parent)
	if err := unix.Unlinkat(parent.fd, base, 0); err != nil {
		return nil, err
	}
	return t.dirs.open(path, true)
}

// symlink makes a link that may point anywhere; it is never followed.
func (t *tree) symlink(d *dir, base string, e entryInfo) error {
	if e.link == "" || strings.ContainsRune(e.link, 0) {
		return errors.New("a symlink without a target")
	}
	if err := replacing(d.fd, base, func() error { return unix.Symlinkat(e.link, d.fd, base) }); err != nil {
		return err
	}
	return t.meta.symlink(d.fd, base, e)
}

// link makes a hard link to what the archive brought before.
func (t *tree) link(path string, e entryInfo) error {
	target, err := cleanName(e.link)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", e.link, err)
	}
	if target == path {
		return nil
	}
	t.pool.wait() // the target may still be on its way
	fromDir, fromBase := split(target)
	from, err := t.dirs.open(fromDir, false)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", e.link, err)
	}
	defer t.dirs.release(from)
	toDir, toBase := split(path)
	to, err := t.dirs.open(toDir, true)
	if err != nil {
		return err
	}
	defer t.dirs.release(to)
	if err := replacing(to.fd, toBase, func() error { return unix.Linkat(from.fd, fromBase, to.fd, toBase, 0) }); err != nil {
		return fmt.Errorf("hard link to %q: %w", e.link, err)
	}
	return nil
}

// replacing calls make, and once more after removing the file or link that is
// in the way: a later entry replaces an earlier one.
func replacing(dirfd int, base string, create func() error) error {
	err := create()
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := unix.Unlinkat(dirfd, base, 0); err != nil {
		if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
			return errors.New("a directory of that name is there already")
		}
		return err
	}
	return create()
}
