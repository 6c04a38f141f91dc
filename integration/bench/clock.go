package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"gurney/consul"
	"gurney/report"
)

// clock notes when what became of a deployment stood in the store, as a
// blocking query on the leader sees it.
type clock struct {
	mu       sync.Mutex
	changed  chan struct{} // closed and made anew with each change
	start    time.Time     // of the last firing
	returned time.Time
	accepted map[string]time.Time // by the deployment's id
	final    map[string]time.Time
	results  map[string]report.Result
}

func newClock() *clock {
	return &clock{changed: make(chan struct{}), accepted: map[string]time.Time{}, final: map[string]time.Time{}, results: map[string]report.Result{}}
}

func (c *clock) fire(at time.Time)  { c.mu.Lock(); c.start = at; c.mu.Unlock() }
func (c *clock) fired(at time.Time) { c.mu.Lock(); c.returned = at; c.mu.Unlock() }

// follow watches the results until ctx ends.
func (c *clock) follow(ctx context.Context, client *consul.Client) {
	go func() {
		index := uint64(0)
		for ctx.Err() == nil {
			pairs, next, err := client.ListIndexed(ctx, "results/"+app+"/", index, time.Minute)
			at := time.Now()
			if err != nil {
				index = 0
				time.Sleep(10 * time.Millisecond)
				continue
			}
			index = next
			c.mu.Lock()
			for _, p := range pairs {
				id, _, _ := strings.Cut(strings.TrimPrefix(p.Key, "results/"+app+"/"), "/")
				r, err := report.Decode(p.Value)
				if err != nil {
					continue
				}
				if c.accepted[id].IsZero() {
					c.accepted[id] = at
				}
				if r.State.Final() && c.final[id].IsZero() {
					c.final[id], c.results[id] = at, r
				}
			}
			close(c.changed)
			c.changed = make(chan struct{})
			c.mu.Unlock()
		}
	}()
}

// timing is one deployment's.
type timing struct {
	whole    time.Duration // the event is fired → the final result stands
	accepted time.Duration // firing came back → accepted stands
	returned time.Time
}

// await waits for the deployment's end, which must be ok.
func (c *clock) await(ctx context.Context, id string) (timing, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		c.mu.Lock()
		changed, end, r := c.changed, c.final[id], c.results[id]
		t := timing{end.Sub(c.start), c.accepted[id].Sub(c.returned), c.returned}
		c.mu.Unlock()
		if !end.IsZero() {
			if r.State != report.OK {
				return t, fmt.Errorf("the deployment ended %s: %s", r.State, r.Error)
			}
			return t, nil
		}
		select {
		case <-ctx.Done():
			return timing{}, fmt.Errorf("the deployment does not end: %w", ctx.Err())
		case <-changed:
		}
	}
}
