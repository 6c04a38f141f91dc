package standin

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// acquire takes Chef's run lock: a flock, the holder's pid in the file, which
// nobody deletes. It holds until the process ends. timeout < 0 waits for ever.
func (c *run) acquire(path string, timeout time.Duration) *exception {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return errno(err, path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return errno(err, path)
	}
	c.lock = f
	began := time.Now()
	for said := false; ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return errno(err, path)
		}
		if timeout >= 0 && time.Since(began) >= timeout {
			return raise("Chef::Exceptions::RunLockTimeout", "Unable to acquire lock. Waited %d seconds for %s to release.", timeout/time.Second, holder(path))
		}
		if !said {
			c.out.log("WARN", "%s %s is running, will wait for it to finish and then run.", c.client(), holder(path))
			said = true
		}
		if e := c.pause(); e != nil {
			return e
		}
	}
	if err := f.Truncate(0); err != nil {
		return errno(err, path)
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return errno(err, path)
	}
	return nil
}

func holder(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// pause waits a moment for the lock. Here, before the converge, TERM counts.
func (c *run) pause() *exception {
	moment := time.NewTimer(50 * time.Millisecond)
	defer moment.Stop()
	select {
	case <-c.signals.interrupt:
		return c.interrupted()
	case <-c.signals.term:
		c.out.log("FATAL", "SIGTERM received, stopping")
		return &exception{class: "SystemExit", message: "exit", exit: exitTerm}
	case <-moment.C:
		return c.out.broken()
	}
}
