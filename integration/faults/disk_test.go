package faults_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gurney/report"
)

// needsRoot skips what only root may set up; in CI, which is root, a skip is a
// failure.
func needsRoot(t *testing.T) {
	t.Helper()
	if !mounts() {
		t.Skip("NOT TRIED without root: no small disk can be mounted")
	}
}

// impatient makes the agent give up what is the world's fault in seconds.
const impatient = "GURNEY_PACE=1000"

// failsForTheDisk waits for the deployment's failure, which must name the
// disk, blame no release, and not have been tried for ever.
func (n *node) failsForTheDisk(id string, phase report.Phase, words string) {
	n.Helper()
	var r report.Result
	n.until("it fails", func() bool {
		r = n.result(id)
		return r.State.Final()
	})
	if r.State != report.Failed || r.Phase != phase || r.Release || !strings.Contains(r.Error, words) {
		n.Errorf("the result is %+v; it should have failed in phase %s, by the world's fault: %s", r, phase, words)
	}
	if r.Attempt < 2 || r.Attempt > 50 {
		n.Errorf("it was tried %d times", r.Attempt)
	}
	n.must(n.undisturbed())
	n.once(id, false)
	n.calm()
}

// calm says that the agent does nothing while there is nothing to do.
func (n *node) calm() {
	n.Helper()
	said, used, began := len(n.said()), n.cpu(), time.Now()
	time.Sleep(time.Second)
	used = n.cpu() - used
	if took := time.Since(began); used > 3*took/10 {
		n.Errorf("the agent used %s of %s to do nothing", used, took)
	}
	if more := n.said()[said:]; strings.Count(more, "\n") > 40 {
		n.Errorf("the agent goes on and on:\n%s", more)
	}
}

// cpu is what the agent has used so far.
func (n *node) cpu() time.Duration {
	n.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(n.Agent.Pid()), "stat"))
	n.must(err)
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Go runs (proc(5))
	user, err := strconv.Atoi(f[11])
	n.must(err)
	system, err := strconv.Atoi(f[12])
	n.must(err)
	return tick * time.Duration(user+system)
}

// All of the node's disk is full, its state's too, before the deployment is
// heard of and until it has failed: Consul is told all the same, once, and
// when there is room the journal has it too.
func TestDiskFullFromTheStart(t *testing.T) {
	needsRoot(t)
	for _, strategy := range []string{"release", "rsync"} {
		t.Run(strategy, func(t *testing.T) {
			lane(t)
			n := newNode(t, nodeOptions{strategy: strategy, disk: diskSize})
			n.Env = append(n.Env, impatient)
			n.start()
			n.until("the agent listens", func() bool { return exists(filepath.Join(n.State(), "seen.json")) })
			n.must(n.disk.fill())
			id := n.deploy(shared.new)
			n.failsForTheDisk(id, report.PhaseAccepted, "no space left on device")
			n.must(n.disk.free())
			n.until("the journal has it", func() bool {
				j, err := n.state.Journal("chef")
				return err == nil && j.Work != nil && j.Work.ID == id && j.Work.State == report.Failed
			})
			n.settles(shared.old.tree)
			id = n.deploy(shared.new)
			n.onDesired(id)
			n.settles(shared.new.tree)
			n.once(id, false)
		})
	}
}

// An agent starts on a full disk: it obeys as soon as there is room.
func TestAgentStartsOnAFullDisk(t *testing.T) {
	needsRoot(t)
	lane(t)
	n := newNode(t, nodeOptions{strategy: "release", disk: diskSize})
	n.start()
	n.until("the agent listens", func() bool { return exists(filepath.Join(n.State(), "seen.json")) })
	n.Agent.Kill()
	n.must(n.disk.fill())
	id := n.deploy(shared.new)
	n.start()
	n.until("it tries", func() bool { return strings.Contains(n.Agent.Out.String(), "not the release's fault") })
	n.calm()
	n.must(n.disk.free())
	n.onDesired(id)
	n.settles(shared.new.tree)
	n.once(id, false)
}

// Only the disk with the releases is full, or may not be written to, until the
// manifest's time is over.
func TestDestCannotBeWritten(t *testing.T) {
	needsRoot(t)
	for _, strategy := range []string{"release", "rsync"} {
		t.Run(strategy+"/full", func(t *testing.T) {
			lane(t)
			n := newNode(t, nodeOptions{strategy: strategy})
			n.Env = append(n.Env, impatient)
			n.timeout = 4 * time.Second
			n.must(os.RemoveAll(n.Dest()))
			n.disk = mount(t, n.Dest(), diskSize)
			n.must(n.before())
			n.must(n.disk.fill())
			n.start()
			id := n.deploy(shared.new)
			n.failsForTheDisk(id, report.PhaseFetch, "no space left on device")
			n.must(n.disk.free())
			n.settles(shared.old.tree)
			n.onDesired(n.deploy(shared.new))
			n.settles(shared.new.tree)
		})
		t.Run(strategy+"/read-only", func(t *testing.T) {
			lane(t)
			n := newNode(t, nodeOptions{strategy: strategy})
			n.Env = append(n.Env, impatient)
			n.timeout = 4 * time.Second
			writable := readOnly(t, n.Dest())
			n.start()
			id := n.deploy(shared.new)
			n.failsForTheDisk(id, report.PhaseManifest, "read-only file system")
			writable()
			n.settles(shared.old.tree)
			n.onDesired(n.deploy(shared.new))
			n.settles(shared.new.tree)
		})
	}
}

// An agent that can't write its state says so and ends, for its service
// manager to try again: it has nothing to go by.
func TestStateIsReadOnly(t *testing.T) {
	needsRoot(t)
	lane(t)
	n := newNode(t, nodeOptions{strategy: "release"})
	readOnly(t, n.State())
	n.start()
	status, err := n.Agent.Wait(10 * time.Second)
	if said := n.said(); err != nil || status == 0 || !strings.Contains(said, "read-only file system") || !strings.Contains(said, n.State()) {
		t.Errorf("it ended with %d (%v) and said:\n%s", status, err, said)
	}
	if n := strings.Count(n.said(), "\n"); n > 5 {
		t.Errorf("in %d lines", n)
	}
	n.Agent = nil
}

// readOnly makes what is at dir read-only, until writable.
func readOnly(t *testing.T, dir string) (writable func()) {
	t.Helper()
	for _, flags := range []uintptr{unix.MS_BIND, unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY} {
		if err := unix.Mount(dir, dir, "", flags, ""); err != nil {
			t.Fatalf("make %s read-only: %v", dir, err)
		}
	}
	done := false
	writable = func() {
		if !done {
			done = true
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(writable)
	return writable
}
