package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

type kind int

const (
	kindOther kind = iota // refused
	kindFile
	kindDir
	kindSymlink
	kindLink
)

// entryInfo is an entry of an archive, whatever the archive's kind.
type entryInfo struct {
	kind         kind
	what         string // for kindOther: what it is
	name, link   string
	size         int64
	mtime        time.Time
	mode         fs.FileMode
	uid, gid     int
	uname, gname string
	owned        bool // the archive says whose it is
}

// tree writes the entries of an archive below a directory and nowhere else:
// every directory is opened from its parent, without following symlinks.
// Small files are written by workers, while the archive is read on.
type tree struct {
	root   *os.Root
	limits Limits
	files  int64
	bytes  int64
	dirs   *dirCache
	made   []dirMeta  // set when all is written: writing changes mtimes
	top    *entryInfo // the archive's own root, where it names one
	meta   *metadata
	pool   *writers
	copy   []byte // for contents that are written while they are read
}

type dirMeta struct {
	path string
	info entryInfo
}

func newTree(stage string, limits Limits) (*tree, error) {
	if limits.Files <= 0 {
		limits.Files = defaultFiles
	}
	if limits.Bytes <= 0 {
		limits.Bytes = defaultBytes
	}
	root, err := os.OpenRoot(stage)
	if err != nil {
		return nil, err
	}
	dirs, err := newDirCache(root)
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	meta := newMetadata(root)
	return &tree{root: root, limits: limits, dirs: dirs, meta: meta, pool: newWriters(meta, dirs), copy: make([]byte, 256<<10)}, nil
}

// add writes one entry; content is a file's.
func (t *tree) add(ctx context.Context, e entryInfo, content io.Reader) error {
	if err := t.pool.failed(); err != nil {
		return err
	}
	path, err := cleanName(e.name)
	if err != nil {
		return refuse(e.name, "%w", err)
	}
	if e.kind == kindOther {
		return refuse(e.name, "it is %s, which is refused", e.what)
	}
	// Directories that no entry names cost as much as those that one does.
	if t.files++; t.files > t.limits.Files || t.dirs.count() > t.limits.Files {
		return refuse(e.name, "the archive has more than %d entries", t.limits.Files)
	}
	if e.kind == kindFile {
		if e.size < 0 {
			return &FormatError{What: fmt.Sprintf("the size of %q is negative", e.name)}
		}
		if e.size > t.limits.Bytes-t.bytes {
			return refuse(e.name, "the archive unpacks to more than %d bytes", t.limits.Bytes)
		}
		t.bytes += e.size
	}
	if path == "" {
		if e.kind != kindDir {
			return refuse(e.name, "the root of an archive is a directory")
		}
		t.top = &e
		return nil
	}
	err = t.write(ctx, path, e, content)
	var fe *FormatError
	var ee *EntryError
	if err == nil || errors.As(err, &fe) || errors.As(err, &ee) || ctx.Err() != nil {
		return err
	}
	return &EntryError{Name: e.name, Err: err}
}

// cleanName is the name below the root, "" for the root itself.
func cleanName(name string) (string, error) {
	if name == "" {
		return "", errors.New("it has no name")
	}
	if len(name) >= unix.PathMax {
		return "", fmt.Errorf("its name is longer than %d bytes, which no program could open", unix.PathMax-1)
	}
	if strings.HasPrefix(name, "/") {
		return "", errors.New("its name is absolute")
	}
	if strings.ContainsRune(name, 0) {
		return "", errors.New("its name has a zero byte")
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "", ".":
		case "..":
			return "", errors.New(`its name has a ".."`)
		default:
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/"), nil
}

func split(path string) (dir, base string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

func (t *tree) write(ctx context.Context, path string, e entryInfo, content io.Reader) error {
	parent, base := split(path)
	// What a worker is about to write must be there before anything is done
	// to its name.
	if e.kind != kindFile && t.pool.inFlight(path) || parent != "" && t.pool.inFlight(parent) {
		t.pool.wait()
	}
	switch e.kind {
	case kindDir:
		d, err := t.dirs.open(path, true)
		if errors.Is(err, errNoDir) {
			if d, err = t.replaceByDir(path); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		t.dirs.release(d)
		t.made = append(t.made, dirMeta{path, e})
		return nil
	case kindLink:
		return t.link(path, e)
	}
	d, err := t.dirs.open(parent, true)
	if err != nil {
		return err
	}
	if e.kind == kindSymlink {
		defer t.dirs.release(d)
		return t.symlink(d, base, e)
	}
	if e.size <= smallFile {
		return t.pool.small(ctx, d, path, base, e, content)
	}
	defer t.dirs.release(d)
	if t.pool.inFlight(path) {
		t.pool.wait()
	}
	return t.large(ctx, d, base, e, content)
}

// large writes a file while its content arrives.
func (t *tree) large(ctx context.Context, d *dir, base string, e entryInfo, content io.Reader) error {
	fd, err := create(d.fd, base, e.mode)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	err = t.pour(ctx, f, e, content)
	if err == nil {
		err = t.meta.file(d.fd, fd, base, e)
	}
	if c := f.Close(); err == nil {
		err = c
	}
	return err
}

func (t *tree) pour(ctx context.Context, f *os.File, e entryInfo, content io.Reader) error {
	var n int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		got, err := content.Read(t.copy)
		if n += int64(got); n > e.size {
			return &FormatError{What: fmt.Sprintf("%q is longer than its header says", e.name)}
		}
		if _, werr := f.Write(t.copy[:got]); werr != nil {
			return &EntryError{Name: e.name, Err: werr}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return readError(e.name, err)
		}
	}
	if n != e.size {
		return readError(e.name, io.ErrUnexpectedEOF)
	}
	return nil
}

// readError is a content that could not be read: the archive is broken.
func readError(name string, err error) error {
	var fe *FormatError
	if errors.As(err, &fe) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return broken(fmt.Sprintf("archive (at %q)", name), err)
}

// finish waits for the writers and, where all went well, sets the modes and
// times of directories, the deepest first.
func (t *tree) finish(ok bool) error {
	err := t.pool.close()
	defer func() { _ = t.root.Close() }()
	defer t.dirs.close()
	if !ok || err != nil {
		return err
	}
	slices.SortStableFunc(t.made, func(a, b dirMeta) int { return strings.Compare(b.path, a.path) })
	for i, m := range t.made {
		if i+1 < len(t.made) && t.made[i+1].path == m.path {
			continue // named twice: the later counts
		}
		d, err := t.dirs.open(m.path, false)
		if err != nil {
			return &EntryError{Name: m.info.name, Err: err}
		}
		err = t.meta.dir(d.fd, m.info)
		t.dirs.drop(m.path, d)
		if err != nil {
			return &EntryError{Name: m.info.name, Err: err}
		}
	}
	if t.top == nil {
		return nil
	}
	// The last: what was done inside it has changed its time.
	d, err := t.dirs.open("", false)
	if err == nil {
		err = t.meta.top(d.fd, *t.top)
		t.dirs.release(d)
	}
	if err != nil {
		return &EntryError{Name: t.top.name, Err: err}
	}
	return nil
}
