package consultest

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gurney/consul"
)

var roleTests = []test{
	// Capitals count only in Targets, whose expressions have them.
	{"the node is found by each of its roles", func(t *testing.T, e env) {
		e.roles(t, true, "role", "base", "db-client")
		for tag, want := range map[string]string{"base": "base db-client", "db-client": "base db-client", "db": "", "BASE": "base db-client"} {
			if got := e.tagged(t, "role", tag); got != want {
				t.Errorf("tag %s: got %q, want %q", tag, got, want)
			}
		}
	}},
	{"the same roles again write nothing", func(t *testing.T, e env) {
		e.roles(t, true, "role", "base")
		before := e.index(t, "role")
		e.roles(t, false, "role", "base")
		e.register(t, "role-mark", "role-mark") // written after it, on the same way
		eventually(t, "the mark", func() bool { return e.inCatalog(t, "role-mark") })
		if now := e.index(t, "role"); now != before {
			t.Fatalf("index %d became %d", before, now)
		}
		e.roles(t, true, "role", "base", "web")
		if e.index(t, "role") == before {
			t.Fatal("this test can't tell a write")
		}
	}},
	{"roles that are gone go", func(t *testing.T, e env) {
		e.roles(t, true, "role", "base", "web")
		e.roles(t, true, "role", "web")
		if got := e.tagged(t, "role", "base"); got != "" {
			t.Fatalf("got %q", got)
		}
		e.roles(t, true, "role")
		e.roles(t, false, "role")
	}},
	{"another name takes the old one along", func(t *testing.T, e env) {
		e.roles(t, true, "role", "base")
		e.roles(t, true, "duty", "base")
		eventually(t, "the old name to go", func() bool { return !e.inCatalog(t, "role") })
		var services map[string][]string
		e.call(t, http.MethodGet, "/v1/catalog/services", nil, &services)
		if _, there := services["role"]; there {
			t.Fatalf("got %v", services)
		}
		e.roles(t, true, "")
		eventually(t, "the new name to go", func() bool { return !e.inCatalog(t, "duty") })
	}},
	{"a service of the same name that is not Gurney's stays", func(t *testing.T, e env) {
		e.register(t, "role", "role", "mine")
		e.roles(t, true, "role", "base")
		e.roles(t, true, "")
		eventually(t, "Gurney's to go", func() bool { return e.tagged(t, "role", "base") == "" })
		if got := e.tagged(t, "role", "mine"); got != "mine" {
			t.Fatalf("got %q", got)
		}
	}},
	{"it is in service when its node is", func(t *testing.T, e env) {
		c := e.client(t)
		e.roles(t, true, "role", "base")
		passing := func(want bool) func() bool {
			return func() bool {
				var list []struct{}
				e.call(t, http.MethodGet, "/v1/health/service/role?passing=true&tag=base", nil, &list)
				return (len(list) == 1) == want
			}
		}
		eventually(t, "in service", passing(true))
		t.Cleanup(func() { e.put(t, "/v1/agent/maintenance?enable=false") })
		ok(t, c.SetMaintenance(t.Context(), true, "fan"))
		eventually(t, "in maintenance", passing(false))
		ok(t, c.SetMaintenance(t.Context(), false, ""))
		ok(t, c.Drain(t.Context(), "run"))
		t.Cleanup(func() { ok(t, c.Undrain(context.WithoutCancel(t.Context()))) })
		eventually(t, "drained", passing(false))
	}},
}

// roles sets them until the test ends, insists on whether that changed
// anything, and waits until the catalog has it.
func (e env) roles(t *testing.T, changes bool, service string, roles ...string) {
	t.Helper()
	c := e.client(t)
	changed, err := c.SetRoles(t.Context(), service, roles)
	ok(t, err)
	if changed != changes {
		t.Fatalf("%s %q: changed is %v", service, roles, changed)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
		defer cancel()
		_, err := c.SetRoles(ctx, "", nil)
		ok(t, err)
	})
	if service == "" {
		return
	}
	if len(roles) == 0 {
		eventually(t, "the service to go", func() bool { return !e.inCatalog(t, service) })
		return
	}
	eventually(t, "the roles in the catalog", func() bool { return e.tagged(t, service, roles[0]) == strings.Join(roles, " ") })
}

// tagged are all tags of the one service of that name that has the tag; ""
// where there is none.
func (e env) tagged(t *testing.T, service, tag string) string {
	t.Helper()
	var list []struct{ ServiceTags []string }
	if s := e.call(t, http.MethodGet, "/v1/catalog/service/"+service+"?"+url.Values{"tag": {tag}}.Encode(), nil, &list); s != http.StatusOK {
		t.Fatalf("status %d", s)
	}
	if len(list) == 0 {
		return ""
	}
	return strings.Join(list[0].ServiceTags, " ")
}

// index is when Gurney's instance of the service was last written.
func (e env) index(t *testing.T, service string) uint64 {
	t.Helper()
	var list []struct {
		ServiceID   string
		ModifyIndex uint64
	}
	e.call(t, http.MethodGet, "/v1/catalog/service/"+service, nil, &list)
	for _, s := range list {
		if s.ServiceID == consul.RoleService {
			return s.ModifyIndex
		}
	}
	t.Fatalf("%s is not in the catalog", service)
	return 0
}
