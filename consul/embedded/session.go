package embedded

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// maxTTL is the most that a session's TTL may be.
const maxTTL = 24 * time.Hour

// ttlGrace is how many times its TTL a session lives without being renewed:
// Consul promises that it ends no earlier than the TTL.
const ttlGrace = 2

// session is never changed once it is stored.
type session struct {
	ID            string
	Name          string
	Node          string
	LockDelay     time.Duration // nanoseconds in JSON
	Behavior      string        // release or delete
	TTL           string
	NodeChecks    []string
	ServiceChecks []serviceCheck
	CreateIndex   uint64
	ModifyIndex   uint64

	ttl time.Duration
}

type serviceCheck struct{ ID, Namespace string }

// sessions holds the sessions and what they leave behind.
type sessions struct {
	byID   map[string]session
	timers map[string]*time.Timer // of those with a TTL
	delays map[string]time.Time   // key → the end of its lock-delay
	last   uint64                 // index of the last change
}

func newSessions() sessions {
	return sessions{byID: map[string]session{}, timers: map[string]*time.Timer{}, delays: map[string]time.Time{}}
}

// list returns the sessions of node, "" for all, in the order of their ids.
func (s *sessions) list(node string) []session {
	out := []session{}
	for _, id := range slices.Sorted(maps.Keys(s.byID)) {
		if e := s.byID[id]; node == "" || e.Node == node {
			out = append(out, e)
		}
	}
	return out
}

var errMissingSession = errors.New("missing session")

// mayHold says whether a session may hold a key.
func (c *Cluster) mayHold(id string) error {
	if id == "" {
		return errMissingSession
	}
	if _, ok := c.sessions.byID[id]; !ok {
		return fmt.Errorf("invalid session %q", id)
	}
	return nil
}

// delayed says whether key is in lock-delay: a session that held it was lost,
// and what its holder had under way may still arrive.
func (c *Cluster) delayed(key string) bool {
	end, ok := c.sessions.delays[key]
	if ok && !time.Now().Before(end) {
		delete(c.sessions.delays, key)
		return false
	}
	return ok
}

// renew starts the session's TTL anew. The caller holds mu.
func (c *Cluster) renew(e session) {
	if e.ttl == 0 {
		return
	}
	if t := c.sessions.timers[e.ID]; t != nil {
		t.Stop()
	}
	var timer *time.Timer
	timer = time.AfterFunc(ttlGrace*e.ttl, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		// A later timer is in charge, or there is nobody to write it down: the
		// next leader starts all TTLs anew.
		if c.sessions.timers[e.ID] != timer || !c.leader || c.life.Err() != nil {
			return
		}
		c.log.Debug().Str("session", e.ID).Msg("a session's TTL is over")
		c.commit(func(index uint64) { c.destroy(e.ID, index) })
	})
	c.sessions.timers[e.ID] = timer
}

// destroy ends a session and frees its keys, within a Raft entry.
func (c *Cluster) destroy(id string, index uint64) {
	e, ok := c.sessions.byID[id]
	if !ok {
		return
	}
	delete(c.sessions.byID, id)
	c.sessions.last = index
	if t := c.sessions.timers[id]; t != nil {
		t.Stop()
		delete(c.sessions.timers, id)
	}
	for _, p := range c.store.heldBy(id) {
		if e.LockDelay > 0 {
			c.sessions.delays[p.Key] = time.Now().Add(e.LockDelay)
		}
		if e.Behavior == "delete" {
			c.store.delete(p.Key, index)
			continue
		}
		p.Session = ""
		c.store.set(p, index, true)
	}
}

// lostCheck ends the sessions that hang on a check of node that has gone
// critical or is no more, within a Raft entry.
func (c *Cluster) lostCheck(node, check string, index uint64) {
	for _, e := range c.sessions.list(node) {
		if slices.Contains(e.NodeChecks, check) || slices.ContainsFunc(e.ServiceChecks, func(s serviceCheck) bool { return s.ID == check }) {
			c.destroy(e.ID, index)
		}
	}
}

// stopTimers forgets all TTLs, at the end.
func (c *Cluster) stopTimers() {
	for _, t := range c.sessions.timers {
		t.Stop()
	}
	clear(c.sessions.timers)
	for _, a := range c.agents {
		for _, k := range a.checks {
			k.stop()
		}
	}
}

// parseLockDelay takes what Consul takes: a duration in words, or a number of
// nanoseconds, which stands for seconds when it is below 1000.
func parseLockDelay(v any) (time.Duration, error) {
	switch v := v.(type) {
	case string:
		if d, err := time.ParseDuration(strings.TrimSpace(v)); err != nil || d >= 0 {
			return d, err
		}
		return 0, fmt.Errorf("lock delay %q is negative", v)
	case float64:
		if v < 1000 {
			return time.Duration(v * float64(time.Second)), nil
		}
		return time.Duration(v), nil
	}
	return 0, fmt.Errorf("lock delay: want a duration, got %v", v)
}
