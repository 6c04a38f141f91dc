package agent

import (
	"context"
	"slices"
	"time"

	"gurney/agent/state"
	"gurney/report"
)

// roleRetry is between two tries to tell the local Consul agent of the roles.
const roleRetry = 10 * time.Second

// keepRoles writes down what Chef said this node is. Only a run that ended
// well speaks of it, and one that made no converge says nothing.
func (a *Agent) keepRoles(p *app, e *state.Ending) {
	if e.Result.State != report.OK || e.Roles == nil {
		return
	}
	kept, err := a.o.Dir.Roles()
	if err != nil {
		p.log.Error().Err(err).Msg("the roles can't be read: they are written anew")
		kept = state.Roles{}
	}
	kept[p.name] = slices.Compact(slices.Sorted(slices.Values(e.Roles)))
	if err := a.o.Dir.SaveRoles(kept); err != nil {
		p.log.Error().Err(err).Msg("the roles can't be written: they stay as they were")
		return
	}
	a.rolesDue()
}

// rolesDue wakes tellRoles.
func (a *Agent) rolesDue() {
	select {
	case a.roles <- struct{}{}:
	default:
	}
}

// tellRoles keeps the role service on the local Consul agent as it should be:
// at the start, when the roles change, when Consul has lost what it knew, and
// now and then, since someone else may have taken the service away. It looks
// before it writes, and what it asks is the local agent alone: the servers
// hear only of changes.
func (a *Agent) tellRoles(ctx context.Context) error {
	told := false
	for {
		roles, err := a.currentRoles()
		if err == nil {
			var changed bool
			if changed, err = a.o.Consul.SetRoles(ctx, a.o.RoleService, roles); changed {
				a.log.Info().Str("service", a.o.RoleService).Strs("roles", roles).Msg("roles told to the local Consul agent")
			}
		}
		wait := a.jittered(a.o.Reconcile)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && a.o.RoleService == "":
			return nil // what an older configuration left is gone; there is nothing to keep
		case err == nil:
			told = false
		default:
			if !told {
				a.log.Warn().Err(err).Msg("can't tell the local Consul agent of the roles; trying on")
			}
			told, wait = true, roleRetry
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.roles:
		case <-time.After(wait):
		}
	}
}

// currentRoles are those of all apps that this node obeys, sorted. An app that
// was taken out of the configuration takes its roles with it.
func (a *Agent) currentRoles() ([]string, error) {
	kept, err := a.o.Dir.Roles()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, app := range a.o.Apps {
		all = append(all, kept[app]...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
