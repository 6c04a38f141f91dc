package faults_test

import (
	"slices"
	"strings"
	"testing"

	"gurney/agent/hold"
	"gurney/integration/fleet"
)

// realCluster is one server and a client on the node.
type realCluster struct {
	*fleet.Consul
}

// newReal starts one for a node.
func newReal(t *testing.T) cluster {
	t.Helper()
	c, err := fleet.StartConsul(t.Context(), t.TempDir(), fleet.ConsulOptions{Servers: []string{"ops"}, Clients: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Kill()
		if t.Failed() {
			t.Logf("Consul said:\n%s", c.Log())
		}
	})
	return realCluster{c}
}

func (c realCluster) local() string   { return c.Node(name).Addr }
func (c realCluster) servers() string { return c.Node("ops").Addr }

func (c realCluster) restart(t *testing.T) {
	c.away(t, true)
	c.away(t, false)
}

func (c realCluster) away(t *testing.T, is bool) { c.stop(t, name, is) }

// leaderless stops the only server: nothing is left that could lead.
func (c realCluster) leaderless(t *testing.T, is bool) { c.stop(t, "ops", is) }

func (c realCluster) stop(t *testing.T, node string, is bool) {
	t.Helper()
	n := c.Node(node)
	if is {
		n.Kill()
		return
	}
	err := n.Start()
	if err == nil {
		err = n.Ready(t.Context(), false)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The table's faults of Consul, against a real one: in the middle of Chef, and
// when the result is to be told.
func TestFaultsOfARealConsul(t *testing.T) {
	for _, strategy := range []string{"release", "rsync"} {
		for _, f := range faults {
			if f.name != "Consul agent restarts" && f.name != "leader lost" {
				continue
			}
			for _, p := range points {
				if !slices.Contains([]string{"chef", hold.Report}, p.name) {
					continue
				}
				t.Run(strings.ReplaceAll(strategy+"/"+f.name+"/"+p.name, " ", "-"), func(t *testing.T) {
					lane(t)
					strike(t, nodeOptions{strategy: strategy, consul: newReal(t)}, f, p)
				})
			}
		}
	}
}
