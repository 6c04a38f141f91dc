package integration_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gurney/report"
)

// A node is found by the roles that Chef expanded, whatever becomes of them,
// of the configuration and of Consul's data.
func TestRoles(t *testing.T) {
	hosts := []string{"web-1", "web-2", "db-1"}
	w := newWorld(t, hosts...)
	for _, h := range hosts {
		w.set(h, "role", "{service: role}")
	}
	w.startAgents(hosts...)
	first := w.newRepo("first")
	w.chefRoles(first, "base", "recipe[base]", "db-client", "recipe[base]", "web", "role[base] role[db-client]", "db", "role[base]")
	w.runLists(first, "role[web]", "role[db]")
	w.deploy(0, w.publish(first, "chef"))
	w.role("role", "base", "db-1 web-1 web-2")
	w.role("role", "db-client", "web-1 web-2")
	w.role("role", "db", "db-1")
	w.role("role", "recipe[base]", "")

	// For people, by the whole name, and for event filters.
	if got := w.gurney(w.ops(), 0, "nodes", "--role", "db-client", "-o", "names").Stdout; got != "web-1\nweb-2\n" {
		t.Errorf("nodes --role db-client: %q", got)
	}
	if got := w.gurney(w.ops(), 0, "nodes", "--role", "db", "-o", "names").Stdout; got != "db-1\n" {
		t.Errorf("nodes --role db: %q", got)
	}
	if got := w.gurney(w.ops(), 0, "nodes", "--service", "role", "--tag", "client", "-o", "names").Stdout; got != "web-1\nweb-2\n" {
		t.Errorf("nodes --service role --tag client: %q", got)
	}
	w.heardBy("rotate", w.filter("--role", "db-client"), "web-1", "web-2")
	w.heardBy("vacuum", w.filter("--role", "db"), "db-1")
	w.heardBy("nobody", w.filter("--role", "cache"))

	// Roles change; a run list without any leaves no service behind.
	second := w.newRepo("second")
	w.chefRoles(second, "web", "recipe[base]", "shop", "role[web]")
	w.runLists(second, "role[shop]", "recipe[base]")
	w.deploy(0, w.publish(second, "chef"))
	w.role("role", "shop", "web-1 web-2")
	w.role("role", "web", "web-1 web-2")
	w.role("role", "", "web-1 web-2")
	w.role("role", "db-client", "")

	// A node on its own: what fails, and what only asks why, says nothing.
	bad := w.newRepo("bad", `execute "false" do`, `  command "false"`, `end`)
	w.chefRoles(bad, "bad", "recipe[base]")
	w.runLists(bad, "role[bad]", "role[bad]")
	w.deploy(1, w.publish(bad, "chef"))
	dry := w.newRepo("dry")
	w.chefRoles(dry, "dry", "recipe[base]")
	w.runLists(dry, "role[dry]", "role[dry]")
	id := w.deploy(0, w.publish(dry, "chef", "chef: {why_run: true}"), "--replace").ID
	for _, h := range hosts {
		if r := w.result("chef", id, h); r.State != report.OK {
			t.Fatalf("%s: %+v", h, r)
		}
	}
	w.role("role", "shop", "web-1 web-2")
	w.role("role", "", "web-1 web-2")
	for _, h := range hosts {
		if live := w.live(h); live != "second" {
			t.Errorf("a dry run brought %q to %s", live, h)
		}
	}
	if r := w.record("chef"); r.Rollout == nil || r.Rollout.ID != id || r.Current.ID == id {
		t.Errorf("a dry run became current: %+v", r)
	}
}

// The service follows the configuration from one start of the agent to the
// next, and comes back where Consul has lost it.
func TestRolesOutliveAgentAndConsul(t *testing.T) {
	w := newWorld(t, "web-1", "db-1")
	w.set("web-1", "role", "{service: role}")
	w.startAgents("web-1", "db-1")
	r := w.newRepo("only")
	w.chefRoles(r, "web", "recipe[base]", "db", "recipe[base]")
	w.runLists(r, "role[web]", "role[db]")
	w.deploy(0, w.publish(r, "chef"))
	w.role("role", "", "web-1") // db-1 tells nobody

	restart := func(host, role string) {
		w.Hosts[host].Agent.Stop(5 * time.Second)
		w.set(host, "role", role)
		w.startAgents(host)
	}
	restart("db-1", "{service: role}") // what the last good run said, without another
	w.role("role", "db", "db-1")
	restart("web-1", "{service: duty}")
	w.role("duty", "web", "web-1")
	w.role("role", "", "db-1")
	restart("web-1", "")
	w.role("duty", "", "")

	c := w.Consul.Node("db-1")
	c.Kill()
	// Consul keeps a node's name from one with another id while the old one
	// seems to live, and what is registered there meanwhile makes 1.22 panic.
	w.until("Consul knows that db-1 is down", func() bool {
		var checks []struct{ CheckID, Status string }
		w.get(w.Consul.Nodes[0].Addr, "/v1/health/node/db-1", &checks)
		return slices.Contains(checks, struct{ CheckID, Status string }{"serfHealth", "critical"})
	})
	if err := c.Wipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.until("the emptied Consul agent answers", func() bool { return w.services("db-1") != nil })
	w.until("its roles are told again", func() bool { return slices.Contains(w.services("db-1"), "role") })
	w.role("role", "db", "db-1")
}

