package kin

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup is a directory of a run's own below the one that this process is in
// (cgroup v2, cgroups(7)). Processes are born into it. All methods take nil:
// no cgroup, nobody in it.
type cgroup struct {
	path string
	dir  *os.File // where it was opened for a start
}

// prefix begins the name of each, so that nothing else is ever taken for one.
const prefix = "gurney-run-"

// newCgroup makes one and proves that a process can be born in it: seccomp,
// an old kernel or a lack of rights show only then. The error says why there
// is none.
func newCgroup(mark string) (*cgroup, error) {
	parent, err := delegated()
	if err != nil {
		return nil, err
	}
	tidy(parent)
	c := &cgroup{path: filepath.Join(parent, prefix+mark)}
	fd, ok := c.open()
	if !ok {
		return nil, fmt.Errorf("%s can't be made", c.path)
	}
	probe := exec.Command("sh", "-c", ":")
	probe.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if err := probe.Run(); err != nil {
		c.close()
		return nil, fmt.Errorf("start a process in %s: %w", c.path, err)
	}
	return c, nil
}

// knownCgroup is one that a run before had; nil where path can be none.
func knownCgroup(path string) *cgroup {
	if !strings.HasPrefix(filepath.Base(path), prefix) || !isDir(path) {
		return nil
	}
	return &cgroup{path: path}
}

func (c *cgroup) below(name string) *cgroup {
	if c == nil {
		return nil
	}
	return &cgroup{path: filepath.Join(c.path, name)}
}

// open makes the directory and opens it for a start. One that is there and
// empty is made anew: its age then tells tidy that somebody is about to use it.
func (c *cgroup) open() (fd int, ok bool) {
	if c == nil {
		return 0, false
	}
	_ = unix.Rmdir(c.path) // fails where somebody is in it
	if err := os.MkdirAll(c.path, 0o755); err != nil {
		return 0, false
	}
	dir, err := os.Open(c.path)
	if err != nil {
		return 0, false
	}
	c.shut()
	c.dir = dir
	return int(dir.Fd()), true
}

func (c *cgroup) shut() {
	if c.dir != nil {
		_ = c.dir.Close()
		c.dir = nil
	}
}

// close removes the directory where nobody is in it; a service that the run
// started may be.
func (c *cgroup) close() {
	if c == nil {
		return
	}
	c.shut()
	remove(c.path)
}

// remove removes a cgroup with those below it, as far as they are empty.
func remove(path string) {
	for _, p := range slices.Backward(tree(path)) {
		_ = unix.Rmdir(p)
	}
}

// tree is path and all cgroups below it, parents first.
func tree(path string) []string {
	var all []string
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, p)
		}
		return nil // what has gone in between is no matter
	})
	return all
}

// pids are all in the cgroup and below.
func (c *cgroup) pids() []int {
	if c == nil {
		return nil
	}
	var pids []int
	for _, p := range tree(c.path) {
		data, err := os.ReadFile(filepath.Join(p, "cgroup.procs"))
		if err != nil {
			continue
		}
		for line := range strings.FieldsSeq(string(data)) {
			if pid, err := strconv.Atoi(line); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// kill ends all in the cgroup and below at once, so that none can be born in
// between: by cgroup.kill (Linux 5.14), or frozen. Who sweeps is not in it,
// unless it runs below what it sweeps: then it is left to the signals.
func (c *cgroup) kill() {
	if c == nil || slices.Contains(c.pids(), os.Getpid()) {
		return
	}
	if os.WriteFile(filepath.Join(c.path, "cgroup.kill"), []byte("1"), 0) != nil {
		c.killFrozen()
	}
}

func (c *cgroup) killFrozen() {
	freeze := filepath.Join(c.path, "cgroup.freeze")
	_ = os.WriteFile(freeze, []byte("1"), 0)
	defer func() { _ = os.WriteFile(freeze, []byte("0"), 0) }()
	for _, pid := range c.pids() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// tidyAfter is how long an empty cgroup must have stood before it is taken
// for one that a run left behind.
const tidyAfter = time.Minute

// tidy removes what runs before this one left when they ended, because a
// service was in it, and which is empty now.
func tidy(parent string) {
	paths, _ := filepath.Glob(filepath.Join(parent, prefix+"*"))
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && time.Since(info.ModTime()) > tidyAfter {
			remove(p)
		}
	}
}

// delegated is the cgroup that this process is in, where it may make others
// below it. Under systemd only a unit with Delegate=yes is given that right:
// all else belongs to systemd, root or not.
func delegated() (string, error) {
	path, err := own()
	if err != nil {
		return "", err
	}
	unit := path
	for strings.Contains(unit, "/"+prefix) {
		unit = filepath.Dir(unit) // this process is itself in a run's
	}
	if !isDir("/run/systemd/system") {
		return path, nil
	}
	if os.Getuid() != 0 {
		info, err := os.Stat(unit)
		if err != nil {
			return "", err
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) == os.Getuid() {
			return path, nil
		}
		return "", fmt.Errorf("%s is not this user's", unit)
	}
	for _, attr := range []string{"user.delegate", "trusted.delegate"} { // since systemd 251, and before
		value := make([]byte, 8)
		if n, err := unix.Getxattr(unit, attr, value); err == nil && string(value[:n]) == "1" {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is systemd's: the unit has no Delegate=yes", unit)
}

// own is the directory of this process's cgroup in the v2 hierarchy, also
// where that stands beside v1.
func own() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	var name string
	for line := range strings.Lines(string(groups)) {
		if rest, ok := strings.CutPrefix(line, "0::"); ok {
			name = strings.TrimSpace(rest)
		}
	}
	for line := range strings.Lines(string(mounts)) {
		left, right, _ := strings.Cut(line, " - ")
		f := strings.Fields(left)
		if !strings.HasPrefix(right, "cgroup2 ") || len(f) < 5 || name == "" {
			continue
		}
		dir := filepath.Join(f[4], strings.TrimPrefix(name, strings.TrimSuffix(f[3], "/")))
		// What is mounted may be another namespace's view: only where this
		// process stands is what it seems.
		procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err == nil && slices.ContainsFunc(bytes.Fields(procs), func(b []byte) bool { return string(b) == strconv.Itoa(os.Getpid()) }) {
			return dir, nil
		}
	}
	return "", errors.New("no cgroup v2 hierarchy shows this process")
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
