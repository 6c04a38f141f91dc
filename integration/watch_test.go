package integration_test

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"gurney/integration/fleet"
)

// metrics are what a host's agent shows: name and labels → value.
func (w *world) metrics(addr string) map[string]float64 {
	w.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") {
			out[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return out
}

// A node that is not green says so: in its metrics, by its check in Consul,
// and in gurney's own screens. All of it outlives the agent.
func TestANodeThatIsNotGreen(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	addr, err := fleet.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"listen": addr, "stale_after": "1s"} {
		if err := h.Set(k, v); err != nil {
			t.Fatal(err)
		}
	}
	w.startAgents("web-1")
	good := w.deploy(0, w.publish(w.newRepo("good"), "chef"))
	w.until("it stands in the journal", func() bool { return w.metrics(addr)[`gurney_last_success_timestamp_seconds{app="chef"}`] > 0 })
	m := w.metrics(addr)
	if age := float64(time.Now().Unix()) - m[`gurney_last_success_timestamp_seconds{app="chef"}`]; age < -1 || age > 60 {
		t.Errorf("the last success is %v s ago", age)
	}
	if m[`gurney_fetched_bytes_total{app="chef"}`] <= 0 || m[`gurney_runs_total{app="chef",phase="",state="ok"}`] != 1 || m["gurney_outbox_letters"] != 0 {
		t.Errorf("after a good run: %v", m)
	}
	if _, not := m[`gurney_not_green_since_timestamp_seconds{app="chef"}`]; not {
		t.Error("a green app is not green")
	}
	w.deploy(1, w.publish(w.newRepo("bad", `raise "no"`), "chef"))
	warns := func(want string) func() bool {
		return func() bool { return w.checks("web-1")["gurney"] == want }
	}
	w.until("the check warns", warns("warning"))
	m = w.metrics(addr)
	if m[`gurney_not_green_since_timestamp_seconds{app="chef"}`] == 0 || m[`gurney_runs_total{app="chef",phase="chef",state="failed"}`] != 1 {
		t.Errorf("after a failure: %v", m)
	}
	since := m[`gurney_not_green_since_timestamp_seconds{app="chef"}`]
	if out := w.gurney(w.ops(), 0, "status", "chef").Stdout; !strings.Contains(out, "warning: web-1: chef not green since ") {
		t.Errorf("status: %s", out)
	}
	if out := w.gurney(w.ops(), 0, "nodes").Stdout; !strings.Contains(out, "warning: chef not green since ") {
		t.Errorf("nodes: %s", out)
	}
	h.Agent.Kill()
	if err := h.StartAgent(); err != nil {
		t.Fatal(err)
	}
	w.until("the next agent knows since when", func() bool {
		if _, err := http.Get("http://" + addr + "/healthz"); err != nil {
			return false
		}
		return w.metrics(addr)[`gurney_not_green_since_timestamp_seconds{app="chef"}`] == since
	})
	w.gurney(w.ops(), 0, "abort", "chef")
	w.until("the check passes", warns("passing"))
	if w.record("chef").Current.ID != good.ID {
		t.Error("abort changed what is current")
	}
	w.maintenance("web-1", true, "x")
	w.gurney(w.ops(), 0, "deploy", "chef", w.publish(w.newRepo("held"), "chef").Manifest, "--detach")
	w.until("held since", func() bool { return w.metrics(addr)[`gurney_held_since_timestamp_seconds{app="chef"}`] > 0 })
}

// Every metric that the alerts ask for is one that an agent shows.
func TestAlertsNameRealMetrics(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	root, err := fleet.Root()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(root + "/examples/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &rules); err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(root + "/agent/metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			for _, name := range regexp.MustCompile(`gurney_[a-z_]+`).FindAllString(r.Expr, -1) {
				seen++
				if !strings.Contains(string(source), `"`+name+`"`) {
					t.Errorf("%s asks for %s, which no agent shows", r.Alert, name)
				}
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s says nothing", r.Alert)
			}
		}
	}
	if seen < 6 {
		t.Errorf("%d metrics in all", seen)
	}
}
