package embedded

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// version is the Consul whose answers these are.
const version = "1.22.0"

// agent is the Consul agent of one node: what a node knows by itself. All
// below addr is under the cluster's mutex.
type agent struct {
	c    *Cluster
	node string
	id   string // the node's, a UUID
	ip   string // advertised; nothing listens there
	http *http.Server
	addr string // of http

	up       context.Context // ends when the agent is cut off or restarted
	down     context.CancelFunc
	cut      bool
	ring     []userEvent // oldest first
	services map[string]service
	checks   map[string]*localCheck
}

// service is a service of a node, as its agent or the catalog has it. It is
// never changed once it is stored.
type service struct {
	ID, Service       string
	Tags              []string // never nil
	Meta              map[string]string
	Port              int
	Address           string
	Weights           weights
	EnableTagOverride bool
	CreateIndex       uint64
	ModifyIndex       uint64
}

type weights struct{ Passing, Warning int }

// same says whether there is nothing to tell the servers.
func (s service) same(t service) bool {
	return s.ID == t.ID && s.Service == t.Service && slices.Equal(s.Tags, t.Tags) && maps.Equal(s.Meta, t.Meta) &&
		s.Port == t.Port && s.Address == t.Address && s.Weights == t.Weights && s.EnableTagOverride == t.EnableTagOverride
}

// tagged says whether the service has the tag, in capitals or not.
func (s service) tagged(tag string) bool {
	return slices.ContainsFunc(s.Tags, func(t string) bool { return strings.EqualFold(t, tag) })
}

func newAgent(c *Cluster, node string, i int) *agent {
	a := &agent{
		c: c, node: node, id: newID(), ip: fmt.Sprintf("127.0.%d.%d", i/250, i%250+1),
		services: map[string]service{}, checks: map[string]*localCheck{},
	}
	a.start()
	return a
}

// start lets the agent answer until down is called.
func (a *agent) start() { a.up, a.down = context.WithCancel(a.c.life) }

// lifetime ends with the agent's connections.
func (a *agent) lifetime() context.Context {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	return a.up
}

// sync tells the servers what has changed on the node, one Raft entry for each
// service with its checks and for each other check. Without a leader, or cut
// off, that is for later.
func (a *agent) sync() {
	c := a.c
	n := c.catalog.nodes[a.node]
	if !c.leader || a.cut || n == nil {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(n.services)) {
		if _, ok := a.services[id]; !ok && id != consulService {
			c.commit(func(index uint64) { c.dropService(n, id, index) })
		}
	}
	for _, id := range slices.Sorted(maps.Keys(n.checks)) {
		if _, ok := a.checks[id]; !ok && id != serfHealth {
			c.commit(func(index uint64) { c.dropCheck(n, id, index) })
		}
	}
	for _, id := range slices.Sorted(maps.Keys(a.services)) {
		if s := a.services[id]; !s.same(n.services[id]) {
			c.commit(func(index uint64) {
				c.putService(n, s, index)
				a.syncChecks(n, id, func(k healthCheck) { c.putCheck(n, k, index) })
			})
		}
	}
	for _, id := range append(slices.Sorted(maps.Keys(a.services)), "") {
		a.syncChecks(n, id, func(k healthCheck) { c.commit(func(index uint64) { c.putCheck(n, k, index) }) })
	}
}

// syncChecks puts those checks of a service, "" for the node's own, that the
// catalog has otherwise. Output alone is no news: Consul, too, holds it back
// for minutes so that heartbeats cost no writes.
func (a *agent) syncChecks(n *node, serviceID string, put func(healthCheck)) {
	for _, id := range slices.Sorted(maps.Keys(a.checks)) {
		k := a.checks[id].healthCheck
		if k.ServiceID != serviceID {
			continue
		}
		if known, ok := n.checks[id]; !ok || !k.same(known) {
			put(k)
		}
	}
}

// register puts a service on the agent in place of one with the same id.
func (a *agent) register(s service, checks []*localCheck, replace bool) {
	a.services[s.ID] = s
	for id, k := range a.checks {
		if k.ServiceID != s.ID {
			continue
		}
		k.ServiceName, k.ServiceTags = s.Service, s.Tags
		if replace && k.Type != maintenanceType && !slices.ContainsFunc(checks, func(n *localCheck) bool { return n.CheckID == id }) {
			a.removeCheck(id)
		}
	}
	for _, k := range checks {
		a.addCheck(k)
	}
	a.sync()
}

func (a *agent) deregister(id string) bool {
	if _, ok := a.services[id]; !ok {
		return false
	}
	delete(a.services, id)
	for checkID, k := range a.checks {
		if k.ServiceID == id {
			a.removeCheck(checkID)
		}
	}
	a.sync()
	return true
}

// addCheck puts a check on the agent. One that it replaces leaves it its
// status, so that to register again is no flap; the TTL starts anew.
func (a *agent) addCheck(k *localCheck) {
	if old := a.checks[k.CheckID]; old != nil {
		old.stop()
		k.Status, k.Output = old.Status, old.Output
	}
	a.checks[k.CheckID] = k
	a.arm(k)
}

func (a *agent) removeCheck(id string) {
	if k := a.checks[id]; k != nil {
		k.stop()
		delete(a.checks, id)
	}
}

// arm starts the check's TTL anew.
func (a *agent) arm(k *localCheck) {
	k.stop()
	if k.ttl == 0 {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(k.ttl, func() {
		a.c.mu.Lock()
		defer a.c.mu.Unlock()
		if k.timer != timer || a.checks[k.CheckID] != k || a.c.life.Err() != nil {
			return // heard of, replaced or removed in the meantime
		}
		k.expire()
		a.sync()
	})
	k.timer = timer
}
