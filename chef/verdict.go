package chef

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Chef's exit codes that say more than 0 and 1 do.
const (
	exitInt          = 2
	exitTerm         = 3
	exitReboot       = 35
	exitRebootNeeded = 37
	exitRebootFailed = 41
	exitAudit        = 42
	exitConfig       = 43
	exitLicense      = 172
	exitEntitled     = 173
	exitLicenseKey   = 174
	exitUpgraded     = 213
)

// evidence is all that a verdict is drawn from.
type evidence struct {
	exit    ending
	report  *handled // nil: the handler did not run
	text    string   // end of the output
	took    time.Duration
	timeout time.Duration
}

// judge trusts the handler first, the exit code next, the summary line last.
// Where they differ: a failed report is a failure even beside exit 0. A
// successful report is a success even beside exit 1 or a signal, which then
// came after the converge; Why tells of it. Codes that name something of
// their own stand: 35 and 37 (a reboot raises an exception, so the report
// may call it a failure), 213, and 41 and 42, which come after a success.
func judge(e evidence) Verdict {
	e.text = noise.ReplaceAllString(e.text, "")
	v := Verdict{Exit: e.exit.code, Elapsed: e.took, TimedOut: e.exit.timedOut, Interrupted: e.exit.interrupted}
	v.Killed = (e.exit.signal != 0 || stoppedBy(e) != "") && !v.TimedOut && !v.Interrupted
	if u, t, ok := lastSummary(e.text); ok {
		v.Updated, v.Total = u, t
	}
	r := e.report
	if r != nil {
		v.Reported, v.Updated, v.Total, v.RunID, v.Roles = true, r.Updated, r.Total, r.RunID, r.Roles
		v.Elapsed, v.Exception = time.Duration(r.Elapsed*float64(time.Second)), r.Exception
	}
	if r == nil && v.Exit == 1 {
		if pid, ok := lockTimeout(e.text); ok {
			v.Busy, v.BusyPID = true, pid
			v.Why = (&BusyError{PID: pid, Lock: "Chef's lock"}).Error()
			return v
		}
	}
	switch v.Exit {
	case exitUpgraded:
		v.Rerun = true
		v.Why = "Chef upgraded itself and wants to be run again"
		return v
	case exitReboot, exitRebootNeeded:
		v.Success = r == nil || r.Completed || rebootException(r.Exception)
		v.Reboot = v.Success
	case exitRebootFailed, exitAudit:
	default:
		v.Success = v.Exit == 0
		if r != nil {
			v.Success = r.Success
		}
	}
	if v.Success {
		v.TimedOut, v.Interrupted, v.Killed, v.Exception = false, false, false, ""
		if v.Exit != 0 && !v.Reboot {
			v.Why = fmt.Sprintf("converged, but chef-solo ended with %s afterwards", exitName(e.exit))
		}
		return v
	}
	v.explain(e)
	return v
}

// stoppedBy names the signal that Chef itself took for its end. The code alone
// does not: up to 15 it is also that of a bad configuration. Its words follow
// the action at work, in the middle of a line.
func stoppedBy(e evidence) string {
	for code, name := range map[int]string{exitInt: "INT", exitTerm: "TERM"} {
		if e.exit.code == code && strings.Contains(e.text, "FATAL: SIG"+name+" received") {
			return name
		}
	}
	return ""
}

func rebootException(class string) bool {
	return strings.HasPrefix(class, "Chef::Exceptions::Reboot") && class != "Chef::Exceptions::RebootFailed"
}

func exitName(e ending) string {
	if e.signal != 0 {
		return "signal " + signalName(e.signal)
	}
	return "exit " + strconv.Itoa(e.code)
}

func signalName(s syscall.Signal) string {
	switch s {
	case syscall.SIGKILL:
		return "KILL"
	case syscall.SIGTERM:
		return "TERM"
	case syscall.SIGINT:
		return "INT"
	case syscall.SIGHUP:
		return "HUP"
	case syscall.SIGSEGV:
		return "SEGV"
	case syscall.SIGABRT:
		return "ABRT"
	}
	return strconv.Itoa(int(s))
}

// summaryLine is the last word of a converge in all of Chef's versions since
// 12. It counts only at a line's start: resources print what they like.
var summaryLine = regexp.MustCompile(`(?m)^(?:Infra Phase (?:complete, |failed\. )|(?:Chef|Cinc)(?: Infra)? Client (?:finished, |failed\. ))(\d+)(?:/(\d+))? resources (?:updated|would have been updated)`)

// lastSummary returns the counts of the last summary line; a failure has no total.
func lastSummary(text string) (updated, total int, ok bool) {
	all := summaryLine.FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return 0, 0, false
	}
	m := all[len(all)-1]
	updated, _ = strconv.Atoi(m[1])
	total, _ = strconv.Atoi(m[2])
	return updated, total, true
}

var lockWaited = regexp.MustCompile(`Waited \d+ seconds for (\d+) to release`)

func lockTimeout(text string) (pid int, ok bool) {
	fatal := lastFatal(text)
	if !strings.HasPrefix(fatal, "Chef::Exceptions::RunLockTimeout") {
		return 0, false
	}
	if m := lockWaited.FindStringSubmatch(fatal); m != nil {
		pid, _ = strconv.Atoi(m[1])
	}
	return pid, true
}
