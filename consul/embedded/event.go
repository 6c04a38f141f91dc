package embedded

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	ringSize   = 256 // events that an agent keeps, of all names
	maxPayload = 300 // bytes, as of Consul 1.22
	maxEvent   = 512 // bytes of a whole event in gossip
	// eventOverhead and partOverhead are what Consul's envelope adds to an
	// event, and to each part that is there, as measured with 1.22.
	eventOverhead = 60
	partOverhead  = 3
)

// userEvent is an event as it is in the answers.
type userEvent struct {
	ID            string
	Name          string
	Payload       []byte // null when nil
	NodeFilter    string
	ServiceFilter string
	TagFilter     string
	Version       int
	LTime         uint64
}

// eventFire gossips an event to all agents that are not cut off. It needs no
// leader, and costs the servers no write.
func eventFire(q *request) (answer, error) {
	e := userEvent{
		ID: newID(), Name: q.rest, Version: 1,
		NodeFilter: q.query.Get("node"), ServiceFilter: q.query.Get("service"), TagFilter: q.query.Get("tag"),
	}
	if e.Name == "" {
		return answer{}, badRequest("Missing name")
	}
	payload, err := io.ReadAll(q.Body)
	if err != nil {
		return answer{}, badRequest("%v", err)
	}
	if len(payload) > maxPayload {
		return answer{}, refuse(http.StatusRequestEntityTooLarge, "Event payload too large, received %d bytes, max size: %d bytes.", len(payload), maxPayload)
	}
	if len(payload) > 0 {
		e.Payload = payload
	}
	if err := e.validate(); err != nil {
		return answer{}, err
	}
	c := q.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ltime++
	heard := e
	heard.LTime = c.ltime
	for _, a := range c.agents {
		if !a.cut && a.wants(heard) {
			a.hear(heard)
		}
	}
	c.wake()
	return answer{json: e}, nil // the LTime is the receivers'
}

func (e userEvent) validate() error {
	if e.TagFilter != "" && e.ServiceFilter == "" {
		return broken("Cannot provide tag filter without service filter")
	}
	for _, f := range []struct{ name, expr string }{{"node", e.NodeFilter}, {"service", e.ServiceFilter}, {"tag", e.TagFilter}} {
		if _, err := regexp.Compile(f.expr); err != nil {
			return broken("Invalid %s filter: %v", f.name, err)
		}
	}
	size := eventOverhead + 2*len(e.Name) + len(e.ID) // the name travels twice
	for _, n := range []int{len(e.Payload), len(e.NodeFilter), len(e.ServiceFilter), len(e.TagFilter)} {
		if n > 0 {
			size += n + partOverhead
		}
	}
	if size > maxEvent {
		return broken("error broadcasting event: user event exceeds configured limit of %d bytes before encoding", maxEvent)
	}
	return nil
}

// wants evaluates the filters, as the receiving agent does: expressions that
// may match anywhere, the tag's on a service that the service's matches.
func (a *agent) wants(e userEvent) bool {
	if !matches(e.NodeFilter, a.node) {
		return false
	}
	if e.ServiceFilter == "" {
		return true
	}
	for _, s := range a.services {
		if !matches(e.ServiceFilter, s.Service) {
			continue
		}
		if e.TagFilter == "" {
			return true
		}
		for _, tag := range s.Tags {
			if matches(e.TagFilter, tag) {
				return true
			}
		}
	}
	return false
}

// matches is true for the empty expression. It was compiled before.
func matches(expr, s string) bool {
	ok, err := regexp.MatchString(expr, s)
	return ok && err == nil
}

// hear puts an event into the agent's ring.
func (a *agent) hear(e userEvent) {
	a.ring = append(a.ring, e)
	if over := len(a.ring) - ringSize; over > 0 {
		a.ring = append([]userEvent(nil), a.ring[over:]...)
	}
}

// eventList answers out of the agent's own ring; with ?index it waits until
// the index is another, whichever is greater.
func eventList(q *request) (answer, error) {
	index, wait, err := q.waiting()
	if err != nil {
		return answer{}, err
	}
	c := q.c
	c.mu.Lock()
	defer c.mu.Unlock()
	var over <-chan time.Time
	for {
		events := []userEvent{}
		for _, e := range q.agent.ring {
			if name := q.query.Get("name"); name == "" || e.Name == name {
				events = append(events, e)
			}
		}
		now := uint64(1)
		if n := len(events); n > 0 {
			now = idToIndex(events[n-1].ID)
		}
		ans := answer{json: events, header: http.Header{"X-Consul-Index": {strconv.FormatUint(now, 10)}}}
		if index == 0 || now != index {
			return ans, nil
		}
		if over == nil {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			over = timer.C
		}
		if !q.sleep(over) {
			return ans, nil
		}
	}
}

// idToIndex makes an index of an event's id: its two halves, xor.
func idToIndex(id string) uint64 {
	raw, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(raw) != 16 {
		panic(fmt.Sprintf("event id %q is no UUID", id)) // ours: newID
	}
	var index uint64
	for i := range 8 {
		index = index<<8 | uint64(raw[i]^raw[i+8])
	}
	return index
}
