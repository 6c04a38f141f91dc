// Package consultest says what Gurney takes for granted about Consul, as a
// suite of tests over its HTTP API. A real agent passes it, so the statements
// are true; the embedded server passes the same, so what is tested against it
// holds outside of the tests.
package consultest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"gurney/consul"

	"github.com/rs/zerolog"
)

// patience is how long something that Consul does on its own may take. Nothing
// waits this long unless it fails.
const patience = 20 * time.Second

// Suite runs all tests against the agent whose HTTP address newServer returns.
// It is called once; the agent must be fresh, with a leader, without ACLs.
func Suite(t *testing.T, newServer func(t *testing.T) (addr string)) {
	e := env{addr: newServer(t)}
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"KV", kvTests}, {"Txn", txnTests}, {"Watch", watchTests},
		{"Local", localTests}, {"Drain", drainTests}, {"Service", serviceTests}, {"Role", roleTests}, {"Lock", lockTests},
		{"Event", eventTests}, // last: they fill the ring
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) { test.run(t, e) })
			}
		})
	}
}

type test struct {
	name string
	run  func(t *testing.T, e env)
}

// env is the agent under test.
type env struct{ addr string }

// client makes a client whose keys stand under the test's own name.
func (e env) client(t *testing.T) *consul.Client {
	t.Helper()
	return e.counted(t, nil)
}

func (e env) counted(t *testing.T, via http.RoundTripper) *consul.Client {
	t.Helper()
	c, err := consul.New(consul.Config{Address: e.addr, Prefix: t.Name(), Log: zerolog.Nop(), Transport: via})
	ok(t, err)
	return c
}

// call speaks to the agent past the client, for what the client does not do.
func (e env) call(t *testing.T, method, path string, in, out any) int {
	t.Helper()
	var body bytes.Buffer
	if in != nil {
		ok(t, json.NewEncoder(&body).Encode(in))
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+e.addr+path, &body)
	ok(t, err)
	resp, err := http.DefaultClient.Do(req)
	ok(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ok(t, err)
	if out != nil && resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(answer, out); err != nil {
			t.Fatalf("%s %s answered %q: %v", method, path, answer, err)
		}
	}
	return resp.StatusCode
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what Consul does on its own, until cond is true.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			t.Fatalf("never came: %s", what)
		case <-tick.C:
		}
	}
}
