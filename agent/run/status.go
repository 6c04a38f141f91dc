package run

import (
	"os"
	"time"

	"gurney/agent/hold"
	"gurney/agent/state"
	"gurney/report"
)

// saveEvery bounds how often a changing detail is written to disk.
const saveEvery = 500 * time.Millisecond

func newStatus(now time.Time) state.Status {
	return state.Status{PID: os.Getpid(), Phase: report.PhaseAccepted, Start: now, Since: now}
}

// phase ends the phase that is on and begins p.
func (r *runner) phase(p report.Phase) {
	now := time.Now()
	r.seconds[r.status.Phase] += now.Sub(r.status.Since)
	r.status.Phase, r.status.Since, r.status.Detail = p, now, ""
	r.save()
	if p == report.PhaseManifest || p == report.PhaseActivate { // the others stand in their middle
		hold.At(nil, string(p))
	}
}

// touch begins p, and says before anything changes that this node is now
// touched by the deployment.
func (r *runner) touch(p report.Phase) {
	r.status.Touched = true
	r.phase(p)
}

// detail says how far the phase is.
func (r *runner) detail(text string) {
	r.status.Detail = text
	if time.Since(r.saved) >= saveEvery {
		r.save()
	} else if r.OnStatus != nil {
		r.OnStatus(r.status)
	}
}

// save writes the status for those who look on. A disk that is full must not
// end the run here: what it breaks says so itself.
func (r *runner) save() {
	r.saved = time.Now()
	if err := r.Dir.SaveStatus(r.status); err != nil {
		r.Log.Warn().Err(err).Msg("the run's status can't be written")
	}
	if r.OnStatus != nil {
		r.OnStatus(r.status)
	}
}
