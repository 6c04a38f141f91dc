package consul

import (
	"context"
	"net/http"
	"slices"

	"github.com/hashicorp/consul/api"
)

// RoleService is the id of the service that tells a node's roles. Its name is
// the configuration's; the id stays, so that the service is known for
// Gurney's under any name, and never taken for one that a service definition
// of the same name made.
const RoleService = "gurney-role"

// SetRoles makes the node known by the service of that name, with the roles
// as its tags; without a name, or without roles, there is none. It asks the
// local agent what stands there, and writes nothing where that is right.
//
// The service has no check of its own: it is as healthy as its node.
func (c *Client) SetRoles(ctx context.Context, service string, roles []string) (changed bool, err error) {
	// To be asked for one service that is not there is an error in the log of
	// Consul's agent. A token that may write this one sees it, too.
	var all map[string]api.AgentService
	if _, err := c.do(ctx, http.MethodGet, "/v1/agent/services", nil, nil, &all); err != nil {
		return false, c.wrap(ctx, "read the role service", err)
	}
	s, there := all[RoleService]
	wanted := service != "" && len(roles) > 0
	switch {
	case !there && !wanted, there && wanted && s.Service == service && slices.Equal(s.Tags, roles):
		return false, nil
	case wanted:
		s := api.AgentServiceRegistration{ID: RoleService, Name: service, Tags: roles}
		_, err = c.do(ctx, http.MethodPut, "/v1/agent/service/register", nil, s, nil)
		return err == nil, c.wrap(ctx, "register the role service", err)
	default:
		_, err = c.do(ctx, http.MethodPut, "/v1/agent/service/deregister/"+RoleService, nil, nil, nil)
		if unknown(err) {
			return false, nil
		}
		return err == nil, c.wrap(ctx, "deregister the role service", err)
	}
}
