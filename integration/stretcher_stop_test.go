package integration_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gurney/agent/state"
	"gurney/report"
)

// lasting is a manifest whose command starts a child and outlasts every
// patience; its failure command keeps the log.
func (y *yard) lasting(more string) string {
	y.Helper()
	// The second time, as after an interruption, there is nothing to wait for.
	return y.counting("lasting", "  - if test -e "+y.Root+"/child; then exit 0; fi; sleep 1000 & echo $! > "+y.Root+"/child.new && mv "+y.Root+"/child.new "+y.Root+"/child; wait\n"+
		"  failure:\n  - cat > "+y.Root+"/log; echo failure >> "+y.Root+"/ran\n"+more)
}

// child is the pid of what lasting started; it waits for it.
func (y *yard) child() int {
	y.Helper()
	y.until("the command is in the middle", func() bool { return exists(filepath.Join(y.Root, "child")) })
	pid, err := strconv.Atoi(strings.TrimSpace(y.read(filepath.Join(y.Root, "child"))))
	if err != nil || !alive(pid) {
		y.Fatalf("no child: %d, %v", pid, err)
	}
	return pid
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// SIGTERM runs the failure commands, which are told the log, and leaves no
// child behind.
func TestStretcherStops(t *testing.T) {
	byHand(t, func(y *yard) {
		args := []string{y.Host.Gurney, "-c", y.Host.Config(), "apply", "-"}
		if y.way == "stretcher" {
			args = []string{y.Host.Path("stretcher")}
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = slices.Concat(cmd.Environ(), y.Host.Env, []string{"GURNEY_STATE_DIR=" + y.stateDir()})
		cmd.Stdin = strings.NewReader(y.lasting(""))
		if err := cmd.Start(); err != nil {
			y.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		child := y.child()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			y.Fatal("it goes on after SIGTERM")
		}
		if status := cmd.ProcessState.ExitCode(); status != 1 {
			y.Errorf("exit status %d", status)
		}
		c := y.look(carried{}, y.stateDir(), "apply")
		if c.State != report.Interrupted || y.ran() != "lasting failure" {
			y.Errorf("%+v; ran %s", c.Result, y.ran())
		}
		if log := y.read(filepath.Join(y.Root, "log")); !strings.Contains(log, "pre 2 of 2") {
			y.Errorf("failure commands were told %q", log)
		}
		y.until("the child is gone", func() bool { return !alive(child) })
	})
}

// SIGTERM to the agent's run is the same; the agent then runs it again.
func TestStretcherRunStops(t *testing.T) {
	y := newYard(t)
	y.agent()
	id := y.fire(stretcherEvent, y.lasting(""))
	child := y.child()
	var status struct{ PID int }
	y.decode(filepath.Join(y.Host.State(), "runs", stretcherEvent+"@"+id+"@1", "status.json"), &status)
	if err := syscall.Kill(status.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if r := y.awaitResult(id); r.State != report.OK || r.Attempt != 2 {
		t.Errorf("%+v", r)
	}
	if got := y.ran(); got != "lasting failure lasting" {
		t.Errorf("ran %s", got)
	}
	y.until("the child is gone", func() bool { return !alive(child) })
}

// The manifest's timeout ends commands with their children, and downloads.
func TestStretcherTimeoutOfTheManifest(t *testing.T) {
	eachWay(t, func(y *yard) {
		var c carried
		for limit := 3 * time.Second; ; limit *= 4 {
			began := time.Now()
			c = y.kick(y.lasting("timeout: " + limit.String() + "\n"))
			if took := time.Since(began); took > limit+20*time.Second {
				y.Errorf("it took %s", took)
			}
			if exists(filepath.Join(y.Root, "child")) || limit > 30*time.Second {
				break
			}
			_ = os.Remove(filepath.Join(y.Root, "ran")) // the time was over before it had begun
		}
		if c.State != report.Failed || !strings.Contains(c.Error, "timeout") || y.ran() != "lasting failure" {
			y.Errorf("%+v; ran %s", c.Result, y.ran())
		}
		child, _ := strconv.Atoi(strings.TrimSpace(y.read(filepath.Join(y.Root, "child"))))
		y.until("the child is gone", func() bool { return child > 0 && !alive(child) })

		gone := make(chan bool, 8)
		var asked atomic.Bool
		src := y.Web.on("/never.tgz", func(rw http.ResponseWriter, r *http.Request) {
			asked.Store(true)
			rw.Header().Set("Content-Length", "1000000")
			_, _ = rw.Write([]byte{0x1f, 0x8b})
			rw.(http.Flusher).Flush()
			<-r.Context().Done()
			gone <- true
		})
		for limit := 3 * time.Second; ; limit *= 4 {
			c = y.deliver(fmt.Sprintf("src: %s\nchecksum: %032d\ndest: %s/app\ntimeout: %s\n", src, 0, y.Root, limit))
			if asked.Load() || limit > 30*time.Second {
				break
			}
		}
		if c.State != report.Failed || c.Phase != report.PhaseFetch || !strings.Contains(c.Error, "timeout") {
			y.Errorf("%+v", c.Result)
		}
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			y.Error("the download goes on")
		}
	})
}

// A child that does not listen to SIGTERM is killed.
func TestStretcherStubbornChild(t *testing.T) {
	y := newYard(t).by("apply")
	at := y.counting("stubborn", "  - trap '' TERM; echo $$ > "+y.Root+"/child; while :; do sleep 0.2; done\n")
	for limit := 3 * time.Second; ; limit *= 4 {
		if c := y.kick(at, "--timeout="+limit.String()); c.State != report.Failed || !strings.Contains(c.Error, "timeout") {
			t.Errorf("%+v", c.Result)
		}
		if exists(filepath.Join(y.Root, "child")) || limit > 30*time.Second {
			break
		} // else the time was over before it had begun
	}
	child, _ := strconv.Atoi(strings.TrimSpace(y.read(filepath.Join(y.Root, "child"))))
	y.until("the child is gone", func() bool { return child > 0 && !alive(child) })
}

// Stopped while it waits out --random-delay, a handler has taken up nothing:
// the next one is handed the event again, and runs it.
func TestStretcherStopsInTheDelay(t *testing.T) {
	y := newYard(t).by("stretcher")
	y.command("[]", nil)
	events := list([3]string{"in-the-delay", stretcherEvent, y.counting("delayed", "")})
	cmd := exec.Command(y.Host.Path("stretcher"), "--random-delay=1000h")
	cmd.Env = slices.Concat(cmd.Environ(), y.Host.Env, []string{"GURNEY_STATE_DIR=" + y.stateDir()})
	cmd.Stdin = strings.NewReader(events)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	dir := state.At(y.stateDir())
	y.until("it holds the lock", func() bool {
		lock, err := dir.LockRun("test")
		lock.Release()
		var busy *state.BusyError
		return errors.As(err, &busy)
	})
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended with %v", err)
	}
	if out := y.command(events, nil); out.Status != 0 || y.ran() != "delayed" {
		t.Errorf("the next handler: %+v, ran %s", out, y.ran())
	}
}
