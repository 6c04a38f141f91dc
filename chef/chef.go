// Package chef is CONVERGE: it picks the node JSON of a host, runs chef-solo
// on a release and says what became of it.
//
//	Resolve ─► nodes/<stem>.json
//	Find    ─► chef-solo
//	Converge: seed S/nodes ─► S/wrapper.rb ─► chef-solo in R, output to a file ─► Verdict
//
// R is the release's directory and is left byte by byte as it was. S is the
// state directory, where everything goes that Chef would write beside
// solo.rb: lock, cache, backups, guid, the saved node object. What chef-solo
// does unasked, and why each argument is there, is told in arguments and in
// wrapper.rb.
package chef

import (
	"fmt"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// Options say what to converge, and how. Command, Release, State, Node, JSON
// and Output are required; all paths but Config and Command are absolute.
type Options struct {
	Command     string   // argv[0], as Find returned it
	Release     string   // R: chef-solo's working directory
	State       string   // S: made if it is missing
	Node        string   // Chef's node name
	JSON        string   // node JSON, as Resolve returned it; its siblings seed the node search
	Config      string   // relative to Release; "": solo.rb
	Environment string   // Chef's -E; a chef_environment in the node JSON beats it
	RunList     []string // Chef's -o
	LogLevel    string
	WhyRun      bool
	License     string        // CHEF_LICENSE, where not ""
	Env         []string      // added to this process's own; the caller's mark for its run among it
	Timeout     time.Duration // of the converge; 0: none but ctx's
	Grace       time.Duration // from the first SIGINT to SIGKILL; 0: 10s

	Output    string // file that takes stdout and stderr
	Append    bool   // go on where Output ends; else what stands there is kept as Output.1
	MaxOutput int64  // bytes; beyond it Output is moved to Output.1 and starts anew. 0: 256 MiB

	// Attr, where not nil, has the last word on how chef-solo is started: in
	// the caller's cgroup, say.
	Attr       func(*syscall.SysProcAttr)
	OnProgress func(Progress) // called from Converge's goroutine, at most twice a second
	Log        zerolog.Logger
}

// Progress is how far a converge is. Total grows as recipes add resources.
type Progress struct {
	Done  int `json:"done"`
	Total int `json:"total"`
}

// Verdict is what became of one run of chef-solo. Exactly one of Success,
// Rerun, Busy or failure (none of the three) holds.
type Verdict struct {
	Success     bool
	Reboot      bool // 35, 37: done as told, and a reboot is wanted; Success too
	Rerun       bool // 213: Chef upgraded itself and wants to be run again
	Busy        bool // another run held the lock, nothing was done
	BusyPID     int  // who held it; 0: unknown
	TimedOut    bool // Options.Timeout was over and the run was stopped
	Interrupted bool // the context ended and the run was stopped
	Killed      bool // a signal that was not ours ended it: memory ran out, or somebody did it; exits 2 and 3 too

	Exit           int // exit code; 128 + signal where a signal ended it
	Updated, Total int // resources
	Elapsed        time.Duration
	Exception      string   // class, where known
	Why            string   // what went wrong, for a person: one line, rarely a few; "" on a plain success
	Tail           string   // the useful end of the output, at most 1 KiB; "" on success
	Roles          []string // the run list's, expanded; nil: nobody told
	RunID          string   // Chef's
	Reported       bool     // Gurney's handler ran: the surest source
}

// BusyError says that another chef-solo held the lock. It passes.
type BusyError struct {
	PID  int // 0: unknown
	Lock string
}

func (e *BusyError) Error() string {
	if e.PID == 0 {
		return "another chef-solo holds " + e.Lock
	}
	return fmt.Sprintf("another chef-solo (pid %d) holds %s", e.PID, e.Lock)
}

// Transient is true: the other run ends.
func (e *BusyError) Transient() bool { return true }

// StartError says that chef-solo did not get to run at all.
type StartError struct {
	Err  error
	wait bool
}

func (e *StartError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// Transient says whether the machine was short of something (memory,
// processes) rather than the release or the configuration wrong.
func (e *StartError) Transient() bool { return e.wait }
