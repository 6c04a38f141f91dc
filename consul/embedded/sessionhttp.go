package embedded

import (
	"net/http"
	"time"
)

func sessionCreate(q *request) (answer, error) {
	var in struct {
		Name, Node, Behavior, TTL string
		LockDelay                 any
		Checks, NodeChecks        []string // Checks is the old name
		ServiceChecks             []serviceCheck
	}
	if err := q.decode(&in); err != nil {
		return answer{}, err
	}
	c := q.c
	e := session{
		ID: newID(), Name: in.Name, Node: orElse(in.Node, q.agent.node), LockDelay: c.lockDelay,
		Behavior: orElse(in.Behavior, "release"), TTL: in.TTL, NodeChecks: append(in.NodeChecks, in.Checks...), ServiceChecks: in.ServiceChecks,
	}
	if in.NodeChecks == nil && in.Checks == nil {
		e.NodeChecks = []string{serfHealth}
	}
	var err error
	if in.LockDelay != nil {
		if e.LockDelay, err = parseLockDelay(in.LockDelay); err != nil {
			return answer{}, badRequest("Request decode failed: %v", err)
		}
	}
	if e.Behavior != "release" && e.Behavior != "delete" {
		return answer{}, broken("Invalid Behavior setting '%s'", e.Behavior)
	}
	if e.TTL != "" {
		if e.ttl, err = time.ParseDuration(e.TTL); err != nil {
			return answer{}, broken("Session TTL '%s' invalid: %v", e.TTL, err)
		}
		if e.ttl != 0 && (e.ttl < c.ttlMin || e.ttl > maxTTL) {
			return answer{}, broken("Invalid Session TTL '%d', must be between [%v=%v]", e.ttl, c.ttlMin, maxTTL)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.leader {
		return answer{}, errNoLeader
	}
	if err := c.mayMake(e); err != nil {
		return answer{}, err
	}
	c.commit(func(index uint64) {
		e.CreateIndex, e.ModifyIndex = index, index
		c.sessions.byID[e.ID] = e
		c.sessions.last = index
		c.renew(e)
	})
	return answer{json: struct{ ID string }{e.ID}}, nil
}

// mayMake says whether the node and the checks of a session are there, and
// well.
func (c *Cluster) mayMake(e session) error {
	n := c.catalog.nodes[e.Node]
	if n == nil {
		return broken("apply failed: Missing node registration")
	}
	ids := e.NodeChecks
	for _, s := range e.ServiceChecks {
		ids = append(ids[:len(ids):len(ids)], s.ID)
	}
	for _, id := range ids {
		check, ok := n.checks[id]
		if !ok {
			return broken("apply failed: Missing check '%s' registration", id)
		}
		if check.Status == critical {
			return broken("apply failed: Check '%s' is in critical state", id)
		}
	}
	return nil
}

func sessionRenew(q *request) (answer, error) {
	if q.rest == "" {
		return answer{}, badRequest("Missing session")
	}
	c := q.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.leader {
		return answer{}, errNoLeader
	}
	e, ok := c.sessions.byID[q.rest]
	if !ok {
		return answer{}, refuse(http.StatusNotFound, "Session id '%s' not found", q.rest)
	}
	c.renew(e)
	return answer{json: []session{e}}, nil
}

func sessionDestroy(q *request) (answer, error) {
	if q.rest == "" {
		return answer{}, badRequest("Missing session")
	}
	err := q.c.write(func(index uint64) { q.c.destroy(q.rest, index) })
	return answer{json: true}, err
}

func sessionInfo(q *request) (answer, error) {
	if q.rest == "" {
		return answer{}, badRequest("Missing session")
	}
	s := &q.c.sessions
	return q.ask(func() (result, error) {
		out := []session{}
		if e, ok := s.byID[q.rest]; ok {
			out = append(out, e)
		}
		return result{index: s.last, json: out}, nil
	})
}

// sessionList serves /session/list, and /session/node/ with a node's name.
func sessionList(q *request) (answer, error) {
	s := &q.c.sessions
	return q.ask(func() (result, error) {
		return result{index: s.last, json: s.list(q.rest)}, nil
	})
}
