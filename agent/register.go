package agent

import (
	"context"
	"errors"
	"time"
)

const (
	heartbeatTTL   = 30 * time.Second
	heartbeatEvery = 10 * time.Second
	registerRetry  = time.Second
)

// register makes the node known as one that obeys its apps and keeps it so.
// Heartbeats go to the local agent alone, and cost the servers nothing while
// the status stays. At the end the registration is left as it is: an agent
// that restarts must not look gone, and one that stays away does so by its
// TTL.
func (a *Agent) register(ctx context.Context) error {
	known, told := false, false
	for {
		var err error
		if !known {
			err = a.o.Consul.Register(ctx, a.o.Apps, a.o.Node, a.o.Version, heartbeatTTL)
		}
		if err == nil {
			// After a registration too: a check of before keeps its status, and
			// who was away for longer than the TTL would look gone for a while
			// yet, while it runs what a driver then takes for done with.
			warn, note := a.health(time.Now())
			err = a.o.Consul.Heartbeat(ctx, warn, note)
		}
		wait := heartbeatEvery
		var unregistered interface{ Unregistered() bool }
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			if !known {
				a.rolesDue() // what was told before this may have been lost with all else
			}
			if told {
				a.log.Info().Msg("registered with the local Consul agent again")
			}
			known, told = true, false
		case known && errors.As(err, &unregistered) && unregistered.Unregistered():
			known = false
			a.rolesDue() // what lost one service lost the other
			continue
		default:
			if !told {
				a.log.Warn().Err(err).Msg("can't register with the local Consul agent; trying on")
			}
			told, wait = true, registerRetry
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