func (w *world) set(host, key, value string) {
	w.Helper()
	if err := w.Hosts[host].Set(key, value); err != nil {
		w.Fatal(err)
	}
}

// chefRoles writes roles, names and their run lists by turns.
func (w *world) chefRoles(r repo, roles ...string) {
	w.Helper()
	for i := 0; i+1 < len(roles); i += 2 {
		role, err := json.Marshal(map[string]any{
			"name": roles[i], "json_class": "Chef::Role", "chef_type": "role", "run_list": strings.Fields(roles[i+1]),
		})
		if err != nil {
			w.Fatal(err)
		}
		w.write(r.dir, filepath.Join("roles", roles[i]+".json"), string(role))
	}
}

// runLists makes those of web's and db's node JSON.
func (w *world) runLists(r repo, web, db string) {
	w.Helper()
	w.write(r.dir, "nodes/web.json", `{"run_list": ["`+web+`"], "color": "green"}`, "nodes/db.json", `{"run_list": ["`+db+`"], "color": "blue"}`)
}

// role waits until the catalog has the service, with that tag where one is
// given, on these nodes and no others.
func (w *world) role(service, tag, nodes string) {
	w.Helper()
	q := ""
	if tag != "" {
		q = "?" + url.Values{"tag": {tag}}.Encode()
	}
	var got []string
	defer func() {
		if w.Failed() {
			w.Logf("the last that %s, tag %q, had: %q", service, tag, got)
		}
	}()
	w.until(service+" with tag "+tag+" is on "+nodes, func() bool {
		var list []struct{ Node string }
		w.get(w.Consul.Nodes[0].Addr, "/v1/catalog/service/"+service+q, &list)
		got = nil
		for _, s := range list {
			got = append(got, s.Node)
		}
		slices.Sort(got)
		return strings.Join(got, " ") == nodes
	})
}

// services are those that a node's own Consul agent knows; nil where it does
// not answer.
func (w *world) services(node string) []string {
	var all map[string]struct{ Service string }
	if !w.get(w.Consul.Node(node).Addr, "/v1/agent/services", &all) {
		return nil
	}
	names := []string{}
	for _, s := range all {
		names = append(names, s.Service)
	}
	return names
}

// get asks Consul's API; false where there is no answer.
func (w *world) get(addr, path string, v any) bool {
	w.Helper()
	resp, err := http.Get("http://" + addr + path)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(v) == nil
}

// filter is the expression for the nodes that the flags select.
func (w *world) filter(flags ...string) string {
	w.Helper()
	out := w.gurney(w.ops(), 0, append([]string{"nodes", "-o", "regexp"}, flags...)...)
	return strings.TrimSpace(out.Stdout)
}

// heardBy fires an event to the nodes of a filter, another one to all, and
// insists that the first is on these nodes alone once the second is
// everywhere. Both are gossip, so it waits for the first, too.
func (w *world) heardBy(name, filter string, nodes ...string) {
	w.Helper()
	fire := func(name string, q url.Values) {
		req, err := http.NewRequest(http.MethodPut, "http://"+w.Consul.Nodes[0].Addr+"/v1/event/fire/"+name+"?"+q.Encode(), http.NoBody)
		if err != nil {
			w.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			w.Fatalf("fire %s: %v, %v", name, resp, err)
		}
		_ = resp.Body.Close()
	}
	hear := func(name string) (out []string) {
		for _, n := range w.Consul.Nodes {
			var list []struct{ Name string }
			if w.get(n.Addr, "/v1/event/list?name="+name, &list) && len(list) > 0 {
				out = append(out, n.Name)
			}
		}
		slices.Sort(out)
		return out
	}
	fire(name, url.Values{"node": {filter}})
	w.until("those of "+filter+" hear "+name, func() bool {
		heard := hear(name)
		return !slices.ContainsFunc(nodes, func(n string) bool { return !slices.Contains(heard, n) })
	})
	fire(name+"-all", nil)
	w.until("all hear "+name+"-all", func() bool { return len(hear(name+"-all")) == len(w.Consul.Nodes) })
	if heard := hear(name); !slices.Equal(heard, nodes) {
		w.Errorf("%s was for %s, and %q heard it", name, filter, heard)
	}
	if !regexp.MustCompile(`^\^.*\$$`).MatchString(filter) {
		w.Errorf("%s is not anchored", filter)
	}
}

// The roles stay on the node and in its service: a result in KV is bounded.
func TestRolesAreNotInResults(t *testing.T) {
	w := newWorld(t, "web-1")
	w.set("web-1", "role", "{service: role}")
	w.startAgents("web-1")
	r := w.newRepo("only")
	w.chefRoles(r, "a-role-of-its-own", "recipe[base]")
	w.runLists(r, "role[a-role-of-its-own]", "recipe[base]")
	d := w.deploy(0, w.publish(r, "chef"))
	w.role("role", "a-role-of-its-own", "web-1")
	p, err := w.client().Get(t.Context(), report.Key("chef", d.ID, "web-1"), 0)
	if err != nil || p == nil || strings.Contains(string(p.Value), "of-its-own") {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := os.Stat(filepath.Join(w.Hosts["web-1"].State(), "roles.json")); err != nil {
		t.Error(err)
	}
}
