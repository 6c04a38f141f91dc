package agent_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"gurney/agent"
	"gurney/agent/state"
)

// registry is a local Consul agent that notes when it is told what.
type registry struct {
	memory
	began time.Time
	told  []string
	lost  bool // the registration, until the next
	deaf  bool // it takes registrations and knows none
}

type unregistered struct{ error }

func (unregistered) Unregistered() bool { return true }

func (r *registry) note(what string) { r.told = append(r.told, what+" "+time.Since(r.began).String()) }

func (r *registry) Register(context.Context, []string, string, string, time.Duration) error {
	r.note("register")
	r.lost = false
	return nil
}

func (r *registry) Heartbeat(context.Context, bool, string) error {
	r.note("heartbeat")
	if r.lost || r.deaf {
		return unregistered{errors.New("unknown check")}
	}
	return nil
}

// An agent that was away for longer than its TTL counts as alive from its first
// word on: a check of before keeps its status until a heartbeat.
func TestRegistrationIsAlsoAHeartbeat(t *testing.T) {
	for name, c := range map[string]struct {
		setup func(*registry)
		want  []string
	}{
		"well": {func(*registry) {}, []string{"register 0s", "heartbeat 0s", "heartbeat 10s", "heartbeat 20s"}},
		"lost": {func(r *registry) { time.AfterFunc(5*time.Second, func() { r.lost = true }) },
			[]string{"register 0s", "heartbeat 0s", "heartbeat 10s", "register 10s", "heartbeat 10s", "heartbeat 20s"}},
		"never taken": {func(r *registry) { r.deaf = true; time.AfterFunc(1500*time.Millisecond, func() { r.deaf = false }) },
			[]string{"register 0s", "heartbeat 0s", "register 1s", "heartbeat 1s", "register 2s", "heartbeat 2s", "heartbeat 12s", "heartbeat 22s"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := state.Open(t.TempDir())
			must(t, err)
			synctest.Test(t, func(t *testing.T) {
				r := &registry{began: time.Now()}
				c.setup(r)
				a, err := agent.New(agent.Options{Apps: []string{"chef"}, Node: me, Dir: dir, Consul: r, Log: zerolog.Nop()})
				must(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
				defer cancel()
				if err := agent.Register(ctx, a); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				if !slices.Equal(r.told, c.want) {
					t.Errorf("it told\n%q, want\n%q", r.told, c.want)
				}
			})
		})
	}
}
