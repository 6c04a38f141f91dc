package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"gurney/agent/state"
	"gurney/config"
	"gurney/consul"
)

// Without Consul a node goes by the name of last time, but a clone does not:
// the name is another's, and so is what waits in the outbox.
func TestNamesWithoutConsul(t *testing.T) {
	nobody, err := consul.New(consul.Config{Address: "127.0.0.1:1", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ machine, name string }{{machineID(), "web-1"}, {"another's", ""}} {
		home, err := state.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := home.Begin(state.Life{Machine: c.machine, Consul: "one"}); err != nil {
			t.Fatal(err)
		}
		if err := home.SaveConsulNode("web-1"); err != nil {
			t.Fatal(err)
		}
		limit := time.Minute // more than it takes, however full the machine is
		if c.name == "" {
			limit = time.Second // it waits for ever
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		name, _, err := nodeNames(ctx, config.Default(), nobody, home, zerolog.Nop())
		cancel()
		if waits := errors.Is(err, context.DeadlineExceeded); name != c.name || waits != (c.name == "") {
			t.Errorf("machine %q: name %q, %v", c.machine, name, err)
		}
	}
}
