package run

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"gurney/agent/state"
	"gurney/artifact"
	"gurney/release"
	"gurney/report"
)

// end judges err: whose fault it is, and what the result says.
func (r *runner) end(ctx context.Context, err error) state.Ending {
	now := time.Now()
	r.seconds[r.status.Phase] += now.Sub(r.status.Since)
	res := &r.result
	res.End = now.UnixMilli()
	res.Seconds = map[report.Phase]float64{}
	for p, d := range r.seconds {
		res.Seconds[p] = d.Seconds()
	}
	e := state.Ending{Bytes: r.bytes}
	if r.man != nil {
		e.Timeout = r.man.Timeout
	}
	var hold *HoldError
	var drain *DrainError
	var converge *ConvergeError
	switch {
	case err == nil:
		res.State, e.Roles = report.OK, r.roles
	case errors.As(err, &hold):
		res.State, res.Error = report.Skipped, hold.Error()
		if hold.Hold {
			res.State, e.Hold = report.Held, true
		}
	case errors.As(err, &drain):
		res.State, e.Drain = report.Interrupted, &state.DrainWish{Wait: drain.Wait}
	case ctx.Err() != nil:
		res.State, res.Phase, res.Error = report.Interrupted, r.status.Phase, "stopped by a signal"
	case errors.As(err, &converge) && converge.Killed:
		res.State, res.Phase, res.Error = report.Interrupted, r.status.Phase, err.Error()
	case refusal(err):
		res.State, res.Phase, res.Error = report.Refused, r.status.Phase, err.Error()
	default:
		res.State, res.Phase, res.Error = report.Failed, r.status.Phase, err.Error()
		e.Wait, e.Again = r.world(err), r.patient
		res.Release = !e.Wait
	}
	res.Error, res.Tail = r.Out.mask(res.Error), r.Out.mask(res.Tail)
	e.Result = *res
	return e
}

// refusal says whether the configuration forbids what the manifest asks.
func refusal(err error) bool {
	var source *artifact.NotAllowedError
	var dest *release.RefusedError
	return errors.As(err, &source) || errors.As(err, &dest)
}

// fullDisk says whether Chef failed because the disk was full, or could not be
// written to: in Ruby's words, which are strerror's.
func fullDisk(err error) bool {
	var converge *ConvergeError
	if !errors.As(err, &converge) {
		return false
	}
	for _, disk := range []syscall.Errno{syscall.ENOSPC, syscall.EROFS, syscall.EDQUOT} {
		if strings.Contains(strings.ToLower(converge.Why), disk.Error()) {
			return true
		}
	}
	return false
}

// world says whether err is no fault of the release: then trying again can
// help. The disk's errors are known by their numbers, whatever they stopped;
// others that know say so themselves; a time that is over is the world's while it fetches, and the
// release's when a command or Chef took it.
func (r *runner) world(err error) bool {
	if fullDisk(err) {
		return true
	}
	for _, disk := range []error{syscall.ENOSPC, syscall.EROFS, syscall.EIO, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, disk) {
			return true
		}
	}
	var t interface{ Transient() bool }
	if errors.As(err, &t) && t.Transient() {
		return true
	}
	// What it stopped may call itself permanent.
	var timeout *TimeoutError
	return errors.As(err, &timeout) && (r.status.Phase == report.PhaseFetch || r.status.Phase == report.PhaseManifest)
}
