package agent

import (
	"fmt"
	"time"

	"gurney/report"
)

// manager is the service manager that started this process, as far as the
// loop has told it anything. Only the loop tells it: a loop that is stuck is
// silent, and is started anew.
type manager struct {
	ready  bool
	status string    // last told
	beaten time.Time // when it was last told that the loop lives
}

// alive tells the service manager that the loop goes on, and what it does.
func (a *Agent) alive() {
	if a.o.Notify == nil {
		return
	}
	if !a.manager.ready {
		a.manager.ready = true
		a.o.Notify("READY=1")
	}
	if status := a.does(); status != a.manager.status {
		a.manager.status = status
		a.o.Notify("STATUS=" + status)
	}
	if a.o.Watchdog > 0 && time.Since(a.manager.beaten) >= a.o.Watchdog/4 {
		a.manager.beaten = time.Now()
		a.o.Notify("WATCHDOG=1")
	}
}

// beat makes the loop turn often enough for the watchdog; nil where none
// waits. Two beats may be missed before the third is too late.
func (a *Agent) beat() (c <-chan time.Time, stop func()) {
	if a.o.Notify == nil || a.o.Watchdog <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(a.o.Watchdog / 3)
	return t.C, t.Stop
}

// does is what the agent does, in a line for `systemctl status`.
func (a *Agent) does() string {
	for _, name := range a.o.Apps {
		w := a.apps[name].Work
		switch {
		case w == nil || w.State.Final():
		case w.Run != "":
			return fmt.Sprintf("%s: runs %s, attempt %d", name, w.ID, w.Attempt)
		case w.State == report.Held:
			return fmt.Sprintf("%s: holds %s: %s", name, w.ID, w.Note)
		default:
			return fmt.Sprintf("%s: %s is to run", name, w.ID)
		}
	}
	return fmt.Sprintf("at rest, apps: %v", a.o.Apps)
}
