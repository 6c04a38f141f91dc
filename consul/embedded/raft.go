package embedded

import (
	"crypto/rand"
	"fmt"
)

// commit writes one Raft entry: change is told the entry's index. The caller
// holds mu and knows that there is a leader.
func (c *Cluster) commit(change func(index uint64)) {
	c.index++
	c.writes++
	change(c.index)
	c.wake()
}

// wake lets all waiting queries look again. The caller holds mu.
func (c *Cluster) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Cluster) agent(node string) *agent {
	for _, a := range c.agents {
		if a.node == node {
			return a
		}
	}
	return nil
}

// newID makes a random id in the form of a UUID, as Consul's are.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v != zero {
		return v
	}
	return otherwise
}
