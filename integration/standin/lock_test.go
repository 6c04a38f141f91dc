package standin_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// hold takes the lock as any program can, with a pid in the file.
func hold(t *testing.T, path string) (release func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(f, "4711"); err != nil {
		t.Fatal(err)
	}
	return func() { _ = f.Close() }
}

func TestLockTimeoutZero(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t)
		lock := filepath.Join(dir, "lock")
		hold(t, lock)
		code, out := p.run(t, dir, append(plain(dir), "--lockfile", lock, "--run-lock-timeout", "0")...)
		want := "FATAL: Chef::Exceptions::RunLockTimeout: Unable to acquire lock. Waited 0 seconds for 4711 to release."
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("exit %d: %s; want 1 and %s", code, out, want)
		}
	})
}

func TestLockIsWaitedForWithoutATimeout(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`log "after the wait"`)...)
		lock := filepath.Join(dir, "lock")
		release := hold(t, lock)
		c := p.start(t, dir, append(plain(dir), "--lockfile", lock)...).begin()
		until(t, "it says that it waits", func() bool {
			return strings.Contains(c.said(), "4711 is running, will wait for it to finish and then run.")
		})
		if strings.Contains(c.said(), "after the wait") {
			t.Error("it did not wait")
		}
		release()
		if code := c.end(); code != 0 || !strings.Contains(c.said(), "after the wait") {
			t.Errorf("exit %d: %s", code, c.said())
		}
	})
}

func TestTermBeforeTheConvergeEndsIt(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t)
		lock := filepath.Join(dir, "lock")
		hold(t, lock)
		c := p.start(t, dir, append(plain(dir), "--lockfile", lock)...).begin()
		until(t, "it waits", func() bool { return strings.Contains(c.said(), "will wait") })
		c.signal(syscall.SIGTERM)
		if code := c.end(); code != 3 {
			t.Errorf("exit %d, want 3: %s", code, c.said())
		}
	})
}

func TestTermDuringBootKills(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t)
		c := p.with("CHEF_STANDIN_BOOT=1m").start(t, dir, plain(dir)...).begin()
		c.signal(syscall.SIGTERM)
		if code := c.end(); code != 143 {
			t.Errorf("exit %d, want 143: %s", code, c.said())
		}
	})
}

func TestLockHoldsThePidAndStays(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`execute "wait" do`, waits, `end`)...)
		lock := filepath.Join(dir, "lock")
		c := p.start(t, dir, append(plain(dir), "--lockfile", lock)...).begin()
		pidIn(t, filepath.Join(dir, "pid"))
		if got := strings.TrimSpace(read(t, lock)); got != fmt.Sprint(c.Process.Pid) {
			t.Errorf("the lock holds %q, want %d", got, c.Process.Pid)
		}
		f, err := os.Open(lock)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			t.Error("flock got the lock during a run")
		}
		write(t, filepath.Join(dir, "go"), "")
		c.end()
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			t.Errorf("after the run: %v", err)
		}
		read(t, lock)
	})
}

// Without --lockfile each release has a lock of its own, so two run at once.
func TestByDefaultEachReleaseHasItsOwnLock(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		first := repo(t, recipe(`execute "wait" do`, waits, `end`)...)
		p.start(t, first, append(plain(first), "--run-lock-timeout", "0")...).begin()
		pidIn(t, filepath.Join(first, "pid"))
		second := repo(t, recipe(`log "at the same time"`)...)
		if out := p.must(t, second, append(plain(second), "--run-lock-timeout", "0")...); !strings.Contains(out, "at the same time") {
			t.Error(out)
		}
		if code, out := p.run(t, first, append(plain(first), "--run-lock-timeout", "0")...); code != 1 {
			t.Errorf("beside its own first run: exit %d: %s", code, out)
		}
	})
}
