package consul

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"gurney/kv"
	"gurney/rollout"

	"github.com/hashicorp/consul/api"
)

// Targets returns the nodes that obey app ("": any) and that sel selects, in
// the order of their names, dead ones and those in maintenance among them. A node whose
// check only warns is alive.
//
// The expressions of sel mean what they mean in Consul's event filters: they
// need not match at the beginning or end, and Tag has to match a tag of a
// service that Service matches. Services of a target are then the matching
// ones.
//
// A token that may not see all of them gets kv.ErrForbidden, not a shorter list.
//
// It is one request of the leader; where sel has Service or Tag, one more, and
// one for each service that matches anywhere. That is fewer than one per node.
func (c *Client) Targets(ctx context.Context, app string, sel rollout.Selector) ([]rollout.Target, error) {
	m, err := compile(sel)
	if err != nil {
		return nil, err
	}
	op := strings.TrimSuffix("list the nodes of "+app, " of ")
	entries, meta, err := c.api.Health().Service(Service, app, false, c.read(ctx, kv.Default))
	if err != nil {
		return nil, c.wrap(ctx, op, err)
	}
	if err := c.whole(ctx, metaOf(meta, c.dc), op, readNode(""), readService(Service)); err != nil {
		return nil, err
	}
	var services map[string]map[string][]string
	if m.byService() {
		if services, err = c.services(ctx, m); err != nil {
			return nil, err
		}
	}
	var out []rollout.Target
	for _, e := range entries {
		t := target(e)
		if !m.node.MatchString(t.Node) {
			continue
		}
		if m.byService() {
			if t.Services = services[t.ConsulNode]; t.Services == nil {
				continue
			}
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b rollout.Target) int { return strings.Compare(a.Node, b.Node) })
	return out, nil
}

func target(e *api.ServiceEntry) rollout.Target {
	t := rollout.Target{ConsulNode: e.Node.Node, Address: e.Node.Address, Apps: e.Service.Tags}
	t.Node = orElse(e.Service.Meta[metaNode], t.ConsulNode)
	member, agent := true, false
	for _, check := range e.Checks {
		switch check.CheckID {
		case "serfHealth":
			member = check.Status == api.HealthPassing
		case Service:
			agent = check.Status == api.HealthPassing || check.Status == api.HealthWarning
			if check.Status == api.HealthWarning {
				t.Warning = check.Output
			}
		case DrainCheck:
			t.Drained = true
		case nodeMaintenance:
			t.InMaintenance, t.Maintenance = true, check.Notes
		}
	}
	t.Alive = member && agent
	return t
}

// services finds the services that m selects: by Consul node, by service, the
// tags.
func (c *Client) services(ctx context.Context, m matcher) (map[string]map[string][]string, error) {
	const op = "list the services"
	names, meta, err := c.api.Catalog().Services(c.read(ctx, kv.Default))
	if err != nil {
		return nil, c.wrap(ctx, op, err)
	}
	if err := c.whole(ctx, metaOf(meta, c.dc), op, readNode(""), readService("")); err != nil {
		return nil, err
	}
	out := make(map[string]map[string][]string)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !m.matches(name, names[name]) {
			continue
		}
		op := "list the nodes of service " + name
		instances, meta, err := c.api.Catalog().Service(name, "", c.read(ctx, kv.Default))
		if err != nil {
			return nil, c.wrap(ctx, op, err)
		}
		if err := c.whole(ctx, metaOf(meta, c.dc), op, readNode(""), readService("")); err != nil {
			return nil, err
		}
		for _, s := range instances {
			if !m.matches(name, s.ServiceTags) {
				continue
			}
			if out[s.Node] == nil {
				out[s.Node] = make(map[string][]string)
			}
			out[s.Node][name] = union(out[s.Node][name], s.ServiceTags)
		}
	}
	return out, nil
}

// matcher is a selector, compiled. An expression that is not there is nil for
// service and tag, and matches all for node.
type matcher struct{ node, service, tag *regexp.Regexp }

func compile(sel rollout.Selector) (m matcher, err error) {
	for _, f := range []struct {
		name, expr string
		to         **regexp.Regexp
	}{{"node", sel.Node, &m.node}, {"service", sel.Service, &m.service}, {"tag", sel.Tag, &m.tag}} {
		if f.expr == "" && f.name != "node" {
			continue
		}
		if *f.to, err = regexp.Compile(f.expr); err != nil {
			return m, fmt.Errorf("selector: %s is no regular expression: %w", f.name, err)
		}
	}
	return m, nil
}

func (m matcher) byService() bool { return m.service != nil || m.tag != nil }

func (m matcher) matches(service string, tags []string) bool {
	if m.service != nil && !m.service.MatchString(service) {
		return false
	}
	return m.tag == nil || slices.ContainsFunc(tags, m.tag.MatchString)
}

// union is a and those of b that a lacks, in their order; it is never nil.
func union(a, b []string) []string {
	if a == nil {
		a = []string{}
	}
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}
