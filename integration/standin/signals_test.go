package standin_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pidIn reads a pid that a command wrote.
func pidIn(t *testing.T, path string) int {
	t.Helper()
	until(t, path+" is there", there(path))
	pid, err := strconv.Atoi(strings.TrimSpace(read(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	return pid
}

// alive says whether a process runs; one that is dead and not yet waited for does not.
func alive(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return rest != "" && rest[0] != 'Z' && rest[0] != 'X'
}

const waits = `  command "echo $$ > DIR/pid.tmp; mv DIR/pid.tmp DIR/pid; while ! test -e DIR/go; do sleep 0.02; done"`

func TestTermIsIgnoredDuringAConverge(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`execute "wait" do`, waits, `end`, `file "DIR/after"`)...)
		c := p.start(t, dir, plain(dir)...).begin()
		pidIn(t, filepath.Join(dir, "pid"))
		c.signal(syscall.SIGTERM)
		write(t, filepath.Join(dir, "go"), "")
		if code := c.end(); code != 0 {
			t.Errorf("exit %d, want 0: %s", code, c.said())
		}
		if _, err := os.Stat(filepath.Join(dir, "after")); err != nil {
			t.Error("the resource after TERM did not run")
		}
	})
}

func TestIntEndsTheRunAndItsCommand(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`execute "wait" do`,
			`  command "trap 'echo TERM > DIR/got; exit 1' TERM; echo $$ > DIR/pid; while true; do sleep 0.02; done"`,
			`end`, `file "DIR/after"`)...)
		c := p.start(t, dir, plain(dir)...).begin()
		pid := pidIn(t, filepath.Join(dir, "pid"))
		c.signal(syscall.SIGINT)
		if code := c.end(); code != 2 {
			t.Errorf("exit %d, want 2: %s", code, c.said())
		}
		until(t, "the command is dead", func() bool { return !alive(pid) })
		if got := read(t, filepath.Join(dir, "got")); got != "TERM\n" {
			t.Errorf("the command got %q", got)
		}
		if _, err := os.Stat(filepath.Join(dir, "after")); err == nil {
			t.Error("the resource after INT ran")
		}
	})
}

// A command that ignores TERM is killed, after three seconds or at the second INT.
func TestIntKillsACommandThatIgnoresTerm(t *testing.T) {
	for _, ints := range []int{1, 2} {
		t.Run(strconv.Itoa(ints), func(t *testing.T) {
			each(t, func(t *testing.T, p program) {
				dir := repo(t, recipe(`execute "wait" do`,
					`  command "trap 'echo TERM > DIR/got' TERM; echo $$ > DIR/pid; while true; do sleep 0.02; done"`, `end`)...)
				c := p.start(t, dir, plain(dir)...).begin()
				pid := pidIn(t, filepath.Join(dir, "pid"))
				began := time.Now()
				c.signal(syscall.SIGINT)
				until(t, "TERM came", there(filepath.Join(dir, "got")))
				if dead := !alive(pid); dead && time.Since(began) < 3*time.Second {
					t.Error("the command is dead at once, want it to have its three seconds")
				}
				if ints == 2 {
					c.signal(syscall.SIGINT)
				}
				if code := c.end(); code != 2 {
					t.Errorf("exit %d, want 2: %s", code, c.said())
				}
				until(t, "the command is dead", func() bool { return !alive(pid) })
			})
		})
	}
}

// Commands are in sessions of their own: they outlive their process group, and
// the lock is free by then.
func TestKillingTheGroupLeavesTheCommandBesideAFreeLock(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`execute "wait" do`, waits, `end`)...)
		args := append(plain(dir), "--lockfile", filepath.Join(dir, "lock"), "--run-lock-timeout", "0")
		c := p.start(t, dir, args...).begin()
		pid := pidIn(t, filepath.Join(dir, "pid"))
		if err := syscall.Kill(-c.Process.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if code := c.end(); code != 137 {
			t.Errorf("exit %d, want 137", code)
		}
		if !alive(pid) {
			t.Error("the command died with the group, want it alive")
		}
		write(t, filepath.Join(dir, "cookbooks/web/recipes/default.rb"), `log "a second run beside it"`)
		if out := p.must(t, dir, args...); !strings.Contains(out, "a second run beside it") {
			t.Error(out)
		}
		if !alive(pid) {
			t.Error("the command is dead, want it alive beside the second run")
		}
	})
}

func TestAClosedPipeAbortsTheConverge(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`execute "wait" do`, waits, `end`, `log "into the pipe"`, `log "again"`, `file "DIR/after"`)...)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		c := p.start(t, dir, plain(dir)...)
		c.Stdout = w
		c.begin()
		_ = w.Close()
		if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		pidIn(t, filepath.Join(dir, "pid"))
		_ = r.Close()
		write(t, filepath.Join(dir, "go"), "")
		if code := c.end(); code != 1 {
			t.Errorf("exit %d, want 1", code)
		}
		if _, err := os.Stat(filepath.Join(dir, "after")); err == nil {
			t.Error("the converge went on")
		}
	})
}

func TestForkMakesEveryFailureOne(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`raise Chef::Exceptions::Reboot, "now"`)...)
		if code, out := p.run(t, dir, plain(dir)...); code != 35 {
			t.Errorf("exit %d, want 35: %s", code, out)
		}
		if code, out := p.run(t, dir, append(plain(dir), "--fork")...); code != 1 {
			t.Errorf("with --fork exit %d, want 1: %s", code, out)
		}
	})
}

func TestForkLeavesTheWorkerBehind(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`execute "wait" do`, waits, `end`, `file "DIR/after" do`, `  content "done"`, `end`)...)
		c := p.start(t, dir, append(plain(dir), "--fork")...).begin()
		pidIn(t, filepath.Join(dir, "pid"))
		c.signal(syscall.SIGTERM)
		if code := c.end(); code != 3 {
			t.Errorf("exit %d, want 3", code)
		}
		write(t, filepath.Join(dir, "go"), "")
		until(t, "the worker has gone on", there(filepath.Join(dir, "after")))
	})
}
