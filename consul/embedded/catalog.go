package embedded

import (
	"maps"
	"slices"
)

// consulService is the service of the server itself.
const consulService = "consul"

// catalog is what the servers know of the nodes. Its indexes say when
// something of a kind was last changed.
type catalog struct {
	nodes map[string]*node

	nodesAt, servicesAt, checksAt uint64
	// namedAt is when anything of a service of that name was changed: an
	// instance, its checks, or those of a node that it is on.
	namedAt map[string]uint64
}

// node is a node with what is on it.
type node struct {
	ID, Node, Address        string
	server                   bool
	services                 map[string]service
	checks                   map[string]healthCheck
	CreateIndex, ModifyIndex uint64
}

func newCatalog() catalog {
	return catalog{nodes: map[string]*node{}, namedAt: map[string]uint64{}}
}

// sorted returns the nodes by name.
func (t *catalog) sorted() []*node {
	out := make([]*node, 0, len(t.nodes))
	for _, name := range slices.Sorted(maps.Keys(t.nodes)) {
		out = append(out, t.nodes[name])
	}
	return out
}

// join puts the node of an agent into the catalog, which the leader does when
// gossip tells it of a new member.
func (c *Cluster) join(a *agent) {
	c.commit(func(index uint64) {
		n := &node{
			ID: a.id, Node: a.node, Address: a.ip, server: a == c.server, services: map[string]service{}, checks: map[string]healthCheck{},
			CreateIndex: index, ModifyIndex: index,
		}
		c.catalog.nodes[a.node] = n
		c.catalog.nodesAt = index
		if n.server {
			c.putService(n, service{
				ID: consulService, Service: consulService, Tags: []string{}, Port: 8300,
				Meta: map[string]string{"version": version, "raft_version": "3"}, Weights: weights{1, 1},
			}, index)
		}
		c.putSerfHealth(n, true, index)
	})
}

// putSerfHealth notes whether gossip reaches the node.
func (c *Cluster) putSerfHealth(n *node, alive bool, index uint64) {
	k := healthCheck{
		Node: n.Node, CheckID: serfHealth, Name: "Serf Health Status", ServiceTags: []string{},
		Status: passing, Output: "Agent alive and reachable",
	}
	if !alive {
		k.Status, k.Output = critical, "Agent not live or unreachable"
	}
	c.putCheck(n, k, index)
}

func (c *Cluster) putService(n *node, s service, index uint64) {
	old, exists := n.services[s.ID]
	if exists && old.Service != s.Service {
		c.catalog.namedAt[old.Service] = index
	}
	s.CreateIndex, s.ModifyIndex = index, index
	if exists {
		s.CreateIndex = old.CreateIndex
	}
	n.services[s.ID] = s
	c.catalog.servicesAt = index
	c.catalog.namedAt[s.Service] = index
}

// dropService takes a service and its checks out of the catalog.
func (c *Cluster) dropService(n *node, id string, index uint64) {
	for checkID, k := range n.checks {
		if k.ServiceID == id {
			c.dropCheck(n, checkID, index)
		}
	}
	name := n.services[id].Service
	delete(n.services, id)
	c.catalog.servicesAt = index
	c.catalog.namedAt[name] = index
}

func (c *Cluster) putCheck(n *node, k healthCheck, index uint64) {
	k.CreateIndex, k.ModifyIndex = index, index
	if old, ok := n.checks[k.CheckID]; ok {
		k.CreateIndex = old.CreateIndex
	}
	n.checks[k.CheckID] = k
	c.checkChanged(n, k, index)
	if k.Status == critical {
		c.lostCheck(n.Node, k.CheckID, index)
	}
}

func (c *Cluster) dropCheck(n *node, id string, index uint64) {
	k := n.checks[id]
	delete(n.checks, id)
	c.checkChanged(n, k, index)
	c.lostCheck(n.Node, id, index)
}

func (c *Cluster) checkChanged(n *node, k healthCheck, index uint64) {
	c.catalog.checksAt = index
	if k.ServiceID != "" {
		c.catalog.namedAt[k.ServiceName] = index
		return
	}
	for _, s := range n.services {
		c.catalog.namedAt[s.Service] = index
	}
}

// checksOf returns the checks of a node that pass filter, in the order of
// their ids.
func (n *node) checksOf(filter func(healthCheck) bool) []healthCheck {
	var out []healthCheck
	for _, id := range slices.Sorted(maps.Keys(n.checks)) {
		if k := n.checks[id]; filter(k) {
			out = append(out, k)
		}
	}
	return out
}
