package embedded

import "time"

// SetLeader takes the servers' leader away, or gives them one. Without it
// writes and reads of the default kind end with 500 "No cluster leader", also
// those that wait; stale reads go on, and so do events and what an agent
// knows by itself. What the agents have to tell, the next leader hears at
// once; it starts the TTLs of all sessions anew.
func (c *Cluster) SetLeader(up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader == up {
		return
	}
	c.leader = up
	if !up {
		c.since = time.Now()
		c.wake()
		return
	}
	for _, e := range c.sessions.byID {
		c.renew(e)
	}
	for _, a := range c.agents {
		c.reconcile(a)
	}
	c.wake()
}

// Partition cuts a node off, or joins it again. Its agent's HTTP drops all
// connections, events pass it by for good, and its check serfHealth is
// critical, which ends the sessions that were made there. That a node carries
// the server changes nothing for the others. An unknown name is ignored.
func (c *Cluster) Partition(node string, cut bool) {
	a := c.agent(node)
	if a == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.cut == cut {
		return
	}
	a.cut = cut
	if cut {
		a.down()
	} else {
		a.start()
	}
	c.reconcile(a)
	c.wake()
}

// RestartAgent ends the agent's requests and empties its event ring. It keeps
// maintenance, services and checks, as from its data directory. An unknown
// name is ignored.
func (c *Cluster) RestartAgent(node string) {
	a := c.agent(node)
	if a == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a.ring = nil
	a.down()
	if !a.cut {
		a.start()
	}
	c.wake()
}

// reconcile writes down what the leader has to know of a node.
func (c *Cluster) reconcile(a *agent) {
	if !c.leader {
		return
	}
	n := c.catalog.nodes[a.node]
	if alive := n.checks[serfHealth].Status == passing; alive == a.cut {
		c.commit(func(index uint64) { c.putSerfHealth(n, !a.cut, index) })
	}
	a.sync()
}
