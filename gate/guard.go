package gate

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"gurney/proc"
)

// guard is a process that outlives a gate that was killed, for as long as it
// takes to kill what the gate has started. The kernel's own way, a signal at
// the parent's death, reaches neither the children of CMD nor one that changes
// its user, as what daemontools and runit start mostly does.
//
// It leads the process group that CMD is started into, so that there is no
// moment in which CMD runs and the guard knows nothing of it. CMD may leave that
// group for a session of its own: the guard is told whom it guards, too.
type guard struct {
	cmd    *exec.Cmd
	tell   io.WriteCloser // its end is the gate's
	daemon *exec.Cmd      // CMD; nil: not started yet
}

// guardScript says when it is deaf to what is sent to its group. It reads CMD's
// process id, and waits to be told that all is well. Where that never comes, the
// gate is gone. (dash's kill knows no "--".)
const guardScript = `trap '' HUP INT QUIT TERM USR1 USR2 ALRM TSTP TTIN TTOU
echo deaf
read -r daemon && read -r well && exit
if [ -n "$daemon" ]; then kill -KILL "$daemon"; kill -KILL "-$daemon"; fi 2> /dev/null
kill -KILL 0`

// newGuard starts one, and returns when it guards.
func newGuard() (*guard, error) {
	cmd := exec.Command("sh", "-c", guardScript)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Setpgid: true}
	tell, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("guard the daemon: %w", err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("guard the daemon: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("guard the daemon: %w", err)
	}
	g := &guard{cmd: cmd, tell: tell}
	if _, err := bufio.NewReader(said).ReadString('\n'); err != nil {
		g.dismiss()
		return nil, fmt.Errorf("guard the daemon: the guard says nothing: %w", err)
	}
	return g, nil
}

// group is the process group that it guards.
func (g *guard) group() int { return g.cmd.Process.Pid }

// watch tells it who was started into its group.
func (g *guard) watch(daemon *exec.Cmd) {
	g.daemon = daemon
	_, _ = io.WriteString(g.tell, strconv.Itoa(daemon.Process.Pid)+"\n")
}

// signal sends s to all that it guards, to each once.
func (g *guard) signal(s syscall.Signal) {
	_ = syscall.Kill(-g.group(), s)
	pid := g.daemon.Process.Pid
	if group, err := syscall.Getpgid(pid); err == nil && group == g.group() {
		return
	}
	if err := syscall.Kill(-pid, s); err != nil { // a session of its own, or what it left there
		_ = g.daemon.Process.Signal(s)
	}
}

// end ends what it guards: TERM, and KILL to what is left after grace. The
// daemon's children have as long as the daemon, which may be gone before them.
func (g *guard) end(grace time.Duration) {
	g.signal(syscall.SIGTERM)
	g.signal(syscall.SIGCONT) // what has stopped hears of it only when it goes on
	for over := time.Now().Add(grace); time.Now().Before(over) && !g.alone(); {
		time.Sleep(min(aloneEvery, time.Until(over)))
	}
	g.signal(syscall.SIGKILL)
}

// aloneEvery is how often it is looked whether all have ended.
const aloneEvery = 50 * time.Millisecond

// alone says whether nobody is left of what it guards.
func (g *guard) alone() bool {
	all := proc.All()
	for pid, p := range all {
		if pid != g.group() && (p.Group == g.group() || p.Group == g.daemon.Process.Pid) {
			return false
		}
	}
	return len(all) > 0
}

// dismiss ends it: CMD is dead, or was not started.
func (g *guard) dismiss() {
	if g.daemon == nil {
		_, _ = io.WriteString(g.tell, "nobody\n")
	}
	_, _ = io.WriteString(g.tell, "well\n")
	_ = g.cmd.Process.Kill() // it may have been stopped together with CMD
	_ = g.tell.Close()
	_ = g.cmd.Wait()
}
