package integration_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"gurney/consul"
	"gurney/report"
)

// checks are the checks of a node as the whole cluster sees them: id → status.
func (w *world) checks(node string) map[string]string {
	w.Helper()
	resp, err := http.Get("http://" + w.Consul.Nodes[0].Addr + "/v1/health/node/" + node)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var list []struct{ CheckID, Status string }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		w.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range list {
		out[c.CheckID] = c.Status
	}
	return out
}

func (w *world) put(node, path string, body any) {
	w.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		w.Fatal(err)
	}
	req, err := http.NewRequestWithContext(w.Context(), http.MethodPut, "http://"+w.Consul.Node(node).Addr+path, bytes.NewReader(data))
	if err != nil {
		w.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.Fatalf("PUT %s: %v %v", path, resp, err)
	}
	_ = resp.Body.Close()
}

// service registers one with a TTL check of the given status.
func (w *world) service(node, name, status string) {
	w.Helper()
	w.put(node, "/v1/agent/service/register", map[string]any{"Name": name, "Check": map[string]any{"CheckID": name, "TTL": "10m", "Status": status}})
}

func (w *world) drained(node string) bool { return w.checks(node)[consul.DrainCheck] == "critical" }

// drainedHere is what the node's own Consul agent says, from which the
// cluster learns it a moment later.
func (w *world) drainedHere(node string) bool {
	w.Helper()
	var checks map[string]struct{ Status string }
	if !w.get(w.Consul.Node(node).Addr, "/v1/agent/checks", &checks) {
		w.Fatalf("Consul on %s does not tell its checks", node)
	}
	return checks[consul.DrainCheck].Status == "critical"
}

// The node is out of service before its Chef begins and until its services
// pass again, and not a moment of it is Consul's maintenance.
func TestDrain(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	if err := h.Set("drain_wait", "300ms"); err != nil {
		t.Fatal(err)
	}
	w.startAgents("web-1")
	w.service("web-1", "app", "passing")
	w.service("web-1", "old-trouble", "critical") // before: no reason to wait for it
	p := w.publish(w.newRepo("slow", waiting...), "chef", "drain: true")
	w.gurney(w.ops(), 0, "deploy", "chef", p.Manifest, "--detach")
	w.until("Chef is in the middle", func() bool { return exists(h.Path("started")) })
	if !w.drainedHere("web-1") {
		t.Errorf("Chef runs while the node serves: %v", w.checks("web-1"))
	}
	w.until("the cluster knows", func() bool { return w.drained("web-1") })
	if _, in := w.checks("web-1")["_node_maintenance"]; in {
		t.Error("draining began a maintenance")
	}
	w.put("web-1", "/v1/agent/check/fail/app", nil)
	w.write(h.Dir, "go", "")
	id := w.record("chef").Current.ID
	w.onceOK("web-1", id)
	time.Sleep(3 * time.Second) // longer than it looks again
	if !w.drained("web-1") {
		t.Errorf("back in service though app is critical: %v", w.checks("web-1"))
	}
	w.put("web-1", "/v1/agent/check/pass/app", nil)
	w.until("the node serves again", func() bool { return !w.drained("web-1") })
}

// A node on which Chef failed stays out of service until a run ends well, or
// comes back by the policy that its operators chose.
func TestDrainOfAFailure(t *testing.T) {
	for _, policy := range []string{"passing", "ended"} {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t, "web-1")
			h := w.Hosts["web-1"]
			for k, v := range map[string]string{"drain_wait": "0s", "drain": "true", "drain_until": policy} {
				if err := h.Set(k, v); err != nil {
					t.Fatal(err)
				}
			}
			w.startAgents("web-1")
			w.deploy(1, w.publish(w.newRepo("bad", `raise "no"`), "chef"))
			if policy == "ended" {
				w.until("the node serves again", func() bool { return !w.drained("web-1") })
				return
			}
			w.until("the cluster knows", func() bool { return w.drained("web-1") })
			time.Sleep(3 * time.Second)
			if !w.drained("web-1") {
				t.Errorf("it serves, half converged: %v", w.checks("web-1"))
			}
			w.deploy(0, w.publish(w.newRepo("good"), "chef"), "--replace")
			w.until("the node serves again", func() bool { return !w.drained("web-1") })
			// What touches nothing leaves nothing drained.
			if err := h.Set("sources", `[s3://elsewhere/]`); err != nil {
				t.Fatal(err)
			}
			w.deploy(1, w.publish(w.newRepo("worse"), "chef"))
			w.until("the node serves again", func() bool { return !w.drained("web-1") })
		})
	}
}

// kill -9 of the agent while the node is drained: the next one finds it and
// finishes what was begun; also where the state directory is lost.
func TestDrainSurvivesTheAgent(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	if err := h.Set("drain_wait", "0s"); err != nil {
		t.Fatal(err)
	}
	w.startAgents("web-1")
	p := w.publish(w.newRepo("slow", waiting...), "chef", "drain: true")
	w.gurney(w.ops(), 0, "deploy", "chef", p.Manifest, "--detach")
	w.until("Chef is in the middle", func() bool { return exists(h.Path("started")) })
	h.Agent.Kill()
	w.write(h.Dir, "go", "")
	id := w.record("chef").Current.ID
	w.until("the run ends", func() bool { return exists(h.Path("state", "runs", "chef@"+id+"@1", "result.json")) })
	if !w.drainedHere("web-1") {
		t.Error("the drain ended by itself")
	}
	if err := h.StartAgent(); err != nil {
		t.Fatal(err)
	}
	w.onceOK("web-1", id)
	w.until("the node serves again", func() bool { return !w.drained("web-1") })

	h.Agent.Kill()
	w.put("web-1", "/v1/agent/check/register", map[string]any{"ID": consul.DrainCheck, "Name": "left over", "TTL": "1h", "Status": "critical"})
	w.until("the drain is seen", func() bool { return w.drained("web-1") })
	if err := h.StartAgent(); err != nil {
		t.Fatal(err)
	}
	w.until("the node serves again", func() bool { return !w.drained("web-1") })
}

// A URL event's manifest is only known to its run: the node is drained for it
// all the same, and it counts as one attempt.
func TestDrainForAURLEvent(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	w.startAgents("web-1")
	p := w.publish(w.newRepo("slow", waiting...), "chef", "drain: true", "drain_wait: 100ms")
	id := (&yard{world: w}).fire("chef", p.Manifest)
	w.until("Chef is in the middle", func() bool { return exists(h.Path("started")) })
	if !w.drainedHere("web-1") {
		t.Error("Chef runs while the node serves")
	}
	w.write(h.Dir, "go", "")
	if r := w.awaitFinal("chef", id, "web-1"); r.State != report.OK || r.Attempt != 1 {
		t.Errorf("%+v", r)
	}
	w.until("the node serves again", func() bool { return !w.drained("web-1") })
}
