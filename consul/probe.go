package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"gurney/kv"
	"gurney/rollout"

	"github.com/hashicorp/consul/api"
)

// Finding is one thing that Gurney needs of Consul, and whether it has it.
type Finding struct {
	What string // e.g. `report results: key:write on "gurney/results/"`
	Err  error  // nil: it has
	// Driving says that only those need it who deploy, not the nodes.
	Driving bool
}

// Probe looks for all that Gurney will need for these apps, and returns all it
// looked at, in a fixed order. It changes nothing. What the token may do it
// asks Consul, also about writes; without ACLs everything is allowed.
func (c *Client) Probe(ctx context.Context, apps ...string) []Finding {
	self, err := c.Self(ctx)
	if err == nil && self.Leader == "" {
		err = &Error{Op: "ask for the leader", Addr: c.addr, Status: http.StatusOK, kind: kv.ErrUnreachable, err: errors.New("there is none")}
	}
	findings := []Finding{{What: "reach the Consul agent, and through it a leader", Err: err}}
	if errors.Is(err, kv.ErrUnreachable) {
		return findings // the rest would say the same
	}
	findings = append(findings, c.authorized(ctx, c.needs(self.Node, apps))...)
	_, err = c.Maintenance(ctx)
	findings = append(findings, Finding{What: "see the node's maintenance", Err: err})
	_, err = c.LocalServices(ctx)
	findings = append(findings, Finding{What: "see the node's services", Err: err})
	for _, app := range apps {
		_, err := c.Targets(ctx, app, rollout.Selector{})
		findings = append(findings, Finding{What: "see the nodes of " + app, Err: err, Driving: true})
	}
	return findings
}

// ProbeRole looks whether the node may tell its roles by the service of that
// name.
func (c *Client) ProbeRole(ctx context.Context, service string) []Finding {
	return c.authorized(ctx, []permission{{"tell the node's roles", "service", "write", service, false}})
}

// ProbeDrain looks whether the node may be taken out of service for a run.
func (c *Client) ProbeDrain(ctx context.Context, node string) []Finding {
	return c.authorized(ctx, []permission{{"drain the node", "node", "write", node, false}})
}

// permission is one line of what POST /v1/internal/acl/authorize takes.
type permission struct {
	why                       string
	Resource, Access, Segment string
	driving                   bool
}

func (c *Client) needs(node string, apps []string) []permission {
	list := []permission{
		{"read records", "key", "read", c.prefix + "apps/", false},
		{"read deployments", "key", "read", c.prefix + "deployments/", false},
		{"report results", "key", "write", c.prefix + "results/", false},
		{"mark a failure", "key", "write", c.prefix + "failed/", false},
		{"register the agent", "service", "write", Service, false},
		{"deploy", "key", "write", c.prefix + "apps/", true},
		{"keep deployments", "key", "write", c.prefix + "deployments/", true},
		{"lock a deployment", "key", "write", c.prefix + "locks/", true},
	}
	if node != "" {
		list = append(list,
			permission{"see the node's maintenance", "node", "read", node, false},
			permission{"lock a deployment", "session", "write", node, true},
			permission{"switch maintenance", "node", "write", node, true})
	}
	for _, app := range apps {
		list = append(list,
			permission{"hear of deployments", "event", "read", app, false},
			permission{"tell of deployments", "event", "write", app, true})
	}
	return list
}

// String is the permission as people speak of it.
func (p permission) String() string {
	if p.Segment == "" {
		return fmt.Sprintf("%s:%s on all", p.Resource, p.Access)
	}
	return fmt.Sprintf("%s:%s on %q", p.Resource, p.Access, p.Segment)
}

// authorized asks Consul about all of list at once.
func (c *Client) authorized(ctx context.Context, list []permission) []Finding {
	const op = "ask what the token may do"
	allowed, err := c.allowed(ctx, "", list)
	if err != nil {
		return []Finding{{What: op, Err: c.wrap(ctx, op, err)}}
	}
	var out []Finding
	for i, p := range list {
		f := Finding{What: fmt.Sprintf("%s: %v", p.why, p), Driving: p.driving}
		if !allowed[i] {
			f.Err = kv.ErrForbidden
		}
		out = append(out, f)
	}
	return out
}

// allowed asks, for each of list, whether the token has it in dc ("": the
// agent's own, which then answers without its servers).
func (c *Client) allowed(ctx context.Context, dc string, list []permission) ([]bool, error) {
	params := url.Values{}
	if dc != "" {
		params.Set("dc", dc)
	}
	var answers []struct{ Allow bool }
	_, err := c.do(ctx, http.MethodPost, "/v1/internal/acl/authorize", params, list, &answers)
	var se api.StatusError
	switch {
	case errors.As(err, &se) && se.Code == http.StatusUnauthorized: // ACLs are off
		return slices.Repeat([]bool{true}, len(list)), nil
	case err != nil:
		return nil, err
	case len(answers) != len(list):
		return nil, fmt.Errorf("%d answers to %d questions", len(answers), len(list))
	}
	out := make([]bool, len(list))
	for i, a := range answers {
		out[i] = a.Allow
	}
	return out, nil
}
