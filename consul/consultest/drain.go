package consultest

import (
	"net/http"
	"slices"
	"testing"
)

var drainTests = []test{
	{"draining is a check of the node's own, and no maintenance", func(t *testing.T, e env) {
		c := e.client(t)
		drained := func(want bool) {
			t.Helper()
			on, _, err := c.Drained(t.Context())
			ok(t, err)
			if on != want {
				t.Fatalf("drained: %v", on)
			}
		}
		drained(false)
		ok(t, c.Undrain(t.Context())) // of nothing is no error
		ok(t, c.Drain(t.Context(), "run"))
		ok(t, c.Drain(t.Context(), "run"))
		drained(true)
		if m, err := c.Maintenance(t.Context()); err != nil || m.On {
			t.Fatalf("maintenance %+v, %v", m, err)
		}
		eventually(t, "the check in the catalog", func() bool { return e.critical(t, "gurney-drain") })
		ok(t, c.Undrain(t.Context()))
		drained(false)
		eventually(t, "its end in the catalog", func() bool { return !e.critical(t, "gurney-drain") })
	}},
	{"which of the node's services are critical", func(t *testing.T, e env) {
		for _, s := range []struct{ id, status string }{{"a", "passing"}, {"b", "critical"}, {"c", "warning"}, {"d", "critical"}} {
			body := map[string]any{"ID": s.id, "Name": "svc-" + s.id, "Check": map[string]any{"TTL": "1m", "Status": s.status}}
			if got := e.call(t, http.MethodPut, "/v1/agent/service/register", body, nil); got != http.StatusOK {
				t.Fatalf("status %d", got)
			}
			t.Cleanup(func() { e.put(t, "/v1/agent/service/deregister/"+s.id) })
		}
		e.call(t, http.MethodPut, "/v1/agent/service/maintenance/a?enable=true", nil, nil)
		_, critical, err := e.client(t).Drained(t.Context())
		ok(t, err)
		if !slices.Equal(critical, []string{"svc-b", "svc-d"}) {
			t.Fatalf("got %v", critical)
		}
	}},
}

// critical says whether a check of the agent's node is critical in the catalog.
func (e env) critical(t *testing.T, check string) bool {
	t.Helper()
	var list []struct{ CheckID string }
	e.call(t, http.MethodGet, "/v1/health/state/critical", nil, &list)
	return slices.ContainsFunc(list, func(c struct{ CheckID string }) bool { return c.CheckID == check })
}
