package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"gurney/agent/state"
)

// Bootstrap brings every app to what is current, past maintenance and never
// to a rollout that is on, but for one that had begun here before a reboot, and
// reports it. It is an agent that lives until its apps are at rest: what it did,
// the next one finds in the journals.
func (a *Agent) Bootstrap(ctx context.Context) ([]Standing, error) {
	lock, err := a.o.Dir.LockAgent("gurney bootstrap")
	var busy *state.BusyError
	if errors.As(err, &busy) {
		return nil, fmt.Errorf("an agent runs here, and does what bootstrap would: %w", err)
	}
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	a.birth = true
	life, stop := context.WithCancel(ctx)
	defer stop()
	var inner context.Context
	a.group, inner = errgroup.WithContext(life)
	a.live(inner, nil)
	standings, err := a.Converge(inner)
	stop()
	if werr := a.group.Wait(); werr != nil && !errors.Is(werr, context.Canceled) {
		err = werr
	}
	if ctx.Err() != nil {
		return standings, cmp.Or(a.troubles(), ctx.Err())
	}
	if err != nil {
		return standings, err
	}
	_, err = backoff.Retry(ctx, func() (int, error) { return a.deliverAll(ctx) }, backoff.WithMaxElapsedTime(lastWords))
	if err != nil {
		a.log.Warn().Err(err).Msg("results are not reported yet: the agent will")
	}
	return standings, nil
}

// troubles are what last kept apps from their rest; nil where all are at it.
// The loop has ended.
func (a *Agent) troubles() error {
	var out []string
	for _, name := range a.o.Apps {
		p := a.apps[name]
		if !p.resting() {
			out = append(out, name+": "+cmp.Or(p.doubt, p.trouble, "not done yet"))
		}
	}
	if len(out) == 0 {
		return nil
	}
	return errors.New(strings.Join(out, "; "))
}

// lastWords is how long a birth waits for its results to be taken. What is
// left then is the agent's to send.
const lastWords = 30 * time.Second
