package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mirrorer makes one directory a mirror of another, as rsync -a --delete
// does, but for the copying: both are on one file system, and what changed is
// renamed into its place, file by file.
type mirrorer struct {
	rules rules
	out   io.Writer
	stats SyncStats
	root  bool // this process may give files away
	// hides says that dest has the stage in its directory hidden.
	hides bool
}

// errInTheWay is refused even where rsync deletes: a file of the stage has the
// name of an excluded directory, or a directory that of one with something
// excluded in it.
var errInTheWay = errors.New("what stands there is excluded, or holds what is, and is in the way")

// mirror makes dest a mirror of stage. What the rules exclude is neither
// brought nor deleted. Files of equal size and mtime, in whole seconds, are
// taken for equal. A symlink in dest is never followed; dest itself may be
// one. The first error stops it, halfway; run again with the same tree it
// does the rest.
//
// check is asked of the place that is mirrored into when it is open, so that
// no symlink can be put there after it was judged.
func mirror(ctx context.Context, stage, dest string, r rules, o SyncOptions, check func(place string) error) (SyncStats, error) {
	m := &mirrorer{rules: r, out: o.Verbose, root: os.Geteuid() == 0, hides: filepath.Dir(stage) == filepath.Join(dest, hidden)}
	var want unix.Stat_t
	if err := unix.Lstat(stage, &want); err != nil {
		return m.stats, wrapPath("mirror", stage, err)
	}
	if err := os.MkdirAll(dest, 0o755); err != nil {
		return m.stats, err
	}
	real, err := filepath.EvalSymlinks(dest)
	if err != nil {
		return m.stats, err
	}
	from, err := openDir(unix.AT_FDCWD, stage, stage)
	if err != nil {
		return m.stats, wrapPath("open", stage, err)
	}
	defer func() { _ = from.Close() }()
	to, err := openDir(unix.AT_FDCWD, real, real)
	if err != nil {
		return m.stats, wrapPath("open", real, err)
	}
	defer func() { _ = to.Close() }()
	place, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", to.Fd()))
	if err == nil {
		err = check(place)
	}
	if err == nil {
		err = markChanged(place)
	}
	if err != nil {
		return m.stats, err
	}
	if err := m.dir(ctx, from, to, "", &want); err != nil {
		return m.stats, fmt.Errorf("mirror to %s: %w", dest, err)
	}
	return m.stats, nil
}

// item is an entry of the stage that is brought.
type item struct {
	name, path string // path from the root
	want       unix.Stat_t
}

func (i *item) isDir() bool { return i.want.Mode&unix.S_IFMT == unix.S_IFDIR }

// dir makes to a mirror of from; want is what from was before it was opened.
func (m *mirrorer) dir(ctx context.Context, from, to *os.File, path string, want *unix.Stat_t) error {
	items, err := m.list(from, path)
	if err != nil {
		return err
	}
	if err := m.prune(ctx, to, path, items); err != nil {
		return err
	}
	for i := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.entry(ctx, from, to, &items[i]); err != nil {
			return wrapPath("mirror", items[i].path, err)
		}
	}
	return wrapPath("set mode and time of", join(path, "."), m.attributes(to, want))
}

// list gives what of a directory of the stage is brought, by name.
func (m *mirrorer) list(from *os.File, path string) ([]item, error) {
	names, err := from.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var items []item
	for _, name := range names {
		if path == "" && name == hidden && m.hides {
			return nil, fmt.Errorf("the release has an entry %s, and that is where dest has its stages", hidden)
		}
		i := item{name: name, path: join(path, name)}
		if i.want, err = statAt(from, name); err != nil {
			return nil, wrapPath("stat", i.path, err)
		}
		if !m.rules.excluded(i.path, i.isDir()) {
			items = append(items, i)
		}
	}
	return items, nil
}

// prune deletes what is not brought, but for what is excluded.
func (m *mirrorer) prune(ctx context.Context, to *os.File, path string, brought []item) error {
	names, err := to.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if path == "" && name == hidden && m.hides {
			continue
		}
		_, brings := slices.BinarySearchFunc(brought, name, func(i item, name string) int {
			return strings.Compare(i.name, name)
		})
		if brings {
			continue
		}
		if _, err := m.remove(ctx, to, name, join(path, name)); err != nil {
			return wrapPath("delete", join(path, name), err)
		}
	}
	return nil
}

// remove deletes one entry with what is in it; gone is false where something
// excluded keeps it.
func (m *mirrorer) remove(ctx context.Context, parent *os.File, name, path string) (gone bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	st, err := statAt(parent, name)
	if errors.Is(err, unix.ENOENT) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if m.rules.excluded(path, isDir) {
		return false, nil
	}
	if !isDir {
		if err := unix.Unlinkat(int(parent.Fd()), name, 0); err != nil {
			return false, err
		}
		m.stats.Deleted++
		m.say("deleting %s", path)
		return true, nil
	}
	empty, err := m.empty(ctx, parent, name, path, &st)
	if err != nil || !empty {
		return false, err
	}
	if err := unix.Unlinkat(int(parent.Fd()), name, unix.AT_REMOVEDIR); err != nil {
		return false, err
	}
	m.say("deleting %s/", path)
	return true, nil
}

