package consul_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gurney/consul"
	"gurney/event"
	"gurney/kv"
	"gurney/rollout"

	"github.com/hashicorp/consul/api"
)

const root = "11111111-1111-1111-1111-111111111111"

// guarded starts an agent that denies all to whom it does not know, puts
// something everywhere, and hands out tokens by their rules.
func guarded(t *testing.T) (addr string, token func(name, rules string) string) {
	t.Helper()
	addr = realConsul(t, "web-1", `{"acl": {"enabled": true, "default_policy": "deny", "token_ttl": "1s",
		"tokens": {"initial_management": "`+root+`", "agent": "`+root+`"}}}`)
	cl, err := api.NewClient(&api.Config{Address: addr, Token: root})
	must(t, err)
	// The initial token comes a moment after the leader.
	for ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second); ; {
		_, _, err := cl.ACL().TokenReadSelf((&api.QueryOptions{}).WithContext(ctx))
		if err == nil {
			cancel()
			break
		}
		select {
		case <-ctx.Done():
			cancel()
			t.Fatalf("the initial token never came: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	c := with(t, addr, root)
	must(t, c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: "apps/chef"}, kv.Op{Verb: kv.Set, Key: "failed/chef/1/web-1"}))
	must(t, c.SetMaintenance(t.Context(), true, "fan"))
	must(t, c.Register(t.Context(), consul.Registration{Apps: []string{"chef"}, Node: "web-1", TTL: time.Minute}))
	for {
		list, err := c.Targets(t.Context(), "chef", rollout.Selector{})
		must(t, err)
		if len(list) == 1 {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the node never came into the catalog")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return addr, func(name, rules string) string {
		p, _, err := cl.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, nil)
		must(t, err)
		tok, _, err := cl.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLTokenPolicyLink{{ID: p.ID}}}, nil)
		must(t, err)
		return tok.SecretID
	}
}

