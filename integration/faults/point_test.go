package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"gurney/agent/hold"
	"gurney/report"
)

// point is where a node can be made to stand: in a phase, and who stands.
type point struct {
	name  string
	phase report.Phase
	agent bool   // the agent stands; else the run, or what it runs
	only  string // of this strategy; "": of both
}

// points are in the order in which a run comes to them.
var points = []point{
	{name: hold.Accepted, phase: report.PhaseAccepted, agent: true},
	{name: hold.Starting, phase: report.PhaseAccepted, agent: true},
	{name: hold.Begun, phase: report.PhaseAccepted},
	{name: hold.Manifest, phase: report.PhaseManifest},
	{name: "fetch", phase: report.PhaseFetch}, // in the middle of the archive
	{name: "pre", phase: report.PhasePre},     // in a command
	{name: hold.Sync, phase: report.PhaseSync, only: "rsync"},
	{name: "chef", phase: report.PhaseChef}, // in a recipe's command
	{name: hold.Activate, phase: report.PhaseActivate, only: "release"},
	{name: "post", phase: report.PhasePost}, // in a command
	{name: hold.Ended, phase: report.PhaseReport},
	{name: hold.Posted, phase: report.PhaseReport, agent: true},
	{name: hold.Report, phase: report.PhaseReport, agent: true},
	{name: hold.Sent, phase: report.PhaseReport, agent: true},
}

// stands waits until the node stands at the point, and proves that this is in
// the phase that the point says.
func (n *node) stands(p point, id string) {
	n.Helper()
	held := filepath.Join(n.holds, p.name+".held")
	n.until("it stands at "+p.name, func() bool { return exists(held) })
	if err := n.proves(p, id, held); err != nil {
		n.Fatalf("it stands at %s, but: %v", p.name, err)
	}
}

func (n *node) proves(p point, id, held string) error {
	data, err := os.ReadFile(held)
	if err != nil {
		return err
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err != nil || p.agent && pid != n.Agent.Pid() || pid > 0 && syscall.Kill(pid, 0) != nil {
		return fmt.Errorf("it is process %s, which is not there, or not the agent", data)
	}
	if p.agent {
		return n.provesAgent(p, id)
	}
	dir, s, ok := n.newest()
	if !ok || syscall.Kill(s.PID, 0) != nil {
		return fmt.Errorf("there is no run: %+v", s)
	}
	ending, err := dir.Ending()
	if err != nil {
		return err
	}
	if phase := s.Phase; p.name == hold.Ended {
		if ending == nil || phase != report.PhasePost {
			return fmt.Errorf("the run is in phase %s, its result is %+v", phase, ending)
		}
	} else if phase != p.phase || ending != nil {
		return fmt.Errorf("the run is in phase %s, its result is %+v", phase, ending)
	}
	if p.phase == report.PhaseChef && n.chef() == 0 {
		return fmt.Errorf("no chef-solo runs: %v", n.processes())
	}
	return n.drained(true)
}

// provesAgent knows where the agent is by what stands on disk and in Consul.
func (n *node) provesAgent(p point, id string) error {
	j, err := n.state.Journal("chef")
	if err != nil {
		return err
	}
	letters, err := n.state.Outbox()
	if err != nil {
		return err
	}
	final := 0
	for _, l := range letters {
		if l.Final() {
			final++
		}
	}
	w, told := j.Work, n.result(id).State.Final()
	if w == nil || w.ID != id {
		return fmt.Errorf("it works at %+v", w)
	}
	ok := false
	switch p.name {
	case hold.Accepted:
		ok = w.State == report.Accepted && w.Run == "" && final == 0
	case hold.Starting:
		ok = w.State == report.Accepted && w.Run != "" && final == 0
	case hold.Posted:
		ok = w.State == report.Accepted && w.Run != "" && final+boolInt(told) >= 1
	case hold.Report:
		ok = final == 1 && !told
	case hold.Sent:
		ok = final == 1 && told
	}
	if !ok {
		return fmt.Errorf("the journal says %+v; %d final results wait, and Consul has one: %t", w, final, told)
	}
	return nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// drained says whether the node is out of service, or in, as it should be.
func (n *node) drained(want bool) error {
	on, _, err := n.local.Drained(n.Context())
	if err != nil {
		return err
	}
	if on != want {
		return fmt.Errorf("drained: %t", on)
	}
	return nil
}
