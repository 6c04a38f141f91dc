package run

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gurney/agent/state"
	"gurney/report"
)

// gone waits until no process of the group of the pid in file is left.
func (f *fixture) gone(file string) {
	f.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(f.read(file)))
	f.must(err)
	for end := time.Now().Add(20 * time.Second); syscall.Kill(-pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			f.Fatalf("processes of group %d are left behind", pid)
		}
	}
}

// The end of the time ends the command with all that it started, by the
// release's fault, and failure commands still run.
func TestTimeoutEndsTheWholeGroup(t *testing.T) {
	for name, command := range map[string]string{
		"obedient": "echo $$ > DIR/pid; sleep 300 & sleep 300",
		"stubborn": "trap '' TERM; echo $$ > DIR/pid; (trap '' TERM; while :; do sleep 1; done) & while :; do sleep 1; done",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			for timeout := 3 * time.Second; ; timeout *= 4 {
				began := time.Now()
				r := f.fails("r"+timeout.String(), report.PhasePre, "timeout: "+timeout.String()+"\ncommands: {pre: [\""+command+"\", NOTE pre2], failure: [NOTE failure]}")
				if !strings.HasSuffix(r.Error, "not done after "+timeout.String()+" (timeout)") {
					t.Errorf("%+v", r)
				}
				if took := time.Since(began); took > timeout+2*commandGrace+30*time.Second {
					t.Errorf("it took %s", took)
				}
				f.order("failure sees")
				if f.read("pid") != "" || timeout > 30*time.Second {
					break
				} // else it had not begun
			}
			f.gone("pid")
		})
	}
}

// A signal interrupts: it is nobody's fault.
func TestInterrupted(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for f.read("pid") == "" {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	e := f.run(ctx, "r1", "commands: {pre: ['echo $$ > DIR/pid; sleep 300', NOTE pre2], failure: [NOTE failure]}")
	if r := e.Result; r.State != report.Interrupted || r.Phase != report.PhasePre || r.Error != "stopped by a signal" || r.Release || e.Wait {
		t.Errorf("%+v", e)
	}
	f.gone("pid")
	f.order("failure sees")
}

// A service that a command starts stays, and is not waited for.
func TestStartedServiceStays(t *testing.T) {
	f := newFixture(t)
	began := time.Now()
	f.ok("r1", "commands: {pre: ['sleep 300 & echo $! > DIR/pid'], post: [NOTE post1]}")
	pid, err := strconv.Atoi(strings.TrimSpace(f.read("pid")))
	f.must(err)
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the service is gone: %v", err)
	}
	if took := time.Since(began); took > commandGrace+time.Minute {
		t.Errorf("it took %s", took)
	}
}

// The timeout that is asked for on the command line beats the manifest's.
func TestTimeoutOfTheOperator(t *testing.T) {
	f := newFixture(t)
	f.options = func(o *Options) { o.Timeout = 100 * time.Millisecond }
	r := f.fails("r1", report.PhasePre, "timeout: 1h\ncommands: {pre: [sleep 300]}")
	if !strings.Contains(r.Error, "not done after 100ms") {
		t.Errorf("%+v", r)
	}
}

// A converge that Chef wants again is run again, three times at most.
func TestChefWantsToRunAgain(t *testing.T) {
	f := newFixture(t)
	f.write("chef.sh", "echo . >> "+f.path("times")+"\n[ $(wc -l < "+f.path("times")+") -ge 3 ] || exit 213")
	f.ok("r1", manifestOf("release"))
	f.must(os.Remove(f.path("times")))
	f.write("chef.sh", "echo . >> "+f.path("times")+"; exit 213")
	r := f.fails("r2", report.PhaseChef, manifestOf("release"))
	if r.Exit != 213 || r.Error != "Chef wants to be run again after 3 runs" || strings.Count(f.read("times"), ".") != 3 {
		t.Errorf("%+v after %q", r, f.read("times"))
	}
}

// lockChef takes Chef's lock as another chef-solo would.
func (f *fixture) lockChef() (release func()) {
	f.Helper()
	f.must(os.MkdirAll(f.home.Chef(), 0o700))
	lock, err := os.Create(filepath.Join(f.home.Chef(), "lock"))
	f.must(err)
	_, err = lock.WriteString("4711")
	f.must(err)
	f.must(syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	return func() { _ = lock.Close() }
}

// A run waits for another chef-solo, and says so meanwhile.
func TestWaitsForChefsLock(t *testing.T) {
	f := newFixture(t)
	release := f.lockChef()
	waited := false
	f.options = func(o *Options) {
		told := o.OnStatus
		o.OnStatus = func(s state.Status) {
			if told(s); s.Detail == "waiting for Chef's lock (pid 4711)" && !waited {
				waited = true
				release()
			}
		}
	}
	f.ok("r1", "src: SRC\ndest: DIR/dest\nchecksum: SUM\nchef: {}")
	if !waited || !strings.Contains(f.read("order"), "chef ") {
		t.Errorf("it waited: %v; it ran %q; %+v", waited, f.read("order"), f.status)
	}
}

// A lock that is held for longer than the run may take is the world's.
func TestChefsLockIsNotTheReleasesFault(t *testing.T) {
	f := newFixture(t)
	defer f.lockChef()()
	var e state.Ending
	timeout := 2 * time.Second
	for ; ; timeout *= 4 {
		e = f.run(t.Context(), "r"+timeout.String(), "src: SRC\ndest: DIR/dest\nchecksum: SUM\ntimeout: "+timeout.String()+"\nchef: {}")
		if e.Result.Phase == report.PhaseChef || timeout > 30*time.Second {
			break
		} // else it was over before Chef's turn
	}
	if r := e.Result; r.State != report.Failed || r.Phase != report.PhaseChef || r.Release || !e.Wait || !strings.Contains(r.Error, "another chef-solo (pid 4711) holds ") || !strings.HasSuffix(r.Error, "not done after "+timeout.String()+" (timeout)") {
		t.Errorf("%+v", e)
	}
	f.order()
}