func with(t *testing.T, addr, token string) *consul.Client {
	t.Helper()
	c, err := consul.New(consul.Config{Address: addr, Token: token})
	must(t, err)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestACLs(t *testing.T) {
	addr, token := guarded(t)

	// What Consul hides it hides with status 200 and an empty list. None of
	// that may look like an answer.
	t.Run("hidden is forbidden", func(t *testing.T) {
		c := with(t, addr, token("blind", `key "gurney/apps/chef" { policy = "read" }`))
		ctx := t.Context()
		for name, call := range map[string]func() error{
			"another key":   func() error { _, err := c.Get(ctx, "apps/web", kv.Default); return err },
			"list":          func() error { _, err := c.List(ctx, "failed/chef/1/", kv.Default); return err },
			"stale list":    func() error { _, err := c.List(ctx, "failed/chef/1/", kv.Stale); return err },
			"keys":          func() error { _, err := c.Keys(ctx, "", kv.Default); return err },
			"watch":         func() error { _, _, err := c.ListIndexed(ctx, "failed/", 0, 0); return err },
			"write":         func() error { return c.Txn(ctx, kv.Op{Verb: kv.Set, Key: "apps/chef"}) },
			"fire":          func() error { _, err := c.Fire(ctx, event.Event{Name: "chef"}); return err },
			"maintenance":   func() error { _, err := c.Maintenance(ctx); return err },
			"drain":         func() error { return c.Drain(ctx, "x") },
			"drained":       func() error { _, _, err := c.Drained(ctx); return err },
			"set it":        func() error { return c.SetMaintenance(ctx, false, "") },
			"services":      func() error { _, err := c.LocalServices(ctx); return err },
			"register":      func() error { return c.Register(ctx, consul.Registration{TTL: time.Minute}) },
			"heartbeat":     func() error { return c.Heartbeat(ctx, consul.Pass, "") },
			"targets":       func() error { _, err := c.Targets(ctx, "chef", rollout.Selector{}); return err },
			"lock":          func() error { _, err := c.Lock(ctx, "locks/chef", "x"); return err },
			"self":          func() error { _, err := c.Self(ctx); return err },
			"unknown token": func() error { _, err := with(t, addr, "nope").Get(ctx, "apps/chef", kv.Stale); return err },
		} {
			if err := call(); !errors.Is(err, kv.ErrForbidden) || isTransient(err) {
				t.Errorf("%s: got %v, want forbidden", name, err)
			}
		}
		if p, err := c.Get(ctx, "apps/chef", kv.Default); err != nil || p == nil {
			t.Errorf("what it may read: %v, %v", p, err)
		}
	})

	t.Run("a probe names what is missing, and changes nothing", func(t *testing.T) {
		c := with(t, addr, token("node", `
			key_prefix "gurney/" { policy = "read" }
			key_prefix "gurney/results/" { policy = "write" }
			key_prefix "gurney/failed/" { policy = "write" }
			service "gurney" { policy = "write" }
			service_prefix "" { policy = "read" }
			node_prefix "" { policy = "read" }
			agent_prefix "" { policy = "read" }
			event "chef" { policy = "read" }`))
		var missing []string
		for _, f := range c.Probe(t.Context(), "chef") {
			if f.Err != nil {
				missing = append(missing, f.What)
			}
			if f.Err != nil && !errors.Is(f.Err, kv.ErrForbidden) {
				t.Errorf("%s: %v", f.What, f.Err)
			}
		}
		want := []string{
			`deploy: key:write on "gurney/apps/"`,
			`keep deployments: key:write on "gurney/deployments/"`,
			`lock a deployment: key:write on "gurney/locks/"`,
			`lock a deployment: session:write on "web-1"`,
			`switch maintenance: node:write on "web-1"`,
			`tell of deployments: event:write on "chef"`,
		}
		if strings.Join(missing, "\n") != strings.Join(want, "\n") {
			t.Errorf("missing:\n%s\nwant:\n%s", strings.Join(missing, "\n"), strings.Join(want, "\n"))
		}
		probe := c.ProbeRole(t.Context(), "role")
		if len(probe) != 1 || !errors.Is(probe[0].Err, kv.ErrForbidden) || probe[0].What != `tell the node's roles: service:write on "role"` {
			t.Errorf("roles: got %v", probe)
		}
		if changed, err := c.SetRoles(t.Context(), "role", []string{"db"}); changed || !errors.Is(err, kv.ErrForbidden) {
			t.Errorf("roles without leave: %v, %v", changed, err)
		}
		c = with(t, addr, token("role", `service "role" { policy = "write" }`))
		if changed, err := c.SetRoles(t.Context(), "role", []string{"db"}); !changed || err != nil {
			t.Errorf("roles with no other leave: %v, %v", changed, err)
		}
		if probe := c.ProbeRole(t.Context(), "role"); len(probe) != 1 || probe[0].Err != nil {
			t.Errorf("roles: got %v", probe)
		}
		if changed, err := c.SetRoles(t.Context(), "", nil); !changed || err != nil {
			t.Errorf("an end to roles: %v, %v", changed, err)
		}
		c = with(t, addr, token("drain", `node "web-1" { policy = "write" }`))
		if probe := c.ProbeDrain(t.Context(), "web-1"); len(probe) != 1 || probe[0].Err != nil || probe[0].What != `drain the node: node:write on "web-1"` {
			t.Errorf("draining: got %v", probe)
		}
		must(t, c.Drain(t.Context(), "x"))
		must(t, c.Undrain(t.Context()))
		for _, f := range with(t, addr, root).Probe(t.Context(), "chef") {
			if f.Err != nil {
				t.Errorf("root: %s: %v", f.What, f.Err)
			}
		}
	})
}

// Without a token Consul hides as much, and does not say that it did.
func TestAnonymous(t *testing.T) {
	addr, _ := guarded(t)
	c, ctx := with(t, addr, ""), t.Context()
	calls := map[string]func() error{
		"list":             func() error { _, err := c.List(ctx, "failed/chef/1/", kv.Default); return err },
		"stale list":       func() error { _, err := c.List(ctx, "failed/chef/1/", kv.Stale); return err },
		"an empty list":    func() error { _, err := c.List(ctx, "failed/chef/2/", kv.Default); return err },
		"keys":             func() error { _, err := c.Keys(ctx, "", kv.Default); return err },
		"watch":            func() error { _, _, err := c.ListIndexed(ctx, "failed/", 0, 0); return err },
		"maintenance":      func() error { _, err := c.Maintenance(ctx); return err },
		"drained":          func() error { _, _, err := c.Drained(ctx); return err },
		"services":         func() error { _, err := c.LocalServices(ctx); return err },
		"targets":          func() error { _, err := c.Targets(ctx, "chef", rollout.Selector{}); return err },
		"nodes of nobody":  func() error { _, err := c.Targets(ctx, "web", rollout.Selector{}); return err },
		"nodes by service": func() error { _, err := c.Targets(ctx, "chef", rollout.Selector{Service: "nginx"}); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, kv.ErrForbidden) || isTransient(err) || !strings.Contains(err.Error(), "no token is set") {
			t.Errorf("%s: got %v, want forbidden", name, err)
		}
	}

	cl, err := api.NewClient(&api.Config{Address: addr, Token: root})
	must(t, err)
	grant := func(name, rules string) {
		t.Helper()
		p, _, err := cl.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, nil)
		must(t, err)
		anonymous, _, err := cl.ACL().TokenRead("00000000-0000-0000-0000-000000000002", nil)
		must(t, err)
		anonymous.Policies = append(anonymous.Policies, &api.ACLTokenPolicyLink{ID: p.ID})
		_, _, err = cl.ACL().TokenUpdate(anonymous, nil)
		must(t, err)
	}
	// The agent goes by what it knew of the anonymous token for up to 30 s
	// (acl.token_ttl).
	until := func(what string, call func() error) {
		t.Helper()
		for err := call(); err != nil; err = call() {
			if !errors.Is(err, kv.ErrForbidden) {
				t.Fatalf("%s: %v", what, err)
			}
			select {
			case <-ctx.Done():
				t.Fatalf("%s: still %v", what, err)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}

	// What DNS needs, and what many grant.
	grant("dns", `node_prefix "" { policy = "read" }
		service_prefix "" { policy = "read" }`)
	until("maintenance", calls["maintenance"])
	for _, name := range []string{"drained", "services", "targets", "nodes of nobody", "nodes by service"} {
		if err := calls[name](); err != nil {
			t.Errorf("%s, with the right: %v", name, err)
		}
	}
	if m, err := c.Maintenance(ctx); err != nil || m.Reason != "fan" {
		t.Errorf("maintenance: %+v, %v", m, err)
	}
	if list, err := c.Targets(ctx, "chef", rollout.Selector{}); err != nil || len(list) != 1 {
		t.Errorf("targets: %v, %v", list, err)
	}
	if err := calls["keys"](); !errors.Is(err, kv.ErrForbidden) {
		t.Errorf("keys without the right: %v", err)
	}
	must(t, with(t, addr, root).SetMaintenance(ctx, false, ""))
	if m, err := c.Maintenance(ctx); err != nil || m.On {
		t.Errorf("an end of maintenance: %+v, %v", m, err)
	}

	grant("keys", `key_prefix "gurney/" { policy = "read" }`)
	until("keys", calls["keys"])
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s, with the right: %v", name, err)
		}
	}
	if keys, err := c.Keys(ctx, "", kv.Default); err != nil || len(keys) != 2 {
		t.Errorf("keys: %v, %v", keys, err)
	}
}

