package embedded_test

import (
	"testing"

	"gurney/consul/consultest"
	"gurney/consul/embedded"

	"github.com/rs/zerolog"
)

// start runs a cluster for as long as the test.
func start(t *testing.T, o embedded.Options) *embedded.Cluster {
	t.Helper()
	o.Log = zerolog.Nop()
	c, err := embedded.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestConformance(t *testing.T) {
	consultest.Suite(t, func(t *testing.T) string {
		return start(t, embedded.Options{Nodes: []string{"web-1", "web-2"}}).Addr("web-1")
	})
}
