package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"gurney/consul"
	"gurney/gate"
)

// gateCmd starts a daemon when Consul lets it.
type gateCmd struct {
	UnlessMaint   bool          `help:"Don't start while the node is in maintenance: say why, wait 10 s, exit 1."`
	Lock          filled        `placeholder:"KEY" help:"Run on one node of the fleet: hold this key of Consul's KV, as it stands, while COMMAND runs."`
	IfUnreachable *string       `enum:"run,wait" placeholder:"run|wait" help:"While Consul can't be asked (default: run for maintenance, wait for the lock)."`
	Grace         time.Duration `default:"10s" placeholder:"D" help:"Between TERM and KILL once the lock is lost (${default})."`
	Command       []string      `arg:"" help:"The daemon, after --."`
}

// AfterApply is kong's hook.
func (g *gateCmd) AfterApply() error {
	if g.Grace < 0 || g.Grace > gate.MaxGrace {
		return usageError("--grace %s: 0s to %s, for Consul's lock-delay ends at a minute", g.Grace, gate.MaxGrace)
	}
	if strings.HasPrefix(string(g.Lock), "/") {
		return usageError("--lock %s: Consul's keys don't begin with a slash", g.Lock)
	}
	return nil
}

func (g *gateCmd) Run(ctx context.Context, p *process, c *cli) error {
	cfg, _, err := c.configuration(p)
	if err != nil {
		return err
	}
	client, err := newConsul(cfg, quiet(p))
	if err != nil {
		return err
	}
	var unreachable string
	if g.IfUnreachable != nil {
		unreachable = *g.IfUnreachable
	}
	err = gate.Pass(ctx, gate.Options{
		Command: g.Command, UnlessMaint: g.UnlessMaint, LockKey: string(g.Lock), Value: nodeName(cfg), IfUnreachable: unreachable,
		Grace: g.Grace, Consul: gatekeeper{node{client}}, Stderr: p.Stderr,
	})
	var exit *gate.ExitError
	if errors.As(err, &exit) {
		return &exitError{Code: exit.Status, Err: exit.Err}
	}
	return err
}

// gatekeeper is the client as a gate uses it.
type gatekeeper struct{ node }

func (k gatekeeper) Acquire(ctx context.Context, key, value string, delay time.Duration) (gate.Lock, error) {
	l, err := k.LockWith(ctx, "/"+key, value, consul.LockOptions{TTL: gate.TTL, Delay: delay, Watch: true})
	if err != nil {
		return nil, err // never a nil lock in an interface
	}
	return l, nil
}

func (k gatekeeper) WaitFree(ctx context.Context, key string, most time.Duration) error {
	return k.node.WaitFree(ctx, "/"+key, most)
}
