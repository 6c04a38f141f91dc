package artifact

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// dir is an open directory of the tree.
type dir struct {
	fd   int
	refs int
}

// dirCache keeps the directories that were used last open, so that a file
// costs no walk from the root. It is safe for concurrent use.
type dirCache struct {
	mu     sync.Mutex
	root   *os.File
	byPath map[string]*dir
	made   int64 // directories that were not there
}

// openDirs is how many directories stay open.
const openDirs = 128

func newDirCache(root *os.Root) (*dirCache, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	c := &dirCache{root: f, byPath: map[string]*dir{}}
	c.byPath[""] = &dir{fd: int(f.Fd()), refs: 1}
	return c, nil
}

// open returns the directory at path, below the root; where create is set it
// makes those that are missing. It must be released. A part of the path that
// is no directory, a symlink among them, is an error.
func (c *dirCache) open(path string, create bool) (*dir, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.walk(path, create)
}

func (c *dirCache) walk(path string, create bool) (*dir, error) {
	if d := c.byPath[path]; d != nil {
		d.refs++
		return d, nil
	}
	parentPath, base := split(path)
	parent, err := c.walk(parentPath, create)
	if err != nil {
		return nil, err
	}
	defer func() { parent.refs-- }()
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(parent.fd, base, flags, 0)
	if errors.Is(err, unix.ENOENT) && create {
		if err := unix.Mkdirat(parent.fd, base, 0o777); err != nil {
			return nil, err
		}
		c.made++
		fd, err = unix.Openat(parent.fd, base, flags, 0)
	}
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s %w", path, errNoDir)
	}
	if err != nil {
		return nil, err
	}
	c.shrink()
	d := &dir{fd: fd, refs: 1}
	c.byPath[path] = d
	return d, nil
}

var errNoDir = errors.New("is no directory (symlinks are never followed)")

// count is how many directories were made.
func (c *dirCache) count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made
}

// shrink closes directories that nobody uses, where too many are open.
func (c *dirCache) shrink() {
	if len(c.byPath) < openDirs {
		return
	}
	for path, d := range c.byPath {
		if d.refs == 0 {
			_ = unix.Close(d.fd)
			delete(c.byPath, path)
		}
	}
}

func (c *dirCache) release(d *dir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d.refs--
}

// drop releases d and closes it at once.
func (c *dirCache) drop(path string, d *dir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.refs--; d.refs == 0 {
		_ = unix.Close(d.fd)
		delete(c.byPath, path)
	}
}

func (c *dirCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, d := range c.byPath {
		if path != "" {
			_ = unix.Close(d.fd)
		}
	}
	_ = c.root.Close()
}
