package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"gurney/consul"
)

// node is the client as the binary's wiring makes it.
type node struct{ *consul.Client }

func (n node) Maintenance(ctx context.Context) (bool, string, error) {
	m, err := n.Client.Maintenance(ctx)
	return m.On, m.Reason, err
}

func (n node) Register(ctx context.Context, apps []string, name, version string, ttl time.Duration) error {
	return n.Client.Register(ctx, consul.Registration{Apps: apps, Node: name, Version: version, TTL: ttl})
}

func (n node) Heartbeat(ctx context.Context, warn bool, note string) error {
	if warn {
		return n.Client.Heartbeat(ctx, consul.Warn, note)
	}
	return n.Client.Heartbeat(ctx, consul.Pass, note)
}

// wire counts the agent's requests, and keeps what it writes.
type wire struct {
	mu       sync.Mutex
	requests []string // "PUT /v1/txn"
	written  []string // keys, in the order in which Consul took them
	txn      func(*http.Request) (answered bool)
	get      func(*http.Request) *http.Response // nil: Consul answers
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	line := r.Method + " " + r.URL.Path
	w.mu.Lock()
	w.requests = append(w.requests, line)
	hook, get := w.txn, w.get
	w.mu.Unlock()
	if get != nil && r.Method == http.MethodGet {
		if resp := get(r); resp != nil {
			return resp, nil
		}
	}
	if line != "PUT /v1/txn" {
		return http.DefaultTransport.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if hook != nil && hook(r) {
		return nil, context.Cause(r.Context())
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusOK {
		var ops []struct{ KV struct{ Verb, Key string } }
		if err := json.Unmarshal(body, &ops); err != nil {
			return nil, err
		}
		w.mu.Lock()
		for _, o := range ops {
			w.written = append(w.written, o.KV.Verb+" "+o.KV.Key)
		}
		w.mu.Unlock()
	}
	return resp, err
}

// count is how many requests so far begin so.
func (w *wire) count(prefix string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

func (w *wire) writes() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.written...)
}

func (w *wire) onTxn(f func(*http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.txn = f
}

func (w *wire) onGet(f func(*http.Request) *http.Response) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.get = f
}

// locked is a log that may be read while it is written.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
