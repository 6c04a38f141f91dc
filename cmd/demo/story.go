package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"gurney/rollout"
)

// patience is how long the story waits for what should take seconds.
const patience = 2 * time.Minute

// story tells the chapters in their order. The error is what it could not go
// on after; a check that does not hold is told and counted.
func (d *demo) story(ctx context.Context) error {
	for _, chapter := range []func(context.Context) error{
		d.setUp, d.startAgents, d.enterMaintenance, d.publish, d.deployFirst, d.leaveMaintenance, d.deploySecond, d.showRemains,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	d.done = true
	return nil
}

func (d *demo) setUp(ctx context.Context) error {
	d.tell.say("Gurney's demo: a fleet of three hosts on this machine\n")
	d.tell.begin("Consul, S3 and three hosts")
	var names []string
	for _, h := range fleet {
		names = append(names, h.name)
	}
	shared, err := startServers(names)
	if err != nil {
		return err
	}
	d.servers = shared
	d.later("Consul and S3", shared.close)
	watching, end := context.WithCancel(context.WithoutCancel(ctx))
	var wait func()
	d.history, wait = watch(watching, d.client)
	d.later("watch", func() error { end(); wait(); return nil })
	d.tell.say("consul  %s, a server in this process, and an agent for each host\n", d.consul.Addr(serverNode))
	d.tell.say("s3      %s, in this process, with the bucket %s\n", d.s3, bucket)
	d.tell.say("chef    %s\n", d.doc.Chef)
	d.tell.say("files   %s; each command below runs there\n\n", d.dir)
	for _, h := range fleet {
		h.dir, h.consul = filepath.Join(d.dir, h.name), d.consul.Addr(h.name)
		if err := h.prepare(d.s3, d.doc.Chef.Path); err != nil {
			return err
		}
		d.hosts = append(d.hosts, &h)
		d.tell.say("%-6s  HOSTNAME_PREFIX=%-5q  gurney.yml, state/, srv/\n", h.name, h.prefix)
	}
	return d.layOut()
}

func (d *demo) startAgents(ctx context.Context) error {
	d.tell.begin("An agent on each host")
	if err := adopt(); err != nil {
		return err
	}
	d.later("processes", func() error { return sweep(15 * time.Second) })
	gurney := filepath.Join(d.bin, "gurney")
	for _, h := range d.hosts {
		argv := append([]string{"gurney"}, h.agentArgs()...)
		d.tell.shown(fmt.Sprintf("$ HOST_ROOT=$PWD/%s %s &", h.name, shellLine(argv)), argv...)
		if err := h.start(gurney, d.dir, d.env); err != nil {
			return err
		}
		d.later("agent of "+h.name, h.stop)
	}
	if err := d.awaitAgents(ctx); err != nil {
		return err
	}
	d.tell.say("\n")
	return d.gurney(ctx, "nodes", "-c", operatorFile, "--app", app)
}

// awaitAgents waits until Consul knows all of them as alive.
func (d *demo) awaitAgents(ctx context.Context) error {
	return d.await(ctx, "all agents are registered", func() (bool, <-chan struct{}) {
		targets, err := d.client.Targets(ctx, app, rollout.Selector{})
		alive := 0
		for _, t := range targets {
			if t.Alive {
				alive++
			}
		}
		return err == nil && alive == len(d.hosts), nil
	})
}

func (d *demo) enterMaintenance(context.Context) error {
	d.tell.begin(held + " goes into Consul's maintenance mode")
	return d.maintenance(url.Values{"enable": {"true"}, "reason": {reason}}, "consul maint -enable -reason "+shellLine([]string{reason}))
}

// maintenance asks the held host's Consul agent; words is what an operator
// types there.
func (d *demo) maintenance(q url.Values, words string) error {
	h := d.host(held)
	at := "http://" + h.consul + "/v1/agent/maintenance?" + q.Encode()
	d.tell.say("What `%s` does there:\n\n", words)
	d.tell.shown("PUT "+at, "PUT", at)
	return put(at)
}

func (d *demo) publish(ctx context.Context) error {
	d.tell.begin("The operator publishes a Chef repository")
	return d.gurney(ctx, "publish", "-c", operatorFile, "--manifest", "manifest.yml", "chef-repo", target)
}

func (d *demo) deployFirst(ctx context.Context) error {
	d.tell.begin("And deploys it: two hosts converge, " + held + " holds")
	id, err := d.deploy(ctx, "release 1")
	if err != nil {
		return err
	}
	d.checkConverged(d.others(held), id, "release 1", "accepted", "ok")
	d.checkHeld(d.host(held), id)
	return nil
}

func (d *demo) leaveMaintenance(ctx context.Context) error {
	d.tell.begin("The maintenance ends, and " + held + " catches up by itself")
	h, id := d.host(held), d.ids[0]
	d.tell.say("%s looks every two seconds whether it may. After three:\n\n", h.name)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(3 * time.Second):
	}
	d.checkHeld(h, id)
	d.tell.say("\n")
	if err := d.maintenance(url.Values{"enable": {"false"}}, "consul maint -disable"); err != nil {
		return err
	}
	if err := d.await(ctx, h.name+" has converged", func() (bool, <-chan struct{}) {
		all, changed := d.of(id, h.name)
		return len(all) > 0 && all[len(all)-1].State.Final(), changed
	}); err != nil {
		return err
	}
	d.tell.say("\n")
	if err := d.gurney(ctx, "status", "-c", operatorFile, app); err != nil {
		return err
	}
	d.tell.say("\n")
	d.checkConverged([]*host{h}, id, "release 1", "held", "accepted", "ok")
	return nil
}

func (d *demo) deploySecond(ctx context.Context) error {
	d.tell.begin("A second release: one line changes, every host switches over")
	recipe := filepath.Join("chef-repo", "cookbooks", "base", "recipes", "default.rb")
	if err := d.operator(ctx, "sed", "-i", "s/release 1/release 2/", recipe); err != nil {
		return err
	}
	if err := d.gurney(ctx, "publish", "-c", operatorFile, "--manifest", "manifest.yml", "chef-repo", target); err != nil {
		return err
	}
	d.tell.say("\n")
	id, err := d.deploy(ctx, "release 2")
	if err != nil {
		return err
	}
	d.checkConverged(d.hosts, id, "release 2", "accepted", "ok")
	d.checkKept(d.hosts, d.ids[0])
	return nil
}

// layOut writes what the operator has in his working directory.
func (d *demo) layOut() error {
	if err := writeSample(d.dir); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.dir, operatorFile), []byte(d.operatorConfig()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.dir, "env"), []byte(exports(d.bin)), 0o644)
}

func (d *demo) host(name string) *host {
	for _, h := range d.hosts {
		if h.name == name {
			return h
		}
	}
	panic("no host " + name) // a slip in this file
}

func (d *demo) others(name string) (out []*host) {
	for _, h := range d.hosts {
		if h.name != name {
			out = append(out, h)
		}
	}
	return out
}
