package consultest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"gurney/consul"
	"gurney/rollout"
)

var serviceTests = []test{
	{"a heartbeat without a registration says so", func(t *testing.T, e env) {
		var un interface{ Unregistered() bool }
		if err := e.client(t).Heartbeat(t.Context(), consul.Pass, ""); !errors.Is(err, consul.ErrUnregistered) || !errors.As(err, &un) || !un.Unregistered() {
			t.Fatalf("got %v", err)
		}
	}},
	{"all that Gurney has registered is forgotten, and nothing else", func(t *testing.T, e env) {
		c := e.client(t)
		forget := func(want ...string) {
			t.Helper()
			if got, err := c.Forget(t.Context()); err != nil || !slices.Equal(got, want) {
				t.Fatalf("forgot %q, %v, want %q", got, err, want)
			}
		}
		forget()
		gurney(t, c, time.Minute, "chef")
		e.register(t, "gurney-web", "gurney-web")
		e.roles(t, true, "role", "base")
		ok(t, c.Drain(t.Context(), "run"))
		ok(t, c.SetMaintenance(t.Context(), true, "baked"))
		t.Cleanup(func() { e.put(t, "/v1/agent/maintenance?enable=false") })
		forget(consul.Service, consul.RoleService, consul.DrainCheck)
		forget()
		var left map[string]struct{}
		e.call(t, http.MethodGet, "/v1/agent/services", nil, &left)
		if _, stays := left["gurney-web"]; len(left) != 1 || !stays {
			t.Fatalf("left are %v", left)
		}
		if m, err := c.Maintenance(t.Context()); err != nil || m.Reason != "baked" {
			t.Fatalf("maintenance %+v, %v", m, err)
		}
		eventually(t, "the catalog forgets, too", func() bool {
			return !e.inCatalog(t, consul.Service) && !e.inCatalog(t, "role") && !e.critical(t, consul.DrainCheck)
		})
	}},
	{"the registered node is a target of its apps", func(t *testing.T, e env) {
		c := e.client(t)
		gurney(t, c, time.Minute, "chef", "web")
		self, err := c.Self(t.Context())
		ok(t, err)
		got := e.target(t, c, "chef", rollout.Selector{})
		if got.Node != "one.example" || got.ConsulNode != self.Node || got.Address == "" || !got.Alive || got.InMaintenance || got.Services != nil {
			t.Fatalf("got %+v", got)
		}
		none, err := c.Targets(t.Context(), "che", rollout.Selector{})
		ok(t, err)
		if len(none) != 0 {
			t.Fatalf("an app is a whole tag: got %+v", none)
		}
	}},
	{"registering the same again writes nothing", func(t *testing.T, e env) {
		c := e.client(t)
		gurney(t, c, time.Minute, "chef")
		e.target(t, c, "chef", rollout.Selector{})
		before := e.modified(t)
		gurney(t, c, time.Minute, "chef")
		ok(t, c.Heartbeat(t.Context(), consul.Pass, ""))
		gurney(t, c, time.Minute, "chef", "later")
		e.target(t, c, "later", rollout.Selector{}) // has gone through by now
		if gurney(t, c, time.Minute, "chef", "later"); e.modified(t) == before {
			t.Fatal("this test can't tell a write")
		}
		after := e.modified(t)
		gurney(t, c, time.Minute, "chef", "later")
		e.register(t, "mark", "mark") // written after it, on the same way
		eventually(t, "the mark", func() bool { return e.inCatalog(t, "mark") })
		if now := e.modified(t); now != after {
			t.Fatalf("index %d became %d", after, now)
		}
	}},
	{"the heartbeat's status is the node's", func(t *testing.T, e env) {
		c := e.client(t)
		gurney(t, c, time.Minute, "chef")
		alive := func(want bool) func() bool {
			return func() bool { return e.target(t, c, "chef", rollout.Selector{}).Alive == want }
		}
		eventually(t, "alive at first", alive(true))
		ok(t, c.Heartbeat(t.Context(), consul.Fail, "disk full"))
		eventually(t, "dead after fail", alive(false))
		ok(t, c.Heartbeat(t.Context(), consul.Warn, "last release failed"))
		eventually(t, "alive after warn", alive(true))
		if err := c.Heartbeat(t.Context(), "fine", ""); err == nil {
			t.Fatal("an unknown status was taken")
		}
	}},
	{"registering again leaves the status as it is", func(t *testing.T, e env) {
		c := e.client(t)
		gurney(t, c, time.Minute, "chef")
		ok(t, c.Heartbeat(t.Context(), consul.Fail, "disk full"))
		gurney(t, c, time.Minute, "chef", "web")
		if got := e.target(t, c, "web", rollout.Selector{}); got.Alive {
			t.Fatalf("got %+v", got)
		}
	}},
	{"no heartbeat is death, one revives", func(t *testing.T, e env) {
		c := e.client(t)
		gurney(t, c, 200*time.Millisecond, "chef")
		eventually(t, "the TTL to end", func() bool { return !e.target(t, c, "chef", rollout.Selector{}).Alive })
		ok(t, c.Heartbeat(t.Context(), consul.Pass, ""))
		gurney(t, c, time.Minute, "chef")
		eventually(t, "life", func() bool { return e.target(t, c, "chef", rollout.Selector{}).Alive })
	}},
	{"maintenance shows in the catalog", func(t *testing.T, e env) {
		c := e.client(t)
		gurney(t, c, time.Minute, "chef")
		ok(t, c.SetMaintenance(t.Context(), true, "fan"))
		t.Cleanup(func() { e.put(t, "/v1/agent/maintenance?enable=false") })
		eventually(t, "maintenance", func() bool {
			got := e.target(t, c, "chef", rollout.Selector{})
			return got.InMaintenance && got.Maintenance == "fan" && got.Alive
		})
	}},
	{"selectors", func(t *testing.T, e env) {
		c := e.client(t)
		gurney(t, c, time.Minute, "chef")
		e.register(t, "web-a", "web", "v1", "blue")
		e.register(t, "web-b", "web", "v2")
		e.register(t, "cache", "cache", "v3")
		eventually(t, "the catalog", func() bool {
			return e.inCatalog(t, "web") && e.inCatalog(t, "cache") && e.inCatalog(t, "gurney")
		})
		for _, s := range []struct {
			name     string
			sel      rollout.Selector
			services []string // of the one target; nil: no target
		}{
			{"part of the node's name", rollout.Selector{Node: "one.ex"}, []string{}},
			{"another node", rollout.Selector{Node: "^ne"}, nil},
			{"part of a service's name", rollout.Selector{Service: "e"}, []string{"cache[v3]", "gurney[chef]", "web[blue v1 v2]"}},
			{"anchored", rollout.Selector{Service: "^w"}, []string{"web[blue v1 v2]"}},
			{"no such service", rollout.Selector{Service: "^db$"}, nil},
			{"a tag", rollout.Selector{Tag: "^v[13]$"}, []string{"cache[v3]", "web[blue v1]"}},
			{"the tag of another service", rollout.Selector{Service: "^cache$", Tag: "blue"}, nil},
			{"all three", rollout.Selector{Node: "one", Service: "web", Tag: "v2"}, []string{"web[v2]"}},
		} {
			got, err := c.Targets(t.Context(), "chef", s.sel)
			ok(t, err)
			if (len(got) == 1) != (s.services != nil) {
				t.Errorf("%s: got %+v", s.name, got)
				continue
			}
			for _, target := range got {
				var names []string
				for name, tags := range target.Services {
					slices.Sort(tags)
					names = append(names, fmt.Sprint(name, tags))
				}
				if slices.Sort(names); !slices.Equal(names, s.services) {
					t.Errorf("%s: services %v, want %v", s.name, names, s.services)
				}
			}
		}
		if _, err := c.Targets(t.Context(), "chef", rollout.Selector{Tag: "["}); err == nil {
			t.Error("a broken expression was taken")
		}
	}},
}

