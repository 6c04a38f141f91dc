package consul

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

// DrainCheck is the id of the node check that takes a node out of service
// while a run lasts. It is Gurney's own, so that a maintenance that somebody
// else began is never touched.
const DrainCheck = "gurney-drain"

// drainTTL is the check's, which Consul wants: it is critical at once, and so
// it stays when the time is over.
const drainTTL = "24h"

// Drain makes the check critical. Doing it again writes nothing to the
// servers.
func (c *Client) Drain(ctx context.Context, note string) error {
	check := api.AgentCheckRegistration{
		ID: DrainCheck, Name: "Gurney drains this node", Notes: note,
		AgentServiceCheck: api.AgentServiceCheck{TTL: drainTTL, Status: api.HealthCritical},
	}
	_, err := c.do(ctx, http.MethodPut, "/v1/agent/check/register", nil, check, nil)
	return c.wrap(ctx, "drain the node", err)
}

// Undrain takes the check away. That there is none is no error.
func (c *Client) Undrain(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodPut, "/v1/agent/check/deregister/"+DrainCheck, nil, nil, nil)
	if unknown(err) {
		return nil
	}
	return c.wrap(ctx, "end the node's draining", err)
}

// Drained says whether the node has the check, and which of its services are
// critical, sorted by name: not Gurney's own, and none that is in maintenance
// by itself. It asks the local agent.
func (c *Client) Drained(ctx context.Context) (on bool, critical []string, err error) {
	const op = "read the node's checks"
	var checks map[string]api.AgentCheck
	header, err := c.do(ctx, http.MethodGet, "/v1/agent/checks", nil, nil, &checks)
	if err != nil {
		return false, nil, c.wrap(ctx, op, err)
	}
	if err := c.whole(ctx, headerOf(header), op, readNode(nodeOf(checks)), readService("")); err != nil {
		return false, nil, err
	}
	for id, check := range checks {
		switch {
		case id == DrainCheck:
			on = true
		case check.ServiceID == "" || check.ServiceID == Service || check.Status != api.HealthCritical:
		case strings.HasPrefix(id, serviceMaintenance):
		default:
			critical = append(critical, check.ServiceName)
		}
	}
	slices.Sort(critical)
	return on, slices.Compact(critical), nil
}
