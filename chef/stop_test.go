package chef

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// stubborn is a command that ignores what should end it.
const stubborn = `  command "trap '' TERM INT HUP; echo $$ > DIR/pid; while true; do sleep 0.02; done"`

// Hazards 5 and 6: SIGTERM is ignored, and SIGKILL leaves the command alive.
// What a recipe started as a service before stays.
func TestAStopEndsTheCommandAndNotTheServices(t *testing.T) {
	files := recipe(`execute "service" do`, `  command "setsid sleep 1000 > /dev/null 2>&1 & echo $! > DIR/service"`, `end`,
		`execute "hang" do`, stubborn, `end`, `file "DIR/after"`)
	each(t, files, func(f fixture) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		end := f.begin(ctx)
		service, command := f.pid("service"), f.pid("pid")
		cancel()
		r := <-end
		if v := r.verdict; r.err != nil || v.Success || !v.Interrupted || v.TimedOut || v.Exit != 2 || v.Why != "interrupted, last at execute[hang] action run" {
			f.Errorf("got %+v, %v", v, r.err)
		}
		if alive(command) {
			f.Error("the command is alive after the stop")
		}
		if !alive(service) {
			f.Error("the service is dead after the stop")
		}
		if _, err := os.Stat(f.beside("after")); err == nil {
			f.Error("the converge went on")
		}
		// The lock is free, and the next run is not disturbed by this one.
		write(f.T, f.Release+"/cookbooks/web/recipes/default.rb", "")
		f.succeed()
	})
}

// A command in the background of another one, in the same session.
func TestAStopEndsWhatACommandStarted(t *testing.T) {
	files := recipe(`execute "hang" do`, `  command "(trap '' TERM; echo $$ > DIR/outer; while true; do sleep 0.02; done) & echo $! > DIR/inner; wait"`, `end`)
	each(t, files, func(f fixture) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		end := f.begin(ctx)
		inner := f.pid("inner")
		cancel()
		<-end
		if alive(inner) {
			f.Error("what the command had started is alive")
		}
	})
}

// Chef itself may hang: then it is killed, and its command with it.
func TestAStopOfAHangingChef(t *testing.T) {
	each(t, recipe(`execute "hang" do`, stubborn, `end`), func(f fixture) {
		f.Grace = 200 * time.Millisecond
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		end := f.begin(ctx)
		command := f.pid("pid")
		chef, err := strconv.Atoi(strings.TrimSpace(f.read(f.lock())))
		if err != nil {
			f.Fatal(err)
		}
		if err := syscall.Kill(chef, syscall.SIGSTOP); err != nil {
			f.Fatal(err)
		}
		cancel()
		if r := <-end; r.verdict.Exit != 137 || !r.verdict.Interrupted {
			f.Errorf("got %+v, %v", r.verdict, r.err)
		}
		if alive(command) || alive(chef) {
			f.Error("the command or chef-solo is alive after the stop")
		}
	})
}

// Somebody else kills chef-solo: its command must not run on beside a free lock.
func TestAKilledChefLeavesNoCommand(t *testing.T) {
	each(t, recipe(`execute "hang" do`, stubborn, `end`), func(f fixture) {
		var ticks atomic.Int32
		f.OnProgress = func(Progress) { ticks.Add(1) }
		end := f.begin(context.Background())
		command := f.pid("pid")
		chef, err := strconv.Atoi(strings.TrimSpace(f.read(f.lock())))
		if err != nil {
			f.Fatal(err)
		}
		seen := ticks.Load() // of the process table, looked at on every other tick
		f.until("a look at the processes", func() bool { return ticks.Load() > seen+2 })
		if err := syscall.Kill(chef, syscall.SIGKILL); err != nil {
			f.Fatal(err)
		}
		r := <-end
		if v := r.verdict; v.Success || v.Interrupted || v.Exit != 137 || !strings.Contains(v.Why, "signal KILL, last at execute[hang] action run (out of memory?)") {
			f.Errorf("got %+v, %v", v, r.err)
		}
		if alive(command) {
			f.Error("the command is alive")
		}
	})
}

// Somebody interrupts chef-solo, and it ends by itself: no fault of the release.
func TestAnInterruptedChefIsNobodysFailure(t *testing.T) {
	each(t, recipe(`execute "hang" do`, waits, `end`), func(f fixture) {
		end := f.begin(context.Background())
		command := f.pid("pid")
		chef, err := strconv.Atoi(strings.TrimSpace(f.read(f.lock())))
		if err != nil {
			f.Fatal(err)
		}
		if err := syscall.Kill(chef, syscall.SIGINT); err != nil {
			f.Fatal(err)
		}
		r := <-end
		if v := r.verdict; v.Success || !v.Killed || v.Interrupted || v.Exit != 2 || v.Why != "somebody stopped chef-solo with signal INT, last at execute[hang] action run" {
			f.Errorf("got %+v, %v", v, r.err)
		}
		f.until("the command is dead", func() bool { return !alive(command) })
	})
}

func TestTimeout(t *testing.T) {
	each(t, recipe(`execute "hang" do`, stubborn, `end`), func(f fixture) {
		var r running
		for f.Timeout = 3 * time.Second; ; f.Timeout *= 4 {
			r = <-f.begin(context.Background())
			if _, err := os.Stat(f.beside("pid")); err == nil || f.Timeout > 30*time.Second {
				break
			} // else the command had not begun
		}
		command := f.pid("pid")
		if v := r.verdict; r.err != nil || v.Success || !v.TimedOut || v.Interrupted || !strings.HasPrefix(v.Why, "timed out after "+f.Timeout.String()+", last at execute[hang]") {
			f.Errorf("got %+v, %v", v, r.err)
		}
		if alive(command) {
			f.Error("the command is alive after the timeout")
		}
	})
}

func TestInterruptedBeforeItBegan(t *testing.T) {
	each(t, recipe(`file "DIR/ran"`), func(f fixture) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		v, err := Converge(ctx, f.Options)
		if err != nil || !v.Interrupted || v.Success {
			f.Errorf("got %+v, %v", v, err)
		}
		if _, err := os.Stat(f.beside("ran")); err == nil {
			f.Error("it converged")
		}
	})
}
