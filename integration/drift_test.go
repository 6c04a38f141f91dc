package integration_test

import (
	"os"
	"path/filepath"
	"testing"

	"gurney/agent/state"
	"gurney/report"
)

// With converge_every Chef mends what was changed by hand, on the release
// that stands here; it reports nothing while all is well, that it failed when
// it does, and that it is well again.
func TestDriftIsMended(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	m := newMeter(w, w.Consul.Node("web-1").Addr)
	for k, v := range map[string]string{"converge_every": "1s", "consul": "{address: " + m.Listener.Addr().String() + "}"} {
		if err := h.Set(k, v); err != nil {
			t.Fatal(err)
		}
	}
	w.startAgents("web-1")
	p := w.publish(w.newRepo("one", `execute "test ! -e #{ENV["HOST"]}/broken"`), "chef", "commands: {success: ['echo >>$HOST/successes']}")
	d := w.deploy(0, p)
	// The archive is gone: nothing is fetched again.
	if err := os.RemoveAll(filepath.Join(w.S3.Dir, "acme", "chef")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.write(h.Dir, "converged", "by hand")
		w.until("the drift is mended", func() bool { return w.read(h.Path("converged")) == "one green" })
	}
	if got := m.count(); len(got) != 2 {
		t.Errorf("%d writes, though nothing changed: %q", len(got), got)
	}
	w.write(h.Dir, "broken", "")
	w.until("the failure is reported", func() bool { return w.result("chef", d.ID, "web-1").State == report.Failed })
	if err := os.Remove(h.Path("broken")); err != nil {
		t.Fatal(err)
	}
	w.until("it is well again", func() bool { return w.result("chef", d.ID, "web-1").State == report.OK })
	if got := m.count(); len(got) != 4 {
		t.Errorf("%d writes for a failure and its end: %q", len(got)-2, got[2:])
	}
	if got := size(h.Path("successes")); got != 1 {
		t.Errorf("the success commands ran %d times", got)
	}
	// In maintenance nothing converges, and nothing is said to be held.
	w.maintenance("web-1", true, "x")
	reads := m.reads.Load()
	w.wake("web-1")
	w.until("it has looked again", func() bool { return m.reads.Load() > reads })
	// A converge that had begun by then ends first.
	lock, err := state.At(h.State()).WaitRun(t.Context(), "the test", nil)
	if err != nil {
		t.Fatal(err)
	}
	lock.Release()
	w.write(h.Dir, "converged", "by hand")
	w.wake("web-1")
	two := w.publish(w.newRepo("two"), "chef")
	w.gurney(w.ops(), 0, "deploy", "chef", two.Manifest, "--detach")
	id := w.record("chef").Current.ID
	w.until("the next is held", func() bool { return w.result("chef", id, "web-1").State == report.Held })
	if got := w.read(h.Path("converged")); got != "by hand" {
		t.Errorf("converged in maintenance: %q", got)
	}
	if r := w.result("chef", d.ID, "web-1"); r.State != report.OK {
		t.Errorf("the first is now %+v", r)
	}
	w.maintenance("web-1", false, "")
	w.until("the next runs", func() bool { return w.live("web-1") == "two" })
}
