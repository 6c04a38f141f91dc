package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gurney/event"

	"github.com/hashicorp/consul/api"
)

// MaxPayload is how many bytes an event may carry: what Consul 1.22 takes
// (HTTP 413 above it; 1.20 took about 400). Its documentation advises to stay
// under 100, since all of it travels by gossip.
const MaxPayload = 300

// Fire sends e into the gossip of the datacenter and returns its id. That it
// was sent says nothing about who received it. A tag without a service, which
// Consul refuses, is meant for the nodes where any service has such a tag.
func (c *Client) Fire(ctx context.Context, e event.Event) (id string, err error) {
	if len(e.Payload) > MaxPayload {
		return "", tooLarge(e)
	}
	if e.TagFilter != "" && e.ServiceFilter == "" {
		e.ServiceFilter = "."
	}
	q := &api.WriteOptions{Datacenter: c.dc}
	id, _, err = c.api.Event().Fire(&api.UserEvent{
		Name: e.Name, Payload: e.Payload,
		NodeFilter: e.NodeFilter, ServiceFilter: e.ServiceFilter, TagFilter: e.TagFilter,
	}, q.WithContext(ctx))
	var se api.StatusError
	if errors.As(err, &se) && se.Code == http.StatusRequestEntityTooLarge {
		return "", fmt.Errorf("%w (consul at %s: %s)", tooLarge(e), c.addr, firstLine(se.Body))
	}
	return id, c.wrap(ctx, "fire event "+e.Name, err)
}

func tooLarge(e event.Event) error {
	return fmt.Errorf("fire event %s: the payload has %d bytes, Consul takes at most %d, less with filters", e.Name, len(e.Payload), MaxPayload)
}

// Events returns the events that the local agent has in its ring, oldest
// first: the last 256 of all names. With an index that is not 0 it waits until
// another event has come, or wait is over, and then returns the whole ring
// again: the caller knows by their ids which he has seen.
//
// The index is a hash of the last event's id. It is not ordered, only equal or
// different, and 1 for an empty ring.
//
// What the token may not see is missing without an error: tokens see the
// events of their apps as a rule.
func (c *Client) Events(ctx context.Context, index uint64, wait time.Duration) ([]event.Event, uint64, error) {
	return c.EventsNamed(ctx, "", index, wait)
}

// EventsNamed is Events for one name alone, and so is its index.
func (c *Client) EventsNamed(ctx context.Context, name string, index uint64, wait time.Duration) ([]event.Event, uint64, error) {
	bound, cancel := waiting(ctx, index, wait)
	defer cancel()
	// The local agent answers; another datacenter's events are not here.
	q := &api.QueryOptions{WaitIndex: index, WaitTime: wait}
	list, meta, err := c.api.Event().List(name, q.WithContext(bound))
	if err != nil {
		return nil, 0, c.wrap(ctx, "list events", err)
	}
	out := make([]event.Event, len(list))
	for i, e := range list {
		out[i] = event.Event{
			ID: e.ID, Name: e.Name, Payload: e.Payload, LTime: e.LTime,
			NodeFilter: e.NodeFilter, ServiceFilter: e.ServiceFilter, TagFilter: e.TagFilter,
		}
	}
	return out, meta.LastIndex, nil
}
