package agent_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gurney/agent/state"
	"gurney/report"
)

// The agent under test starts this test binary again as its `gurney run`,
// which does as its deployment's URL says, so that what the agent sees are
// real processes, sessions and locks.
const scriptVariable = "GURNEY_TEST_SCRIPT"

func TestMain(m *testing.M) {
	if script := os.Getenv(scriptVariable); script != "" {
		os.Exit(fakeRun(state.RunAt(os.Args[len(os.Args)-1]), script))
	}
	os.Exit(m.Run())
}

// fakeRun does what the URL's path says, one element for each attempt, the
// last for all that follow:
//
//	ok, fail, world   ends so: world is no fault of the release
//	late              world, with no time for more than a second attempt
//	refuse            as what the configuration forbids
//	block             until the test lets it go on, then ok
//	broken            fail, until the test lets it go on, then ok
//	die               is gone without a result
//	stillborn         is gone before it began
//	hold              waits for the maintenance, where there is one
//
// With ?roles=a,b it says besides what Chef says of the node's roles.
func fakeRun(dir state.RunDir, script string) int {
	if _, err := state.Adopt(3); err != nil {
		return complain(err)
	}
	spec, err := dir.Spec()
	if err != nil {
		return complain(err)
	}
	begun, err := os.OpenFile(filepath.Join(script, "begun"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return complain(err)
	}
	fmt.Fprintf(begun, "%s %s %d %d\n", spec.App, spec.ID, spec.Attempt, os.Getpid())
	u, err := url.Parse(spec.URL)
	if err != nil {
		return complain(err)
	}
	steps := strings.Split(strings.Trim(u.Path, "/"), "/")
	step := steps[min(spec.Attempt, len(steps))-1]
	if step == "stillborn" {
		return complain(fmt.Errorf("gurney.yml:3:1: chef.timout: no such key"))
	}
	now := time.Now()
	r := report.Result{State: report.OK, Start: now.UnixMilli(), Attempt: spec.Attempt, NodeJSON: "web", Updated: 3, Total: 60}
	e := state.Ending{Result: r, Timeout: time.Minute}
	if roles, told := u.Query()["roles"]; told {
		e.Roles = strings.FieldsFunc(roles[0], func(r rune) bool { return r == ',' })
	}
	status := state.Status{PID: os.Getpid(), Phase: report.PhaseChef, Start: now, Since: now, Touched: true}
	if step == "broken" {
		step = "fail"
		if _, err := os.Stat(filepath.Join(script, "go")); err == nil {
			step = "ok"
		}
	}
	switch step {
	case "fail":
		e.Result = report.Result{State: report.Failed, Phase: report.PhaseChef, Exit: 1, Error: "boom", Start: r.Start, Attempt: r.Attempt, Release: true}
	case "refuse":
		status.Phase, status.Touched = report.PhaseManifest, false
		e.Result = report.Result{State: report.Refused, Phase: report.PhaseManifest, Error: "not below any of the configured sources", Start: r.Start, Attempt: r.Attempt}
	case "world", "late":
		status.Phase, status.Touched = report.PhaseFetch, false
		e.Result = report.Result{State: report.Failed, Phase: report.PhaseFetch, Error: "503 Slow Down", Start: r.Start, Attempt: r.Attempt}
		e.Wait = true
		if step == "late" {
			e.Timeout, e.Again = time.Millisecond, spec.Attempt == 1 // whose end came in time
		}
	case "hold":
		if spec.InMaintenance {
			status.Phase, status.Touched = report.PhaseManifest, false
			e.Hold, e.Result.State, e.Result.Error = true, report.Held, "maintenance: the manifest's word"
		}
	}
	if err := dir.SaveStatus(status); err != nil {
		return complain(err)
	}
	switch step {
	case "die":
		return 137
	case "block":
		for end := now.Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(script, "go")); err == nil {
				break
			}
			if time.Now().After(end) {
				return complain(fmt.Errorf("nobody let it go on"))
			}
		}
	}
	e.Result.End = time.Now().UnixMilli()
	if err := dir.SaveEnding(e); err != nil {
		return complain(err)
	}
	return 0
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "gurney:", err)
	return 2
}