// empty deletes what is in a directory, and says whether all of it is gone.
func (m *mirrorer) empty(ctx context.Context, parent *os.File, name, path string, was *unix.Stat_t) (bool, error) {
	d, err := openDir(int(parent.Fd()), name, path)
	if err != nil {
		return false, err
	}
	defer func() { _ = d.Close() }()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return false, err
	}
	all := true
	for _, n := range names {
		gone, err := m.remove(ctx, d, n, join(path, n))
		if err != nil {
			return false, wrapPath("delete", join(path, n), err)
		}
		all = all && gone
	}
	if !all && was.Mode&0o700 != 0o700 {
		return false, unix.Fchmod(int(d.Fd()), was.Mode&0o7777)
	}
	return all, nil
}

// wrapPath says where, once: an error that does so already stays as it is.
func wrapPath(op, path string, err error) error {
	var has *fs.PathError
	if err == nil || errors.As(err, &has) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// entry brings one entry of the stage into its place.
func (m *mirrorer) entry(ctx context.Context, from, to *os.File, i *item) error {
	old, err := statAt(to, i.name)
	exists := err == nil
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if oldDir := old.Mode&unix.S_IFMT == unix.S_IFDIR; exists && oldDir != i.isDir() {
		gone, err := m.remove(ctx, to, i.name, i.path)
		if err != nil {
			return err
		}
		if !gone {
			return errInTheWay
		}
		exists = false
	}
	if i.isDir() {
		return m.subdir(ctx, from, to, i, exists)
	}
	if exists && same(from, to, i.name, &i.want, &old) {
		m.stats.Unchanged++
		return m.fix(to, i.name, &i.want, &old)
	}
	if err := m.move(ctx, from, to, i.name, &i.want); err != nil {
		return err
	}
	m.stats.Updated++
	m.say("%s", i.path)
	return nil
}

func (m *mirrorer) subdir(ctx context.Context, from, to *os.File, i *item, exists bool) error {
	if !exists {
		if err := unix.Mkdirat(int(to.Fd()), i.name, 0o700); err != nil {
			return err
		}
		m.say("%s/", i.path)
	}
	src, err := openDir(int(from.Fd()), i.name, i.path)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	dst, err := openDir(int(to.Fd()), i.name, i.path)
	if err != nil {
		return err
	}
	defer func() { _ = dst.Close() }()
	return m.dir(ctx, src, dst, i.path, &i.want)
}

// same is rsync's quick check.
func same(from, to *os.File, name string, want, old *unix.Stat_t) bool {
	if want.Mode&unix.S_IFMT != old.Mode&unix.S_IFMT {
		return false
	}
	switch want.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return want.Size == old.Size && want.Mtim.Sec == old.Mtim.Sec
	case unix.S_IFLNK:
		a, err1 := readlinkAt(from, name)
		b, err2 := readlinkAt(to, name)
		return err1 == nil && err2 == nil && a == b
	}
	return want.Rdev == old.Rdev
}

// fix gives an unchanged entry the owner, mode and, in seconds, the time that
// it should have.
func (m *mirrorer) fix(to *os.File, name string, want, old *unix.Stat_t) error {
	mode := old.Mode
	if m.root && (want.Uid != old.Uid || want.Gid != old.Gid) {
		if err := unix.Fchownat(int(to.Fd()), name, int(want.Uid), int(want.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		mode = ^want.Mode // a change of owner takes set-user-id away
	}
	if want.Mode&unix.S_IFMT != unix.S_IFLNK && want.Mode&0o7777 != mode&0o7777 {
		if err := chmodAt(int(to.Fd()), name, want.Mode); err != nil {
			return err
		}
	}
	if want.Mtim.Sec != old.Mtim.Sec {
		return setTimes(to, name, want)
	}
	return nil
}

// move renames an entry into its place. Where something is mounted inside
// dest it is copied beside its place first.
func (m *mirrorer) move(ctx context.Context, from, to *os.File, name string, want *unix.Stat_t) error {
	err := unix.Renameat(int(from.Fd()), name, int(to.Fd()), name)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	temp, err := copyAt(ctx, from, to, name, want)
	if err != nil {
		return err
	}
	have, err := statAt(to, temp)
	if err == nil {
		err = m.fix(to, temp, want, &have)
	}
	if err == nil {
		err = unix.Renameat(int(to.Fd()), temp, int(to.Fd()), name)
	}
	if err != nil {
		_ = unix.Unlinkat(int(to.Fd()), temp, 0)
	}
	return err
}

// attributes sets a directory's owner, mode and time, after its content.
func (m *mirrorer) attributes(d *os.File, want *unix.Stat_t) error {
	fd := int(d.Fd())
	if m.root {
		if err := unix.Fchown(fd, int(want.Uid), int(want.Gid)); err != nil {
			return err
		}
	}
	if err := unix.Fchmod(fd, want.Mode&0o7777); err != nil {
		return err
	}
	return setTimes(d, ".", want)
}

func (m *mirrorer) say(format string, args ...any) {
	if m.out != nil {
		_, _ = fmt.Fprintf(m.out, format+"\n", args...)
	}
}
