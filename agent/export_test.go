package agent

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"gurney/event"
)

// Work is Run without what listens: sockets know nothing of simulated time.
func Work(ctx context.Context, a *Agent) error {
	var inner context.Context
	a.group, inner = errgroup.WithContext(ctx)
	events := make(chan event.Batch)
	a.group.Go(func() error { return a.listenEvents(inner, events) })
	a.live(inner, events)
	return a.group.Wait()
}

// Register keeps the node known, and does nothing else.
func Register(ctx context.Context, a *Agent) error { return a.register(ctx) }

// Hurry makes an agent's waits for others a fiftieth of what they are.
func Hurry(a *Agent) {
	for _, d := range []*time.Duration{&a.pace.held, &a.pace.retryMin, &a.pace.retryMax, &a.pace.worldFirst, &a.pace.worldMost, &a.pace.worldTime} {
		*d /= 50
	}
}
