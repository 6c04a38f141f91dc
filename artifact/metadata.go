package artifact

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// metadata sets modes, times and, for root, owners.
type metadata struct {
	umask  fs.FileMode
	owners *owners // nil unless root
	group  int     // of what is made in the tree, unless it is changed; unknown: not one for all
}

func newMetadata(root *os.Root) *metadata {
	m := &metadata{umask: umask(), group: os.Getegid()}
	// Below a set-group-id directory new files have the directory's group.
	if info, err := root.Stat("."); err != nil || info.Mode()&fs.ModeSetgid != 0 {
		m.group = unknown
	}
	if os.Geteuid() == 0 {
		m.owners = &owners{users: map[string]int{}, groups: map[string]int{}}
	}
	return m
}

// umask reads the process's without changing it for a moment, as umask(2)
// would: commands may be starting.
func umask() fs.FileMode {
	const all = 0o777 // then every mode is set
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return all
	}
	_, rest, _ := strings.Cut(string(data), "\nUmask:") // proc_pid_status(5)
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseUint(strings.TrimSpace(line), 8, 32)
	if err != nil {
		return all
	}
	return fs.FileMode(n)
}

// bits are the mode's as the kernel counts them. Set-user-id and its like are
// only kept where the owner is too: by root.
func (m *metadata) bits(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	if m.owners == nil {
		return bits
	}
	for _, special := range []struct {
		mode fs.FileMode
		bit  uint32
	}{{fs.ModeSetuid, unix.S_ISUID}, {fs.ModeSetgid, unix.S_ISGID}, {fs.ModeSticky, unix.S_ISVTX}} {
		if mode&special.mode != 0 {
			bits |= special.bit
		}
	}
	return bits
}

// file sets what create could not: the owner, the mode where the umask or the
// owner's change took something away, and the time.
func (m *metadata) file(dirfd, fd int, base string, e entryInfo) error {
	if err := m.chown(e, func(uid, gid int) error { return unix.Fchown(fd, uid, gid) }); err != nil {
		return err
	}
	bits := m.bits(e.mode)
	if bits&^0o777 != 0 || e.mode.Perm()&m.umask != 0 {
		if err := unix.Fchmod(fd, bits); err != nil {
			return err
		}
	}
	return setTime(dirfd, base, e)
}

func (m *metadata) symlink(dirfd int, base string, e entryInfo) error {
	if err := m.chown(e, func(uid, gid int) error {
		return unix.Fchownat(dirfd, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	}); err != nil {
		return err
	}
	return setTime(dirfd, base, e)
}

func (m *metadata) dir(fd int, e entryInfo) error {
	if err := m.chown(e, func(uid, gid int) error { return unix.Fchown(fd, uid, gid) }); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, m.bits(e.mode)); err != nil {
		return err
	}
	return setTime(fd, ".", e)
}

// top is dir for the archive's own root: its mode is dest_mode's business, but its
// owner and time are dest's, as for tar and rsync.
func (m *metadata) top(fd int, e entryInfo) error {
	if err := m.chown(e, func(uid, gid int) error { return unix.Fchown(fd, uid, gid) }); err != nil {
		return err
	}
	return setTime(fd, ".", e)
}

// chown gives the entry to whom it is to belong, where it does not already.
func (m *metadata) chown(e entryInfo, chown func(uid, gid int) error) error {
	if m.owners == nil || !e.owned {
		return nil
	}
	uid, gid := m.owners.find(e)
	if uid == 0 && gid == m.group {
		return nil
	}
	// The kernel's numbers have 32 bits, and the last says "leave it": a larger
	// one would become root's.
	if int64(uint32(uid)) != int64(uid) || int64(uint32(gid)) != int64(gid) || uint32(uid) == 1<<32-1 || uint32(gid) == 1<<32-1 {
		return fmt.Errorf("its owner %d:%d is no number of a user and a group", uid, gid)
	}
	return chown(uid, gid)
}

// setTime sets the mtime, of a symlink its own, and leaves the atime.
func setTime(dirfd int, base string, e entryInfo) error {
	if e.mtime.IsZero() {
		return nil
	}
	t, err := unix.TimeToTimespec(e.mtime)
	if err != nil {
		return nil // a year that no file system knows
	}
	return unix.UtimesNanoAt(dirfd, base, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, t}, unix.AT_SYMLINK_NOFOLLOW)
}

// create opens a new file; one that is in the way is replaced, never written
// to.
func create(dirfd int, base string, mode fs.FileMode) (fd int, err error) {
	err = replacing(dirfd, base, func() error {
		fd, err = unix.Openat(dirfd, base, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(mode.Perm()))
		return err
	})
	return fd, err
}

// owners looks up names once each. As tar does, a name wins over a number
// where this machine knows it. Safe for concurrent use.
type owners struct {
	mu            sync.Mutex
	users, groups map[string]int
	asked         time.Duration // for which getent was waited
}

// mostAsked is how long getent is waited for in all, for one archive: a directory
// that is slow, or names without end, must not hold up the rest.
const mostAsked = 10 * time.Second

// getent asks the machine's other directories of users and groups, such as LDAP,
// which a static program does not know: the third field is the number (passwd(5),
// group(5)). A name that is a number would be taken for one.
func (o *owners) getent(database, name string) (string, error) {
	if _, err := strconv.ParseInt(name, 0, 64); err == nil || strings.HasPrefix(name, "-") || o.asked >= mostAsked {
		return "", fs.ErrNotExist
	}
	ctx, cancel := context.WithTimeout(context.Background(), mostAsked-o.asked)
	defer cancel()
	began := time.Now()
	cmd := exec.CommandContext(ctx, "getent", database, name)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	o.asked += time.Since(began)
	if err != nil {
		return "", err
	}
	fields := strings.Split(strings.TrimSpace(string(out)), ":")
	if len(fields) < 3 || fields[0] != name {
		return "", fs.ErrNotExist
	}
	return fields[2], nil
}

func (o *owners) find(e entryInfo) (uid, gid int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	uid = lookup(o.users, e.uname, e.uid, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return o.getent("passwd", name)
		}
		return u.Uid, nil
	})
	gid = lookup(o.groups, e.gname, e.gid, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return o.getent("group", name)
		}
		return g.Gid, nil
	})
	return uid, gid
}

const unknown = -1

func lookup(known map[string]int, name string, number int, find func(string) (string, error)) int {
	if name == "" {
		return number
	}
	id, seen := known[name]
	if !seen {
		id = unknown
		if s, err := find(name); err == nil {
			if n, err := strconv.Atoi(s); err == nil {
				id = n
			}
		}
		known[name] = id
	}
	if id == unknown {
		return number
	}
	return id
}
