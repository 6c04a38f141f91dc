package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"

	"gurney/agent"
	"gurney/agent/kin"
	"gurney/agent/state"
	"gurney/config"
	"gurney/consul"
)

type agentCmd struct{}

func (a *agentCmd) Run(ctx context.Context, p *process, c *cli) error {
	frugal(p)
	cfg, path, err := c.configuration(p)
	if err != nil {
		return err
	}
	if err := errors.Join(missing(path, cfg.RequireAgent()), missing(path, requireApps(cfg))); err != nil {
		return &exitError{Code: exitUsage, Err: err}
	}
	log := logger(p, cfg.Log)
	if err := kin.Leave(); err != nil {
		log.Warn().Err(err).Msg("a run has started this agent, and takes it along where it is stopped")
	}
	notify, watchdog := serviceManager(p, log)
	if notify != nil {
		notify("STATUS=starting: asks the local Consul agent who this node is")
	}
	home, err := state.Open(cfg.StateDir)
	if err != nil {
		return err
	}
	client, err := newConsul(cfg, log)
	if err != nil {
		return err
	}
	o, err := agentOptions(ctx, cfg, path, client, home, log)
	if ctx.Err() != nil {
		return nil // asked to leave before Consul was there: nothing went wrong
	}
	if err != nil {
		return err
	}
	o.Notify, o.Watchdog = notify, watchdog
	ag, err := agent.New(o)
	if err != nil {
		return err
	}
	return ag.Run(ctx)
}

// agentOptions are what this node's agent is made of, once it is known who
// the node is.
func agentOptions(ctx context.Context, cfg *config.Config, path string, client *consul.Client, home state.Dir, log zerolog.Logger) (agent.Options, error) {
	if err := agent.PutAside(home, log); err != nil {
		return agent.Options{}, err
	}
	name, consulNode, err := nodeNames(ctx, cfg, client, home, log)
	if err != nil {
		return agent.Options{}, err
	}
	allow, err := allowed(cfg)
	if err != nil {
		return agent.Options{}, &exitError{Code: exitUsage, Err: err}
	}
	command, err := runCommand(path)
	if err != nil {
		return agent.Options{}, err
	}
	return agent.Options{
		Apps: cfg.Apps, Allowed: allow.CheckRaw, Node: name, ConsulNode: consulNode, Version: version, Dir: home, Consul: node{client},
		Command: command, Environ: runEnviron(), Maintenance: cfg.Maintenance, Drain: cfg.Drain, DrainWait: cfg.DrainWait, DrainUntil: cfg.DrainUntil,
		Reconcile: cfg.Reconcile, ConvergeEvery: cfg.ConvergeEvery, StaleAfter: cfg.StaleAfter, Splay: cfg.Splay,
		RoleService: cfg.Role.Service, Dashboard: cfg.Report.Dashboard, Listen: cfg.Listen, Log: log,
	}, nil
}

// missing names the file that lacks something, where one was read.
func missing(path string, err error) error {
	if err == nil || path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

func requireApps(cfg *config.Config) error {
	if len(cfg.Apps) == 0 {
		return errors.New("apps: the agent needs the names of the apps that this node obeys, such as [chef]; set them in the configuration or in GURNEY_APPS")
	}
	return nil
}

// runCommand is how the agent starts a run: this program, with the same
// configuration.
func runCommand(config string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	argv := []string{self}
	if config != "" {
		abs, err := filepath.Abs(config)
		if err != nil {
			return nil, err
		}
		argv = append(argv, "-c", abs)
	}
	return append(argv, "run"), nil
}

// nodeNames are Gurney's name for this node and Consul's. Consul's is asked
// of the local agent; while that is down the name of last time serves, and a
// node that never had one waits, as does a clone, which must not take another's
// name, work and letters for its own.
func nodeNames(ctx context.Context, cfg *config.Config, client *consul.Client, home state.Dir, log zerolog.Logger) (name, consulNode string, err error) {
	known, err := home.ConsulNode()
	if err != nil {
		return "", "", err
	}
	cloned, err := home.Elsewhere(machineID())
	if err != nil {
		return "", "", err
	}
	tries := uint(0) // without end
	if (known != "" || cfg.Node != "") && !cloned {
		tries = 1
	}
	self, err := backoff.Retry(ctx, func() (consul.Self, error) {
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		self, err := client.Self(short)
		if self.Node != "" {
			err = nil // a missing leader is no matter here
		}
		return self, err
	}, backoff.WithMaxTries(tries), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		log.Warn().Err(err).Stringer("again_in", wait.Round(time.Millisecond)).Msg("waiting for the local Consul agent to tell this node's name")
	}))
	switch {
	case err == nil:
		consulNode = self.Node
		reborn, err := home.Begin(state.Life{Machine: machineID(), Consul: self.NodeID})
		if err != nil {
			return "", "", err
		}
		if reborn {
			log.Warn().Msg("this state directory was another node's: begun anew")
			known = ""
		}
		if consulNode != known {
			if err := home.SaveConsulNode(consulNode); err != nil {
				return "", "", err
			}
		}
	case ctx.Err() != nil:
		return "", "", ctx.Err()
	case known != "":
		consulNode = known
	default:
		consulNode = cfg.Node
	}
	if cfg.Node != "" {
		return cfg.Node, consulNode, nil
	}
	return consulNode, consulNode, nil
}

// machineID is what systemd and others tell machines apart by; "" where the
// system has none (machine-id(5)).
func machineID() string {
	data, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
