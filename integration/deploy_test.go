package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gurney/kv"
	"gurney/report"
)

// The main job: one event, and every node fetches, verifies, converges and
// reports; a node in maintenance holds back, says so, and catches up.
func TestDeploy(t *testing.T) {
	w := newWorld(t, "web-1", "web-2", "db-1")
	w.startAgents("web-1", "web-2", "db-1")
	w.maintenance("web-2", true, "disk+swap")

	one := w.publish(w.newRepo("one"), "chef")
	out := w.gurney(w.ops(), 0, "deploy", "chef", one.Manifest, "-m", "the first")
	for _, want := range []string{`"the first"`, "2 ok", "1 held", `web-2`, "disk swap"} {
		if !strings.Contains(out.Stdout, want) {
			t.Errorf("deploy does not say %q:\n%s", want, out.Stdout)
		}
	}
	if strings.Contains(out.Stdout, "\x1b") {
		t.Errorf("escapes in a pipe: %q", out.Stdout)
	}
	first := w.record("chef").Current
	if first == nil {
		t.Fatal("the deployment is not current")
	}
	w.converged("web-1", "one green")
	w.converged("db-1", "one blue")
	if _, err := os.Stat(w.Hosts["web-2"].Path("converged")); err == nil {
		t.Error("web-2 converged in maintenance")
	}
	if r := w.result("chef", first.ID, "web-2"); r.State != report.Held || !strings.Contains(r.Error, "disk swap") {
		t.Errorf("web-2: %+v", r)
	}
	w.maintenance("web-2", false, "")
	if r := w.awaitFinal("chef", first.ID, "web-2"); r.State != report.OK || r.NodeJSON != "web" || r.Updated != 1 {
		t.Errorf("web-2 after its maintenance: %+v", r)
	}
	w.converged("web-2", "one green")

	two := w.publish(w.newRepo("two"), "chef")
	if d := w.deploy(0, two); !d.Promoted || d.Previous != first.ID || d.Counts["ok"] != 3 {
		t.Errorf("second deploy: %+v", d)
	}
	for _, h := range []string{"web-1", "web-2", "db-1"} {
		if got := w.live(h); got != "two" {
			t.Errorf("%s has %q live", h, got)
		}
		releases, err := filepath.Glob(w.Hosts[h].Path("srv", "chef.releases", "[!.]*"))
		if err != nil || len(releases) != 2 {
			t.Errorf("%s keeps %v", h, releases)
		}
	}
	status := w.gurney(w.ops(), 0, "status", "chef").Stdout
	if !strings.Contains(status, w.record("chef").Current.ID) {
		t.Errorf("status: %s", status)
	}
}

// A release that fails on Chef leaves the old one live, says why, and is
// taken up again by retry once what it lacked is there.
func TestDeployThatFails(t *testing.T) {
	w := newWorld(t, "web-1", "db-1")
	w.startAgents("web-1", "db-1")
	good := w.deploy(0, w.publish(w.newRepo("good"), "chef"))
	bad := w.publish(w.newRepo("bad",
		`execute "test -e #{ENV["HOST"]}/needed" do`,
		`  command "echo looking for what is needed; test -e #{ENV["HOST"]}/needed"`,
		`end`), "chef")
	w.write(w.Hosts["db-1"].Dir, "needed", "")
	out := w.gurney(w.ops(), 1, "deploy", "chef", bad.Manifest)
	for _, want := range []string{"1 failed", "web-1", "phase chef, exit 1", "looking for what is needed", "gurney retry chef", "gurney abort chef", "gurney logs chef"} {
		if !strings.Contains(out.Stdout, want) {
			t.Errorf("the failure does not say %q:\n%s", want, out.Stdout)
		}
	}
	r := w.record("chef")
	if r.Rollout == nil || r.Current == nil || r.Current.ID != good.ID {
		t.Fatalf("record after the failure: %+v", r)
	}
	id := r.Rollout.ID
	if got := w.live("web-1"); got != "good" {
		t.Errorf("%q is live after the failure", got)
	}
	res := w.result("chef", id, "web-1")
	if res.State != report.Failed || res.Phase != report.PhaseChef || !res.Release || res.Tail == "" {
		t.Errorf("%+v", res)
	}
	if p, err := w.client().Get(t.Context(), report.FailedKey("chef", id, "web-1"), kv.Default); err != nil || p == nil {
		t.Errorf("no marker: %v", err)
	}
	w.gurney(w.ops(), 3, "deploy", "chef", bad.Manifest) // one is on
	w.write(w.Hosts["web-1"].Dir, "needed", "")
	if out := w.gurney(w.ops(), 0, "retry", "chef").Stdout; !strings.Contains(out, "chef is now "+id) {
		t.Errorf("retry does not say that it completed the rollout:\n%s", out)
	}
	if r := w.result("chef", id, "web-1"); r.State != report.OK || r.Attempt != 2 {
		t.Errorf("after the retry: %+v", r)
	}
	if got := w.live("web-1"); got != "bad" {
		t.Errorf("%q is live after the retry", got)
	}
	if r := w.record("chef"); r.Current.ID != id || r.Rollout != nil {
		t.Errorf("record after the retry: %+v", r)
	}
}

// An abort sends the nodes that a rollout touched back to what is current.
func TestAbort(t *testing.T) {
	w := newWorld(t, "web-1", "db-1")
	w.startAgents("web-1", "db-1")
	good := w.deploy(0, w.publish(w.newRepo("good"), "chef"))
	parked := w.deploy(0, w.publish(w.newRepo("canary"), "chef"), "--node", "^web-")
	if parked.Promoted || w.live("web-1") != "canary" || w.live("db-1") != "good" {
		t.Fatalf("%+v, web-1 %s, db-1 %s", parked, w.live("web-1"), w.live("db-1"))
	}
	w.gurney(w.ops(), 0, "abort", "chef")
	w.until("web-1 is back", func() bool { return w.live("web-1") == "good" })
	w.converged("web-1", "good green")
	if r := w.record("chef"); r.Rollout != nil || r.Current.ID != good.ID {
		t.Errorf("%+v", r)
	}
}
