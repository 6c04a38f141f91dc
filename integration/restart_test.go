package integration_test

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gurney/integration/fleet"
	"gurney/report"
)

// waiting is a recipe that stands still between $HOST/started and $HOST/go.
var waiting = []string{
	`execute "wait" do`,
	`  command "touch #{ENV["HOST"]}/started; until test -e #{ENV["HOST"]}/go; do sleep 0.05; done"`,
	`end`,
}

// begun starts a detached deploy of waiting and returns when Chef stands in it.
func (w *world) begun(host string, recipe ...string) (id string) {
	w.Helper()
	p := w.publish(w.newRepo("slow", append(recipe, waiting...)...), "chef")
	w.gurney(w.ops(), 0, "deploy", "chef", p.Manifest, "--detach")
	w.until("Chef is in the middle", func() bool { return exists(w.Hosts[host].Path("started")) })
	return w.record("chef").Current.ID
}

// onceOK insists on one final result, ok at the first attempt, from one run.
func (w *world) onceOK(host, id string) {
	w.Helper()
	if r := w.awaitFinal("chef", id, host); r.State != report.OK || r.Attempt != 1 {
		w.Errorf("%+v", r)
	}
	runs, err := filepath.Glob(w.Hosts[host].Path("state", "runs", "chef@"+id+"@*"))
	if err != nil || len(runs) != 1 {
		w.Errorf("the runs are %v", runs)
	}
}

func TestTheAgentIsKilledInMidRun(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	w.startAgents("web-1")
	id := w.begun("web-1")
	h.Agent.Kill()
	if err := h.StartAgent(); err != nil {
		t.Fatal(err)
	}
	w.until("the new agent picks the run up", func() bool { return strings.Contains(h.Agent.Out.String(), "picked it up") })
	w.write(h.Dir, "go", "")
	w.onceOK("web-1", id)
	w.converged("web-1", "slow green")
}

func TestTheAgentIsAwayWhenTheRunEnds(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	w.startAgents("web-1")
	id := w.begun("web-1")
	w.until("it has told that it began", func() bool { return w.result("chef", id, "web-1").State == report.Accepted })
	h.Agent.Kill()
	w.write(h.Dir, "go", "")
	w.until("the run ends", func() bool { return exists(h.Path("state", "runs", "chef@"+id+"@1", "result.json")) })
	if r := w.result("chef", id, "web-1"); r.State != report.Accepted {
		t.Errorf("without an agent there is %+v", r)
	}
	if err := h.StartAgent(); err != nil {
		t.Fatal(err)
	}
	w.onceOK("web-1", id)
}

// Chef restarts Gurney, as a cookbook that upgrades it does.
func TestChefRestartsTheAgent(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	w.startAgents("web-1")
	old := h.Agent
	w.write(h.Dir, "agent.pid", strconv.Itoa(old.Pid()))
	id := w.begun("web-1",
		`execute "restart gurney" do`,
		`  command "kill -TERM $(cat #{ENV["HOST"]}/agent.pid)"`,
		`end`)
	select {
	case <-old.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the agent does not end on SIGTERM")
	}
	if err := h.StartAgent(); err != nil {
		t.Fatal(err)
	}
	w.write(h.Dir, "go", "")
	w.onceOK("web-1", id)
	w.converged("web-1", "slow green")
}

// SIGTERM ends the agent within two seconds and leaves the run alone.
func TestTheAgentStops(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	w.startAgents("web-1")
	id := w.begun("web-1")
	stood := w.standstill()
	began := time.Now()
	h.Agent.Signal(syscall.SIGTERM)
	status, err := h.Agent.Wait(20 * time.Second)
	if took := time.Since(began); err != nil || status != 0 || took > 2*time.Second+stood() {
		t.Errorf("the agent's end: %d, %v, after %s, where nobody waited longer than %s", status, err, took, stood())
	}
	if pid := w.runPID(h, id); syscall.Kill(pid, 0) != nil {
		t.Errorf("the run is gone (pid %d)", pid)
	}
	w.write(h.Dir, "go", "")
	if err := h.StartAgent(); err != nil {
		t.Fatal(err)
	}
	w.onceOK("web-1", id)
}

// runPID is the process of the first run of a deployment.
func (w *world) runPID(h *fleet.Host, id string) int {
	w.Helper()
	var status struct{ PID int }
	if err := json.Unmarshal([]byte(w.read(h.Path("state", "runs", "chef@"+id+"@1", "status.json"))), &status); err != nil {
		w.Fatal(err)
	}
	return status.PID
}

// The run itself is killed: it is reported interrupted by nobody, runs again,
// and ends in one result.
func TestTheRunIsKilled(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	w.startAgents("web-1")
	id := w.begun("web-1")
	if err := syscall.Kill(w.runPID(h, id), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.write(h.Dir, "go", "")
	if r := w.awaitFinal("chef", id, "web-1"); r.State != report.OK || r.Attempt != 2 {
		t.Errorf("%+v", r)
	}
	w.converged("web-1", "slow green")
}
