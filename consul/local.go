package consul

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

// The ids of the checks that Consul makes of a maintenance.
const (
	nodeMaintenance    = "_node_maintenance"
	serviceMaintenance = "_service_maintenance:" // and the service's id
)

// Maintenance is Consul's own maintenance mode of this node.
type Maintenance struct {
	On     bool   // the whole node is
	Reason string // as given; Consul's own text where none was
	// Service is the id of a service that is in maintenance by itself while
	// the node is not; the Reason is its own then, and On is false.
	Service string
}

// Maintenance asks the local agent, which knows at once and also without
// servers. To a token that may not see all of the node's checks it fails with
// kv.ErrForbidden rather than call the node in service.
func (c *Client) Maintenance(ctx context.Context) (Maintenance, error) {
	const op = "read the node's maintenance"
	var checks map[string]api.AgentCheck
	header, err := c.do(ctx, http.MethodGet, "/v1/agent/checks", nil, nil, &checks)
	if err != nil {
		return Maintenance{}, c.wrap(ctx, op, err)
	}
	if check, on := checks[nodeMaintenance]; on {
		return Maintenance{On: true, Reason: check.Notes}, nil
	}
	if err := c.whole(ctx, headerOf(header), op, readNode(nodeOf(checks)), readService("")); err != nil {
		return Maintenance{}, err
	}
	for _, id := range slices.Sorted(maps.Keys(checks)) {
		if service, ok := strings.CutPrefix(id, serviceMaintenance); ok {
			return Maintenance{Service: service, Reason: checks[id].Notes}, nil
		}
	}
	return Maintenance{}, nil
}

// SetMaintenance puts the node into maintenance, or ends it. Over one that is
// on already, Consul keeps the first reason.
func (c *Client) SetMaintenance(ctx context.Context, on bool, reason string) error {
	// The library has this call too, but without a context.
	params := url.Values{"enable": {fmt.Sprint(on)}}
	if on && reason != "" {
		params.Set("reason", reason)
	}
	op := "end maintenance"
	if on {
		op = "enable maintenance"
	}
	_, err := c.do(ctx, http.MethodPut, "/v1/agent/maintenance", params, nil, nil)
	return c.wrap(ctx, op, err)
}

// Self is what the local agent says of itself.
type Self struct {
	Node       string // Consul's name for this node
	NodeID     string // a UUID that Consul keeps in its data directory
	Datacenter string
	Address    string // advertised
	Version    string // Consul's
	Leader     string // the servers' leader, host:port; "" while there is none
}

// Self asks the local agent, and it the servers for their leader: two
// requests. An error about the leader leaves the rest filled in.
func (c *Client) Self(ctx context.Context) (Self, error) {
	var raw struct {
		Config struct{ NodeName, NodeID, Datacenter, Version string }
		Member struct{ Addr string }
	}
	if _, err := c.do(ctx, http.MethodGet, "/v1/agent/self", nil, nil, &raw); err != nil {
		return Self{}, c.wrap(ctx, "read the agent's own data", err)
	}
	self := Self{Node: raw.Config.NodeName, NodeID: raw.Config.NodeID, Datacenter: raw.Config.Datacenter, Version: raw.Config.Version, Address: raw.Member.Addr}
	if _, err := c.do(ctx, http.MethodGet, "/v1/status/leader", nil, nil, &self.Leader); err != nil {
		return self, c.wrap(ctx, "ask for the leader", err)
	}
	return self, nil
}

// LocalServices returns the services on the local agent, by name, each with
// its tags; several instances of one are taken together. To a token that may
// not see all of them it fails with kv.ErrForbidden.
func (c *Client) LocalServices(ctx context.Context) (map[string][]string, error) {
	const op = "read the node's services"
	var list map[string]api.AgentService
	header, err := c.do(ctx, http.MethodGet, "/v1/agent/services", nil, nil, &list)
	if err != nil {
		return nil, c.wrap(ctx, op, err)
	}
	if err := c.whole(ctx, headerOf(header), op, readService("")); err != nil {
		return nil, err
	}
	out := make(map[string][]string, len(list))
	for _, s := range list {
		out[s.Service] = union(out[s.Service], s.Tags)
	}
	return out, nil
}
