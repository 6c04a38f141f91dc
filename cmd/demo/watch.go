package main

import (
	"context"
	"path"
	"slices"
	"sync"
	"time"

	"gurney/consul"
	"gurney/report"
)

// history is every result that stood in the store, in order: a key is
// overwritten, so its end does not tell whether it was held, or accepted, or
// how often a node wrote.
type history struct {
	mu      sync.Mutex
	states  map[string][]report.Result // by key
	ids     []string
	changed chan struct{}     // closed, and replaced, with each change
	index   map[string]uint64 // ModifyIndex that was seen last
}

// watch keeps the history until ctx ends; wait returns then.
func watch(ctx context.Context, client *consul.Client) (h *history, wait func()) {
	h = &history{states: map[string][]report.Result{}, changed: make(chan struct{}), index: map[string]uint64{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var index uint64
		for ctx.Err() == nil {
			pairs, next, err := client.ListIndexed(ctx, report.AppPrefix(app), index, time.Minute)
			if err != nil {
				index = 0
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
				continue
			}
			index = next
			h.mu.Lock()
			for _, p := range pairs {
				if h.index[p.Key] == p.ModifyIndex {
					continue
				}
				h.index[p.Key] = p.ModifyIndex
				r, err := report.Decode(p.Value)
				if err != nil {
					r = report.Result{Error: err.Error()} // no state: no check takes it
				}
				h.states[p.Key] = append(h.states[p.Key], r)
				if id := path.Base(path.Dir(p.Key)); !slices.Contains(h.ids, id) {
					h.ids = append(h.ids, id)
				}
			}
			close(h.changed)
			h.changed = make(chan struct{})
			h.mu.Unlock()
		}
	}()
	return h, func() { <-done }
}

// of is what stood for one node and deployment so far, and a channel that is
// closed at the next change.
func (h *history) of(id, node string) ([]report.Result, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.states[report.Key(app, id, node)]), h.changed
}

// last is the newest result; its state is "" where there is none.
func (h *history) last(id, node string) report.Result {
	all, _ := h.of(id, node)
	if len(all) == 0 {
		return report.Result{}
	}
	return all[len(all)-1]
}

// deployments are the ids of those that anybody reported of, in their order.
// The ids themselves are of the same minute.
func (h *history) deployments() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.ids)
}

// words are the states in their order.
func (h *history) words(id, node string) []string {
	all, _ := h.of(id, node)
	out := []string{}
	for _, r := range all {
		out = append(out, string(r.State))
	}
	return out
}
