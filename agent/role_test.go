package agent_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gurney/agent"
	"gurney/consul"
	"gurney/report"
	"gurney/rollout"
)

func roleService(name string) func(*agent.Options) {
	return func(o *agent.Options) { o.RoleService = name }
}

// roles are the tags of this node's instance of a service in the catalog, with
// a tag of the query's where there is one; "" where it is not there.
func (w *world) roles(query string) string {
	w.t.Helper()
	resp, err := http.Get("http://" + w.cluster.Addr("ops") + "/v1/catalog/service/" + query)
	must(w.t, err)
	defer resp.Body.Close()
	var list []struct {
		Node        string
		ServiceTags []string
	}
	must(w.t, json.NewDecoder(resp.Body).Decode(&list))
	for _, s := range list {
		if s.Node == me {
			return strings.Join(s.ServiceTags, " ")
		}
	}
	return ""
}

func (w *world) rolesBecome(query, want string) {
	w.t.Helper()
	w.eventually(query+" is "+want, func() bool { return w.roles(query) == want })
}

// registered is how often the role service was registered or taken away.
func (w *world) registered() int {
	return w.wire.count("PUT /v1/agent/service/register") + w.wire.count("PUT /v1/agent/service/deregister/"+consul.RoleService)
}

// looked is how often the agent asked whether the service is right.
func (w *world) looked() int { return w.wire.count("GET /v1/agent/services") }

// Only a run that ended well speaks of roles, and only what is news is told.
func TestRolesFollowGreenRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, roleService("role"))
	w.start()
	if w.roles("role") != "" {
		t.Fatal("a role before any converge")
	}
	w.comes(w.deploy("ok?roles=web,base,web"), report.OK)
	w.rolesBecome("role", "base web")
	if w.roles("role?tag=web") == "" || w.roles("role?tag=we") != "" {
		t.Error("the catalog does not find the node by its role")
	}

	// What fails is still a rollout, and tells of roles that Chef may have.
	w.comes(w.deploy("fail?roles=other"), report.Failed)
	before := w.registered()
	w.comes(w.deploy("ok?roles=base,web", replace), report.OK)
	w.comes(w.deploy("ok", replace), report.OK) // it made no converge, or could not tell
	w.comes(w.deploy("ok?roles=base,db", replace), report.OK)
	w.rolesBecome("role", "base db")
	if n := w.registered() - before; n != 1 {
		t.Errorf("registered %d times for one change", n)
	}
	w.comes(w.deploy("ok?roles=", replace), report.OK)
	w.rolesBecome("role", "")
}

func replace(q *rollout.Request) { q.Replace = true }

// The configuration may name the service anew, switch it off and on: what
// stands in Consul follows without a converge, by what the last one said.
func TestRolesOutliveTheAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, roleService("role"))
	w.start()
	w.comes(w.deploy("ok?roles=base"), report.OK)
	w.rolesBecome("role", "base")
	for _, c := range []struct{ now, before string }{{"duty", "role"}, {"", "duty"}, {"role", "duty"}} {
		w.stop()
		w.options.RoleService = c.now
		w.start()
		if c.now != "" {
			w.rolesBecome(c.now, "base")
		}
		w.rolesBecome(c.before, "")
	}
	written, looked := w.registered(), w.looked()
	w.stop()
	w.start()
	w.eventually("the agent has looked", func() bool { return w.looked() > looked })
	if w.roles("role") != "base" {
		t.Error("a restart took the roles away")
	}
	// At every start the agent registers the service gurney, and no more.
	if n := w.registered() - written; n > 1 {
		t.Errorf("a restart wrote %d times", n)
	}
}

// Each app says its own roles, and takes them along when the node leaves it.
func TestRolesOfAllApps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, roleService("role"), func(o *agent.Options) { o.Apps = []string{"chef", "web"} })
	w.start()
	id := w.deploy("ok?roles=shop,base", func(q *rollout.Request) { q.App = "web" })
	w.rolesBecome("role", "base shop")
	w.comes(w.deploy("ok?roles=base,db"), report.OK)
	w.rolesBecome("role", "base db shop")
	if r := w.result("web", id); r.State != report.OK {
		t.Fatalf("%+v", r)
	}
	w.stop()
	w.options.Apps = []string{"chef"}
	w.start()
	w.rolesBecome("role", "base db")
}

// What Consul has lost is told again: the role service alone on the timer,
// all of it as soon as a heartbeat finds out.
func TestRolesThatConsulLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reconcile time.Duration
		lost      []string
	}{
		"the service": {200 * time.Millisecond, []string{consul.RoleService}},
		"all data":    {time.Hour, []string{consul.Service, consul.RoleService}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, roleService("role"), func(o *agent.Options) { o.Reconcile = c.reconcile })
			w.start()
			w.comes(w.deploy("ok?roles=base"), report.OK)
			w.rolesBecome("role", "base")
			before := w.registered()
			if slices.Contains(c.lost, consul.Service) {
				w.eventually("the service gurney", func() bool { return w.roles("gurney") != "" })
			}
			for _, id := range c.lost {
				r, err := http.NewRequest(http.MethodPut, "http://"+w.cluster.Addr(me)+"/v1/agent/service/deregister/"+id, http.NoBody)
				must(t, err)
				resp, err := http.DefaultClient.Do(r)
				must(t, err)
				must(t, resp.Body.Close())
				if resp.StatusCode != http.StatusOK {
					t.Fatalf("deregister %s: %s", id, resp.Status)
				}
			}
			w.eventually("told again", func() bool { return w.registered() >= before+len(c.lost) && w.roles("role") == "base" })
		})
	}
}

// Where nobody wants roles told, the agent looks once whether some are, and
// asks no more.
func TestRolesOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *agent.Options) { o.Reconcile = 200 * time.Millisecond })
	w.start()
	w.comes(w.deploy("ok?roles=base"), report.OK)
	read := w.wire.count("GET /v1/kv/gurney/apps/chef")
	w.eventually("some timers", func() bool { return w.wire.count("GET /v1/kv/gurney/apps/chef") > read+3 })
	if n := w.looked(); n != 1 {
		t.Errorf("looked %d times", n)
	}
	if n := w.registered(); n != 1 {
		t.Errorf("registered %d services, not gurney alone", n)
	}
}
