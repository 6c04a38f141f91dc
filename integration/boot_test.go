package integration_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"gurney/report"
)

// An image is baked in maintenance; three machines are made of it, under new
// names; each boots in maintenance, converges to what is current, and serves.
func TestBakeAndBoot(t *testing.T) {
	w := newShore(t)
	w.startConsul([]string{"ops"}, []string{"image"})
	image := w.addHost("image", w.Consul.Node("image").Addr)
	baked := w.publish(w.newRepo("baked"), "baked")
	w.write(image.Dir, "prefix", "HOSTNAME_PREFIX=web\n")
	w.startAgents("image") // it was tried there before
	image.Agent.Kill()
	if err := os.RemoveAll(image.Path("state")); err != nil {
		t.Fatal(err)
	}
	out := w.gurney(image, 0, "bake", baked.Manifest, "--consul-data-dir", w.Consul.Node("image").DataDir())
	if w.live("image") != "baked" || w.checks("image")["_node_maintenance"] != "critical" {
		t.Fatalf("after bake %q is live, checks %v:\n%s", w.live("image"), w.checks("image"), out.Stdout)
	}
	for _, name := range []string{"apps", "runs", "outbox", "seen.json", "consul.json", "life.json", "chef/guid", "chef/nodes"} {
		if exists(image.Path("state", name)) {
			t.Errorf("the image carries %s", name)
		}
	}
	if !strings.Contains(out.Stdout, "stripped  gurney, which was registered with Consul\n") {
		t.Errorf("it does not say what was registered:\n%s", out.Stdout)
	}
	w.Consul.Node("image").Kill()

	// What is current is newer than the image; a rollout is on that is not.
	current := w.publish(w.newRepo("current"), "chef")
	w.gurney(w.ops(), 0, "deploy", "chef", current.Manifest, "--detach")
	next := w.publish(w.newRepo("next"), "next")
	w.gurney(w.ops(), 0, "deploy", "chef", next.Manifest, "--detach", "--node", "^web-")
	id := w.record("chef").Current.ID

	for i := 1; i <= 3; i++ {
		name := fmt.Sprintf("web-%d", i)
		node, err := w.Consul.Clone(t.Context(), name, w.Consul.Node("image"))
		if err != nil {
			t.Fatal(err)
		}
		w.until(name+" boots in maintenance", func() bool { return w.checks(name)["_node_maintenance"] == "critical" })
		if _, is := w.checks(name)["gurney"]; is {
			t.Errorf("%s is known as the image", name)
		}
		h := w.addHost(name, node.Addr)
		for _, dir := range []string{"state", "srv"} {
			if err := os.RemoveAll(h.Path(dir)); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(h.Path(dir), os.DirFS(image.Path(dir))); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Set("bootstrap", `{checks: ['test "$(cat $HOST/converged)" = "current green"'], on_ready: ["touch $HOST/ready"], on_failed: ["touch $HOST/failed"]}`); err != nil {
			t.Fatal(err)
		}
		w.gurney(h, 0, "bootstrap")
		if !exists(h.Path("ready")) || exists(h.Path("failed")) {
			t.Errorf("%s is not ready: %v", name, w.checks(name))
		}
		w.until("the catalog knows that "+name+" serves", func() bool { _, in := w.checks(name)["_node_maintenance"]; return !in })
		if r := w.result("chef", id, name); r.State != report.OK || r.NodeJSON != "web" {
			t.Errorf("%s reported %+v", name, r)
		}
		w.converged(name, "current green")
	}
	ids := map[string]bool{}
	for i := 1; i <= 3; i++ {
		ids[w.read(w.Consul.Node(fmt.Sprintf("web-%d", i)).DataDir()+"/node-id")] = true
	}
	if len(ids) != 3 {
		t.Errorf("the clones share a node-id: %v", ids)
	}
}

// A first boot that fails stays in maintenance and says so, and is repeated
// by its unit until it is well; a maintenance of somebody else's stays.
func TestBootThatFails(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	bad := w.publish(w.newRepo("bad", `execute "test -e #{ENV["HOST"]}/needed"`), "chef")
	w.gurney(w.ops(), 0, "deploy", "chef", bad.Manifest, "--detach")
	if err := h.Set("bootstrap", `{checks: ["test -e $HOST/healthy"], on_ready: ["touch $HOST/ready", "test ! -e $HOST/over"], on_failed: ["touch $HOST/failed"]}`); err != nil {
		t.Fatal(err)
	}
	boot := func(status int, ready, maintenance bool) string {
		t.Helper()
		out := w.gurney(h, status, "bootstrap")
		if exists(h.Path("ready")) != ready || exists(h.Path("failed")) == ready {
			t.Errorf("ready %v, failed %v", exists(h.Path("ready")), exists(h.Path("failed")))
		}
		for _, name := range []string{"ready", "failed"} {
			_ = os.Remove(h.Path(name))
		}
		w.until("the catalog knows", func() bool {
			_, in := w.checks("web-1")["_node_maintenance"]
			return in == maintenance
		})
		return out.Stderr
	}
	if said := boot(1, false, true); !strings.Contains(said, "phase chef") && !strings.Contains(said, "test -e") {
		t.Errorf("it does not say why: %s", said)
	}
	w.write(h.Dir, "needed", "")
	if said := boot(1, false, true); !strings.Contains(said, "bootstrap.checks 1 of 1") {
		t.Errorf("it does not say which check: %s", said)
	}
	w.write(h.Dir, "healthy", "")
	w.write(h.Dir, "over", "")
	if said := boot(1, true, false); !strings.Contains(said, "bootstrap.on_ready 2 of 2") {
		t.Errorf("it does not say that nobody was told: %s", said)
	}
	if err := os.Remove(h.Path("over")); err != nil {
		t.Fatal(err)
	}
	boot(0, true, false)
	boot(0, true, false) // a reboot: nothing to do
	w.write(h.Dir, "over", "")
	if said := boot(0, true, false); !strings.Contains(said, "the node is ready all the same") { // told long since
		t.Errorf("it does not say what failed: %s", said)
	}
	runs := w.result("chef", w.record("chef").Current.ID, "web-1").Attempt
	if runs != 2 {
		t.Errorf("%d attempts", runs)
	}
	w.maintenance("web-1", true, "disk+swap")
	if said := boot(0, true, true); !strings.Contains(said, "somebody else's") {
		t.Errorf("it does not say that the maintenance stays: %s", said)
	}
}

// Where an agent runs the node was born long since: a mistaken call changes
// nothing. And a maintenance that was put in the place of bootstrap's own, while
// it was at work, is somebody else's.
func TestBootTouchesNothingOfOthers(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	maint := h.Gurney + " -c " + h.Config() + " maint "
	if err := h.Set("bootstrap", fmt.Sprintf(`{checks: ["%[1]sdisable --now", "%[1]senable -m theirs"], on_failed: ["touch $HOST/failed"]}`, maint)); err != nil {
		t.Fatal(err)
	}
	w.startAgents("web-1")
	out := w.gurney(h, 3, "bootstrap")
	if _, in := w.checks("web-1")["_node_maintenance"]; in || exists(h.Path("failed")) || !strings.Contains(out.Stderr, "an agent runs here") {
		t.Errorf("beside an agent: in maintenance %v, on_failed ran %v: %s", in, exists(h.Path("failed")), out.Stderr)
	}
	h.Agent.Kill()
	w.gurney(h, 0, "bootstrap")
	if out := w.gurney(h, 0, "maint", "status").Stdout; !strings.Contains(out, `in maintenance: "theirs"`) {
		t.Errorf("it ended somebody else's maintenance: %s", out)
	}
}

// Who leaves maintenance by gurney converges first, and serves then.
func TestMaintDisableConvergesFirst(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	w.startAgents("web-1")
	if out := w.gurney(h, 0, "maint", "enable", "-m", "disk swap").Stdout; !strings.Contains(out, `"disk swap"`) {
		t.Error(out)
	}
	if out := w.gurney(h, 0, "maint", "enable", "-m", "other").Stdout; !strings.Contains(out, `already: "disk swap"`) {
		t.Error(out)
	}
	p := w.publish(w.newRepo("slow", waiting...), "chef")
	w.gurney(w.ops(), 0, "deploy", "chef", p.Manifest, "--detach")
	id := w.record("chef").Current.ID
	w.until("it is held", func() bool { return w.result("chef", id, "web-1").State == report.Held })
	if out := w.gurney(h, 0, "maint", "status").Stdout; !strings.Contains(out, `in maintenance: "disk swap"`) || !strings.Contains(out, "held: chef  "+id) {
		t.Error(out)
	}
	done := make(chan string, 1)
	go func() {
		out, err := h.Run("maint", "disable")
		done <- fmt.Sprint(out, err)
	}()
	w.until("Chef is in the middle", func() bool { return exists(h.Path("started")) })
	if w.checks("web-1")["_node_maintenance"] != "critical" {
		t.Error("it serves before it has converged")
	}
	w.write(h.Dir, "go", "")
	if out := <-done; !strings.Contains(out, id+"  ok") || !strings.Contains(out, "in service") {
		t.Error(out)
	}
	if r := w.awaitFinal("chef", id, "web-1"); r.State != report.OK {
		t.Errorf("%+v", r)
	}
	w.until("it serves", func() bool { _, in := w.checks("web-1")["_node_maintenance"]; return !in })

	// A release that fails keeps the node out of service.
	w.gurney(h, 0, "maint", "enable", "-m", "again")
	w.gurney(w.ops(), 0, "deploy", "chef", w.publish(w.newRepo("bad", `raise "no"`), "chef").Manifest, "--detach")
	w.until("it is held", func() bool { return w.result("chef", w.record("chef").Current.ID, "web-1").State == report.Held })
	if out := w.gurney(h, 1, "maint", "disable").Stdout; !strings.Contains(out, "stays in maintenance") {
		t.Error(out)
	}
	w.gurney(h, 0, "maint", "disable", "--now")
	h.Agent.Kill()
	w.gurney(h, 0, "maint", "enable")
	if out := w.gurney(h, 1, "maint", "disable").Stderr; !strings.Contains(out, "no gurney agent runs here") {
		t.Error(out)
	}
	w.gurney(h, 0, "maint", "disable", "--now", "-o", "json")
}
