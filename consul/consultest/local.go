package consultest

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"gurney/consul"
	"gurney/kv"
)

var localTests = []test{
	{"the agent knows itself and the leader", func(t *testing.T, e env) {
		self, err := e.client(t).Self(t.Context())
		ok(t, err)
		if self.Node == "" || self.NodeID == "" || self.Datacenter == "" || self.Address == "" || self.Version == "" || self.Leader == "" {
			t.Fatalf("got %+v", self)
		}
	}},
	{"maintenance, and its first reason", func(t *testing.T, e env) {
		c := e.client(t)
		t.Cleanup(func() { e.put(t, "/v1/agent/maintenance?enable=false") })
		maint := func(want consul.Maintenance) {
			t.Helper()
			got, err := c.Maintenance(t.Context())
			ok(t, err)
			if got != want {
				t.Fatalf("got %+v, want %+v", got, want)
			}
		}
		maint(consul.Maintenance{})
		ok(t, c.SetMaintenance(t.Context(), true, "disk & fan? 100%"))
		maint(consul.Maintenance{On: true, Reason: "disk & fan? 100%"})
		ok(t, c.SetMaintenance(t.Context(), true, "another"))
		maint(consul.Maintenance{On: true, Reason: "disk & fan? 100%"})
		ok(t, c.SetMaintenance(t.Context(), false, ""))
		maint(consul.Maintenance{})
		ok(t, c.SetMaintenance(t.Context(), false, "")) // twice is no error
		ok(t, c.SetMaintenance(t.Context(), true, ""))
		if m, err := c.Maintenance(t.Context()); err != nil || !m.On || m.Reason == "" {
			t.Fatalf("without a reason: %+v, %v; want Consul's own words", m, err)
		}
	}},
	{"a service's maintenance is not the node's", func(t *testing.T, e env) {
		c := e.client(t)
		e.register(t, "web-a", "web", "v1")
		if s := e.call(t, http.MethodPut, "/v1/agent/service/maintenance/web-a?enable=true&reason=fan", nil, nil); s != http.StatusOK {
			t.Fatalf("status %d", s)
		}
		m, err := c.Maintenance(t.Context())
		ok(t, err)
		if m != (consul.Maintenance{Service: "web-a", Reason: "fan"}) {
			t.Fatalf("got %+v", m)
		}
	}},
	{"the services on this node, by name", func(t *testing.T, e env) {
		e.register(t, "web-a", "web", "v1", "blue")
		e.register(t, "web-b", "web", "v2", "blue")
		e.register(t, "plain", "plain")
		got, err := e.client(t).LocalServices(t.Context())
		ok(t, err)
		slices.Sort(got["web"])
		if tags, there := got["plain"]; !there || len(tags) != 0 || !slices.Equal(got["web"], []string{"blue", "v1", "v2"}) {
			t.Fatalf("got %v", got)
		}
	}},
	{"nothing to find fault with", func(t *testing.T, e env) {
		findings := e.client(t).Probe(t.Context())
		if len(findings) < 5 {
			t.Fatalf("got %v", findings)
		}
		for _, f := range findings {
			if f.Err != nil {
				t.Errorf("%s: %v", f.What, f.Err)
			}
		}
	}},
	{"nobody there is unreachable, and waiting helps", func(t *testing.T, _ env) {
		c, err := consul.New(consul.Config{Address: "127.0.0.1:1"})
		ok(t, err)
		_, err = c.Get(t.Context(), "k", kv.Stale)
		var tr interface{ Transient() bool }
		if !errors.Is(err, kv.ErrUnreachable) || !errors.As(err, &tr) || !tr.Transient() {
			t.Fatalf("got %v", err)
		}
	}},
}

// register puts a service on the agent until the test ends.
func (e env) register(t *testing.T, id, name string, tags ...string) {
	t.Helper()
	if s := e.call(t, http.MethodPut, "/v1/agent/service/register", map[string]any{"ID": id, "Name": name, "Tags": tags}, nil); s != http.StatusOK {
		t.Fatalf("register %s: status %d", id, s)
	}
	t.Cleanup(func() { e.put(t, "/v1/agent/service/deregister/"+id) })
}

// put tidies up: t's context is over by then.
func (e env) put(t *testing.T, path string) {
	req, err := http.NewRequest(http.MethodPut, "http://"+e.addr+path, nil)
	ok(t, err)
	resp, err := http.DefaultClient.Do(req)
	ok(t, err)
	resp.Body.Close()
}