// A right without a token is asked for once in a while, and not at all of one
// who has a token or where Consul allows what no rule forbids.
func TestAskingWhatIsSeenIsCheap(t *testing.T) {
	for _, test := range []struct {
		name, token, policy string
		want                int32
	}{
		{"anonymous, deny", "", "deny", 1},
		{"anonymous, allow", "", "allow", 0},
		{"no ACLs", "", "", 0},
		{"a token", "x", "deny", 0},
	} {
		var asked atomic.Int32
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/internal/acl/authorize" {
				asked.Add(1)
				_, _ = w.Write([]byte(`[{"Allow": true}, {"Allow": true}]`))
				return
			}
			if test.policy != "" {
				w.Header().Set("X-Consul-Default-Acl-Policy", test.policy)
			}
			_, _ = w.Write([]byte("{}"))
		}))
		defer srv.Close()
		c := with(t, srv.URL, test.token)
		for range 5 {
			_, err := c.Maintenance(t.Context())
			must(t, err)
		}
		if got := asked.Load(); got != test.want {
			t.Errorf("%s: it asked %d times, want %d", test.name, got, test.want)
		}
	}
}

func TestProbeSaysOnceThatNobodyIsThere(t *testing.T) {
	for name, c := range map[string]*consul.Client{
		"no agent":  with(t, "127.0.0.1:1", ""),
		"no leader": leaderless(t),
	} {
		got := c.Probe(t.Context(), "chef")
		if len(got) != 1 || !errors.Is(got[0].Err, kv.ErrUnreachable) {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func leaderless(t *testing.T) *consul.Client {
	t.Helper()
	return speaking(t, func(w http.ResponseWriter, r *http.Request) {
		body := `{"Config": {"NodeName": "web-1"}}`
		if r.URL.Path == "/v1/status/leader" {
			body = `""`
		}
		_, _ = w.Write([]byte(body))
	})
}