// gurney registers the service until the test ends.
func gurney(t *testing.T, c *consul.Client, ttl time.Duration, apps ...string) {
	t.Helper()
	ok(t, c.Register(t.Context(), consul.Registration{Apps: apps, Node: "one.example", Version: "1", TTL: ttl}))
	t.Cleanup(func() { _, err := c.Forget(context.WithoutCancel(t.Context())); ok(t, err) })
}

// target waits for the one target that is there.
func (e env) target(t *testing.T, c *consul.Client, app string, sel rollout.Selector) (one rollout.Target) {
	t.Helper()
	eventually(t, "a target of "+app, func() bool {
		list, err := c.Targets(t.Context(), app, sel)
		ok(t, err)
		if len(list) == 1 {
			one = list[0]
		}
		return len(list) == 1
	})
	return one
}

// modified is the index at which Gurney's service last changed in the catalog.
func (e env) modified(t *testing.T) uint64 {
	t.Helper()
	var list []struct{ ModifyIndex uint64 }
	if s := e.call(t, http.MethodGet, "/v1/catalog/service/gurney", nil, &list); s != http.StatusOK || len(list) != 1 {
		t.Fatalf("status %d, %d services", s, len(list))
	}
	return list[0].ModifyIndex
}

func (e env) inCatalog(t *testing.T, service string) bool {
	t.Helper()
	var list []struct{}
	e.call(t, http.MethodGet, "/v1/catalog/service/"+service, nil, &list)
	return len(list) > 0
}
