package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// These work on a name inside an open directory, and follow no symlink.

func statAt(dir *os.File, name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

// openDir opens a directory by its parent, and makes its owner able to work
// in it. The file is named path; errors are bare.
func openDir(parent int, name, path string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(parent, name, flags, 0)
	if errors.Is(err, unix.EACCES) {
		if chmodAt(parent, name, 0o700) != nil {
			return nil, err // what was refused first says more
		}
		fd, err = unix.Openat(parent, name, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err == nil && st.Mode&0o700 != 0o700 {
		// Set right when it is done; who may not, is refused at the first change.
		_ = unix.Fchmod(fd, st.Mode&0o7777|0o700)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// chmodAt goes by way of /proc because fchmodat follows symlinks, and the one
// that does not is newer (Linux 6.6) than many kernels.
func chmodAt(parent int, name string, mode uint32) error {
	fd, err := unix.Openat(parent, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode&0o7777)
}

// readlinkAt gives a target of any length that Linux allows.
func readlinkAt(dir *os.File, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
	return string(buf[:max(n, 0)]), err
}

// setTimes sets the mtime, to the nanosecond.
func setTimes(dir *os.File, name string, want *unix.Stat_t) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, want.Mtim}
	return unix.UtimesNanoAt(int(dir.Fd()), name, times, unix.AT_SYMLINK_NOFOLLOW)
}

// copyAt copies what rename cannot bring over to the file system of to, a
// file or a symlink, under a name of its own, which it returns.
func copyAt(ctx context.Context, from, to *os.File, name string, want *unix.Stat_t) (temp string, err error) {
	for {
		// The name is not made of the entry's, which may be as long as names can be.
		temp = fmt.Sprintf(".gurney-%08x", rand.Uint32())
		switch want.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			err = copyFile(ctx, from, to, name, temp)
		case unix.S_IFLNK:
			var target string
			if target, err = readlinkAt(from, name); err == nil {
				err = unix.Symlinkat(target, int(to.Fd()), temp)
			}
		default:
			err = errors.New("neither a file nor a symlink, and on another file system")
		}
		if !errors.Is(err, unix.EEXIST) {
			return temp, err
		}
	}
}

func copyFile(ctx context.Context, from, to *os.File, name, temp string) error {
	in, err := unix.Openat(int(from.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	src := os.NewFile(uintptr(in), name)
	defer func() { _ = src.Close() }()
	out, err := unix.Openat(int(to.Fd()), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	dst := os.NewFile(uintptr(out), temp)
	for err == nil {
		if err = ctx.Err(); err == nil {
			_, err = io.CopyN(dst, src, 8<<20)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if e := dst.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = unix.Unlinkat(int(to.Fd()), temp, 0)
	}
	return err
}

func join(dir, name string) string {
	return strings.TrimPrefix(dir+"/"+name, "/")
}
