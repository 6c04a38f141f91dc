package integration_test

import (
	"os"
	"testing"

	"gurney/kv"
	"gurney/report"
)

// A node that failed and went well after all, without a retry, takes its
// marker back: one that stayed would halt the others.
func TestAMarkerGoesWithItsFailure(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	w.startAgents("web-1")
	w.write(h.Dir, "broken", "")
	p := w.publish(w.newRepo("one", `execute "test ! -e #{ENV["HOST"]}/broken"`), "chef")
	d := w.deploy(1, p)
	marker := func() bool {
		pair, err := w.client().Get(t.Context(), report.FailedKey("chef", d.ID, "web-1"), kv.Default)
		if err != nil {
			t.Fatal(err)
		}
		return pair != nil
	}
	if !marker() {
		t.Fatal("a failure without a marker")
	}
	w.gurney(h, 0, "maint", "enable")
	if err := os.Remove(h.Path("broken")); err != nil {
		t.Fatal(err)
	}
	w.gurney(h, 0, "maint", "disable") // tries again what failed
	w.until("it tells that it went well", func() bool { return w.result("chef", d.ID, "web-1").State == report.OK })
	if marker() {
		t.Error("its marker stays")
	}
}
