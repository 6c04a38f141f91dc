package release

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// CheckWritable says whether this process may bring a release to dest: stages
// stand beside it, and what it replaces is renamed; rsync writes into dest, and
// where that is a mount point, or nothing may be made beside it, has its stages
// inside. It only asks, and writes nothing: the disk may still say no. The error
// is the disk's.
func CheckWritable(dest string, s Strategy) error {
	dest = filepath.Clean(dest)
	if s == Rsync {
		mount, err := isMount(dest)
		if err == nil {
			err = checkWritable(dest)
		}
		if err != nil || mount || onlyInside(dest) {
			return err
		}
	} else if info, err := os.Lstat(dest); err == nil && info.IsDir() {
		// To be moved elsewhere it has to take another "..".
		if err := checkWritable(dest); err != nil {
			return err
		}
	}
	return checkWritable(filepath.Dir(dest))
}

// onlyInside says whether dest is there and nothing may be made beside it: a user's
// own directory in one of root's.
func onlyInside(dest string) bool {
	info, err := os.Stat(dest)
	return err == nil && info.IsDir() && errors.Is(checkWritable(filepath.Dir(dest)), fs.ErrPermission)
}

// Nearest is dir, or the nearest above it that is there.
func Nearest(dir string) string {
	for dir != "/" {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// checkWritable asks the nearest directory that is there: what is not would be
// made in it.
func checkWritable(dir string) error {
	dir = Nearest(dir)
	// The slash: a file there is an error.
	if err := unix.Faccessat(unix.AT_FDCWD, dir+"/", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}
