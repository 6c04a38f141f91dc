package faults_test

import (
	"testing"

	"github.com/rs/zerolog"

	"gurney/consul/embedded"
)

// cluster is Consul, with what can happen to it.
type cluster interface {
	local() string   // address of the node's agent
	servers() string // of one that is always there
	// restart restarts the node's agent: what asks it is cut off, its events
	// are gone.
	restart(t *testing.T)
	// away takes the node's agent away, or brings it back.
	away(t *testing.T, is bool)
	// leaderless takes the servers' leader away, or gives them one.
	leaderless(t *testing.T, is bool)
}

// embeddedCluster is one in this process.
type embeddedCluster struct{ *embedded.Cluster }

func newEmbedded(t *testing.T) cluster {
	t.Helper()
	c, err := embedded.Start(embedded.Options{Nodes: []string{name}, ServerNode: "ops", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return embeddedCluster{c}
}

func (c embeddedCluster) local() string                    { return c.Addr(name) }
func (c embeddedCluster) servers() string                  { return c.Addr("ops") }
func (c embeddedCluster) restart(*testing.T)               { c.RestartAgent(name) }
func (c embeddedCluster) away(_ *testing.T, is bool)       { c.Partition(name, is) }
func (c embeddedCluster) leaderless(_ *testing.T, is bool) { c.SetLeader(!is) }
