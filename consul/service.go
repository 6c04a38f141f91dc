package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// Service is the name and the id of Gurney's service, and the id of its TTL
// check. A Consul agent has one Gurney.
const Service = "gurney"

// The keys of the service's meta data.
const (
	metaNode    = "node"
	metaVersion = "version"
)

// The states of a Heartbeat.
const (
	Pass = "pass"
	Warn = "warn" // alive, and something wants a look
	Fail = "fail"
)

// Registration is what a Gurney agent tells of itself.
type Registration struct {
	Apps    []string // the apps that it obeys; the service's tags
	Node    string   // Gurney's name for the node
	Version string   // Gurney's
	// TTL is how long a heartbeat is good for; after it the check is critical.
	// The node then counts as dead, not as gone.
	TTL time.Duration
}

// Register makes the service and its check known to the local agent. A new
// check passes until the TTL is over, an old one stays as it is. Registering
// the same again writes nothing to the servers.
func (c *Client) Register(ctx context.Context, r Registration) error {
	if r.TTL <= 0 {
		return fmt.Errorf("register the gurney service: the heartbeat's TTL must be positive, got %v", r.TTL)
	}
	for _, app := range r.Apps {
		if app == "" {
			return errors.New("register the gurney service: an app without a name")
		}
	}
	var opts api.ServiceRegisterOpts
	err := c.api.Agent().ServiceRegisterOpts(&api.AgentServiceRegistration{
		ID:   Service,
		Name: Service,
		Tags: r.Apps,
		Meta: map[string]string{metaNode: r.Node, metaVersion: r.Version},
		Check: &api.AgentServiceCheck{
			CheckID: Service,
			Name:    "Gurney agent",
			TTL:     r.TTL.String(),
			Status:  api.HealthPassing,
		},
	}, opts.WithContext(ctx))
	return c.wrap(ctx, "register the gurney service", err)
}

// Heartbeat renews the check with a status (Pass, Warn or Fail) and a note for
// people. It asks the local agent only; the servers hear of it when the status
// changes. It fails with ErrUnregistered where there is no such check.
func (c *Client) Heartbeat(ctx context.Context, status, note string) error {
	q := &api.QueryOptions{}
	err := c.api.Agent().UpdateTTLOpts(Service, note, status, q.WithContext(ctx))
	if unknown(err) {
		return fmt.Errorf("heartbeat (consul at %s): %w", c.addr, ErrUnregistered)
	}
	return c.wrap(ctx, "heartbeat", err)
}

// unknown recognizes the agent's words for a check or service that it does not
// have: 404 since 1.11, 500 before.
func unknown(err error) bool {
	var se api.StatusError
	if !errors.As(err, &se) {
		return false
	}
	return se.Code == http.StatusNotFound ||
		se.Code == http.StatusInternalServerError && (strings.Contains(se.Body, "Unknown check") ||
			strings.Contains(se.Body, "Unknown service") || strings.Contains(se.Body, "does not have associated TTL"))
}

// Forget takes from the local agent all that Gurney has registered there, and
// returns the ids of what was: its own service, that of the roles, and the check
// of a drain.
func (c *Client) Forget(ctx context.Context) (forgotten []string, err error) {
	const op = "take Gurney's registrations from the local Consul agent"
	for _, there := range []struct {
		list, remove string
		ids          []string
	}{
		{"/v1/agent/services", "/v1/agent/service/deregister/", []string{Service, RoleService}},
		{"/v1/agent/checks", "/v1/agent/check/deregister/", []string{DrainCheck}},
	} {
		var known map[string]struct{}
		if _, err := c.do(ctx, http.MethodGet, there.list, nil, nil, &known); err != nil {
			return forgotten, c.wrap(ctx, op, err)
		}
		for _, id := range there.ids {
			if _, is := known[id]; !is {
				continue
			}
			if _, err := c.do(ctx, http.MethodPut, there.remove+id, nil, nil, nil); err != nil && !unknown(err) {
				return forgotten, c.wrap(ctx, op, err)
			}
			forgotten = append(forgotten, id)
		}
	}
	return forgotten, nil
}
