package faults_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"gurney/agent/hold"
	"gurney/report"
)

// fault is something that happens to a node that stands at a point. It fires,
// lets the node go on, and heals what it broke.
type fault struct {
	name string
	// at says why the fault can't come at the point; "" where it can.
	at   func(p point) string
	fire func(n *node, p point) error
	// attempt is the one that ends well; 0: any of three.
	attempt func(p point) int
	disk    bool // needs a disk of the node's own
}

var faults = []fault{
	{name: "kill agent", at: killable, fire: killAgent, attempt: unborn},
	{name: "kill run", at: ofRun, fire: killRun, attempt: second},
	{name: "kill chef", at: ofChef, fire: killChef, attempt: second},
	{name: "TERM agent", at: alive, fire: termAgent, attempt: first},
	{name: "Consul agent restarts", at: alive, fire: restartConsul, attempt: first},
	{name: "leader lost", at: alive, fire: loseLeader, attempt: first},
	{name: "S3 503", at: ofS3, fire: failS3, attempt: second},
	{name: "S3 cut", at: ofS3, fire: cutS3, attempt: first},
	{name: "disk full", at: alive, fire: fillDisk, disk: true},
}

func first(point) int { return 1 }

// second: the run that was cut off is decided anew; one that had written its
// result had ended.
func second(p point) int {
	if p.name == hold.Ended {
		return 1
	}
	return 2
}

// unborn: of a run that is in the journal and was never started nobody knows
// that it did nothing, so it counts.
func unborn(p point) int {
	if p.name == hold.Starting {
		return 2
	}
	return 1
}

// killable: a kill comes anywhere; while the run is on, once for each phase.
func killable(p point) string {
	if p.name == hold.Begun || p.name == hold.Ended {
		return "same as at the agent's own point of the phase"
	}
	return ""
}

// alive: what a crash alone can part, other faults come to once.
func alive(p point) string {
	switch p.name {
	case hold.Starting, hold.Begun, hold.Ended, hold.Posted, hold.Sent:
		return "same as at the phase's main point: nothing but a kill parts what is done there"
	}
	return ""
}

func ofRun(p point) string {
	if p.agent {
		return "no run is on"
	}
	return ""
}

func ofChef(p point) string {
	if p.phase != report.PhaseChef {
		return "Chef does not run"
	}
	return ""
}

func ofS3(p point) string {
	if p.phase != report.PhaseFetch {
		return "nothing is read from S3: the manifest stands in Consul"
	}
	return ""
}

// killAgent kills the agent. Of strategy release it is back at once, of rsync
// only when the run has ended with nobody there.
func killAgent(n *node, p point) error {
	n.Agent.Kill()
	return n.comeBack(p)
}

// termAgent stops it as a service manager does: it obeys, and the run goes on.
func termAgent(n *node, p point) error {
	n.Agent.Signal(syscall.SIGTERM)
	status, err := n.Agent.Wait(20 * time.Second) // 2 on a machine with nothing else to do
	if err != nil || status != 0 {
		return fmt.Errorf("the agent ends with %d: %w", status, err)
	}
	if _, s, _ := n.newest(); !p.agent && syscall.Kill(s.PID, 0) != nil {
		return errors.New("the run is gone with the agent")
	}
	return n.comeBack(p)
}

func (n *node) comeBack(p point) error {
	if n.strategy == "rsync" && !p.agent {
		n.release(p.name)
		n.awaitRun()
		n.start()
		return nil
	}
	n.start()
	if !p.agent {
		n.until("the new agent picks the run up", func() bool { return strings.Contains(n.Agent.Out.String(), "picked it up") })
	}
	n.release(p.name)
	return nil
}

// awaitRun waits until the newest run has ended, well or not.
func (n *node) awaitRun() {
	n.Helper()
	n.until("the run ends", func() bool {
		dir, s, ok := n.newest()
		e, err := dir.Ending()
		return ok && (err == nil && e != nil || syscall.Kill(s.PID, 0) != nil)
	})
}

// killRun kills the run. What it ran must be ended by Gurney: it is not let
// go on before that.
func killRun(n *node, p point) error {
	_, s, _ := n.newest()
	before := n.strays()
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		return err
	}
	n.gone(before)
	if err := n.whole(); err != nil {
		return err
	}
	n.release(p.name)
	return nil
}

// gone waits until none of these is there any more.
func (n *node) gone(these []process) {
	n.Helper()
	n.until(fmt.Sprintf("what the run ran is ended: %v", these), func() bool {
		for _, p := range n.processes() {
			for _, old := range these {
				if p == old {
					return false
				}
			}
		}
		return true
	})
}

func killChef(n *node, p point) error {
	pid := n.chef()
	var below []process
	for _, s := range n.strays() {
		if _, run, _ := n.newest(); s.pid != run.PID {
			below = append(below, s)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	n.gone(below)
	n.release(p.name)
	return nil
}

// restartConsul restarts the local Consul agent; of strategy rsync it stays
// away until the run has ended.
func restartConsul(n *node, p point) error {
	if n.strategy != "rsync" {
		n.consul.restart(n.T)
		n.release(p.name)
		return nil
	}
	n.consul.away(n.T, true)
	n.goOnUntold(p)
	n.consul.away(n.T, false)
	return nil
}

// goOnUntold lets the node go on until its run has ended and the result can't
// be told.
func (n *node) goOnUntold(p point) {
	n.Helper()
	said := len(n.said())
	n.release(p.name)
	n.until("the result can't be told", func() bool {
		return n.ended() && strings.Contains(n.said()[said:], "results can't be reported yet")
	})
}

// goOn lets the node go on and waits until it can't get further without help.
func (n *node) goOn(p point) {
	n.Helper()
	if said := len(n.said()); p.agent {
		n.release(p.name)
		n.until("the agent finds it out, or its run has ended", func() bool {
			return strings.Contains(n.said()[said:], `"level":"warn"`) || n.ended()
		})
		return
	}
	n.release(p.name)
	n.awaitRun()
}

func (n *node) ended() bool {
	dir, _, ok := n.newest()
	e, err := dir.Ending()
	return ok && err == nil && e != nil
}

func loseLeader(n *node, p point) error {
	n.consul.leaderless(n.T, true)
	n.goOnUntold(p)
	n.consul.leaderless(n.T, false)
	return nil
}

// failS3 has S3 answer 503 until the attempt has given up.
func failS3(n *node, p point) error {
	n.s3.fail.Store(true)
	n.release(p.name)
	n.until("the attempt gives up", func() bool { return strings.Contains(n.said(), "not the release's fault") })
	if err := n.whole(); err != nil {
		return err
	}
	n.s3.fail.Store(false)
	return nil
}

func cutS3(n *node, p point) error {
	n.s3.cut.Store(true)
	n.release(p.name)
	n.until("the archive is asked for again", func() bool { return !n.s3.cut.Load() })
	return nil
}

// fillDisk fills the disk on which all of the node is, its state too, until
// the run that it met has ended, with a result all the same.
func fillDisk(n *node, p point) error {
	if err := n.disk.fill(); err != nil {
		return err
	}
	n.goOn(p)
	if err := n.whole(); err != nil {
		return err
	}
	if !p.agent && !n.ended() {
		return errors.New("the run ended without a word")
	}
	return n.disk.free()
}
