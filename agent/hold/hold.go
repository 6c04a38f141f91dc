// Package hold stops a run, or the agent, at a named point until a test lets
// it go on: faults are then injected where they are said to be. It exists
// only in builds with the tag faults; in all others its functions do nothing,
// and nothing is left of them.
//
//	$GURNEY_HOLD/<point>.hold   stop there while it exists
//	$GURNEY_HOLD/<point>.held   it stands there: its process id
package hold

// Points are where a run or the agent can be stopped, in their order.
const (
	Accepted = "accepted" // agent: reported and drained, before there is a run
	Starting = "starting" // agent: the run is in the journal, before it is a process
	Begun    = "begun"    // run: it has said that it is there
	Manifest = "manifest" // run: at the begin of the phase
	Sync     = "sync"     // run: some files are new, the others old
	Activate = "activate" // run: at the begin of the phase
	Ended    = "ended"    // run: its result is written, and it is still there
	Posted   = "posted"   // agent: the final result waits, the journal does not say so
	Report   = "report"   // agent: before Consul is told the final result
	Sent     = "sent"     // agent: Consul has it, the outbox too
)
