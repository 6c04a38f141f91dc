package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"gurney/consul"
	"gurney/event"
	"gurney/integration/fleet"
	"gurney/rollout"
)

const (
	app    = "bench"
	node   = "web-1"
	bucket = "acme"
)

// world is what both ways work in: the gateway that serves the archives, a
// Consul with one server, and one host whose agent speaks to a client of it.
type world struct {
	dir    string
	s3     *fleet.S3
	consul *fleet.Consul
	host   *fleet.Host
	driver *rollout.Driver
	clock  *clock
	watch  *watch
	trees  int // deployed up to now: each gets a place of its own
}

// newWorld starts everything and waits until the agent obeys.
func newWorld(ctx context.Context, dir string, archives []archive) (*world, error) {
	w := &world{dir: dir, clock: newClock()}
	var err error
	if w.s3, err = fleet.StartS3(ctx, filepath.Join(dir, "s3"), bucket); err != nil {
		return w, err
	}
	for _, a := range archives {
		if err := upload(ctx, w.s3, a); err != nil {
			return w, fmt.Errorf("put %s into the S3 gateway: %w", a.Name, err)
		}
	}
	if w.consul, err = fleet.StartConsul(ctx, dir, fleet.ConsulOptions{Servers: []string{"ops"}, Clients: []string{node}}); err != nil {
		return w, err
	}
	addr := w.consul.Node(node).Addr
	w.host, err = fleet.NewHost(fleet.HostOptions{
		Name: node, Dir: filepath.Join(dir, "hosts"), Consul: addr, S3: w.s3, Apps: []string{app},
	})
	if err != nil {
		return w, err
	}
	server, err := consul.New(consul.Config{Address: w.consul.Node("ops").Addr, Log: zerolog.Nop()})
	if err != nil {
		return w, err
	}
	w.driver = &rollout.Driver{Store: server, Fleet: timedFleet{server, w.clock}, Log: zerolog.Nop()}
	w.clock.follow(ctx, server)
	if w.watch, err = startWatch(dir, addr); err != nil {
		return w, err
	}
	if err := w.host.StartAgent(); err != nil {
		return w, err
	}
	return w, w.obeyed(ctx, server)
}

// obeyed waits until the agent stands in the catalog.
func (w *world) obeyed(ctx context.Context, c *consul.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		targets, err := c.Targets(ctx, app, rollout.Selector{})
		if err == nil && len(targets) == 1 && targets[0].Alive {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the agent does not register: %s", w.host.Agent.Out)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// close ends what runs.
func (w *world) close() {
	if w.watch != nil {
		w.watch.close()
	}
	if w.host != nil && w.host.Agent != nil {
		w.host.Agent.Stop(5 * time.Second)
	}
	if w.consul != nil {
		w.consul.Kill()
	}
	if w.s3 != nil {
		w.s3.Kill()
	}
}

// place is a new dest; the one that it makes free holds nothing yet.
func (w *world) place() (string, error) {
	w.trees++
	dir := filepath.Join(w.host.Dest(), fmt.Sprintf("tree-%d", w.trees))
	return filepath.Join(dir, "tree"), os.MkdirAll(dir, 0o755)
}

// timedFleet notes when an event was fired, and when that came back.
type timedFleet struct {
	*consul.Client
	clock *clock
}

func (f timedFleet) Fire(ctx context.Context, e event.Event) (string, error) {
	f.clock.fire(time.Now())
	id, err := f.Client.Fire(ctx, e)
	f.clock.fired(time.Now())
	return id, err
}
