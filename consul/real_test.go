package consul_test

import (
	"os"
	"testing"

	"gurney/integration/fleet"
)

// realConsul starts a Consul agent of its own, a server with the node name
// node, for as long as the test runs, and returns its HTTP address. config is
// more configuration as JSON. Without the binary that `make tools` builds the
// test skips, and in CI that fails.
func realConsul(t *testing.T, node, config string) (addr string) {
	t.Helper()
	if _, err := fleet.Tool("consul"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED, nothing was tested against a real Consul: %v", err)
	}
	c, err := fleet.StartConsul(t.Context(), t.TempDir(), fleet.ConsulOptions{Servers: []string{node}, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Kill() // it keeps nothing
		if t.Failed() {
			t.Logf("Consul's log:\n%s", c.Log())
		}
	})
	return c.Node(node).Addr
}
