package consul_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gurney/consul"
	"gurney/event"
	"gurney/kv"
)

// speaking makes a client of a server that answers by h.
func speaking(t *testing.T, h http.HandlerFunc) *consul.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := consul.New(consul.Config{Address: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answering makes one of a server that always answers the same.
func answering(t *testing.T, status int, body string) *consul.Client {
	t.Helper()
	return speaking(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

func TestWhatAnswersMean(t *testing.T) {
	for _, test := range []struct {
		name      string
		status    int
		body      string
		kind      error // nil: none of kv's
		transient bool
	}{
		{"election", 500, "No cluster leader", kv.ErrUnreachable, true},
		{"server gone", 500, "rpc error making call: EOF", kv.ErrUnreachable, true},
		{"rate limit", 429, "Your request has exceeded the rate limit", kv.ErrUnreachable, true},
		{"rate limit, by error", 503, "rpc error making call: rate limit exceeded", kv.ErrUnreachable, true},
		{"proxy", 502, "<html>\nBad gateway", kv.ErrUnreachable, true},
		{"denied", 403, "Permission denied: token with AccessorID 'x' lacks permission 'key:read'", kv.ErrForbidden, false},
		{"denied in an rpc", 500, "rpc error making call: Permission denied", kv.ErrForbidden, false},
		{"token gone", 403, "ACL not found", kv.ErrForbidden, false},
		{"bad request", 400, "Missing value for ?wait", nil, false},
		{"too large", 413, "Request body too large", nil, false},
		{"broken filter", 500, "Invalid node filter: error parsing regexp", nil, false},
	} {
		c := answering(t, test.status, test.body)
		calls := map[string]func() error{
			"Get": func() error { _, err := c.Get(t.Context(), "k", kv.Stale); return err },
			"Txn": func() error { return c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: "k"}) },
			"Fire": func() error {
				_, err := c.Fire(t.Context(), event.Event{Name: "n", Payload: []byte("p")})
				return err
			},
			"SetMaintenance": func() error { return c.SetMaintenance(t.Context(), true, "r") },
			"Heartbeat":      func() error { return c.Heartbeat(t.Context(), consul.Pass, "") },
		}
		for call, do := range calls {
			err := do()
			if err == nil {
				t.Errorf("%s, %s: no error", test.name, call)
				continue
			}
			for _, kind := range []error{kv.ErrConflict, kv.ErrUnreachable, kv.ErrForbidden} {
				want := kind == test.kind //nolint:errorlint // which of the three it is
				if got := errors.Is(err, kind); got != want {
					t.Errorf("%s, %s: errors.Is(%q, %q) is %v", test.name, call, err, kind, got)
				}
			}
			if isTransient(err) != test.transient {
				t.Errorf("%s, %s: %q says transient: %v", test.name, call, err, !test.transient)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%s, %s: more than one line: %q", test.name, call, err)
			}
		}
	}
}

func isTransient(err error) bool {
	var t interface{ Transient() bool }
	return errors.As(err, &t) && t.Transient()
}

func TestErrorsSayWhatAndWhere(t *testing.T) {
	c := answering(t, 500, "No cluster leader")
	_, err := c.Get(t.Context(), "apps/chef", kv.Default)
	for _, want := range []string{"read gurney/apps/chef", "127.0.0.1", kv.ErrUnreachable.Error(), "500 No cluster leader"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	err = c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: "a"}, kv.Op{Verb: kv.Set, Key: "b"})
	if !strings.HasPrefix(err.Error(), "write gurney/a and 1 more (") {
		t.Errorf("got %q", err)
	}
}

// A transaction's 409 can be a permission, and a wrong check is named by the
// key that the caller knows.
func TestRolledBack(t *testing.T) {
	ops := []kv.Op{{Verb: kv.Set, Key: "a"}, {Verb: kv.CAS, Key: "b", Index: 7}}
	err := answering(t, 409, `{"Errors":[{"OpIndex":1,"What":"failed to set key \"gurney/b\", index is stale"}]}`).Txn(t.Context(), ops...)
	if !errors.Is(err, kv.ErrConflict) || !strings.Contains(err.Error(), "cas b: failed to set") {
		t.Errorf("stale: %v", err)
	}
	err = answering(t, 409, `{"Errors":[{"OpIndex":0,"What":"Permission denied: lacks permission 'key:write' on \"gurney/a\""}]}`).Txn(t.Context(), ops...)
	if !errors.Is(err, kv.ErrForbidden) || errors.Is(err, kv.ErrConflict) {
		t.Errorf("denied: %v", err)
	}
}

// silent accepts connections and never answers.
func silent(t *testing.T) *consul.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := consul.New(consul.Config{Address: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestContextEndsACall(t *testing.T) {
	c := silent(t)
	calls := map[string]func(context.Context) error{
		"Get":         func(ctx context.Context) error { _, err := c.Get(ctx, "k", kv.Stale); return err },
		"GetIndexed":  func(ctx context.Context) error { _, _, err := c.GetIndexed(ctx, "k", 7, time.Hour); return err },
		"Txn":         func(ctx context.Context) error { return c.Txn(ctx, kv.Op{Verb: kv.Set, Key: "k"}) },
		"Events":      func(ctx context.Context) error { _, _, err := c.Events(ctx, 7, time.Hour); return err },
		"Fire":        func(ctx context.Context) error { _, err := c.Fire(ctx, event.Event{Name: "n"}); return err },
		"Self":        func(ctx context.Context) error { _, err := c.Self(ctx); return err },
		"Maintenance": func(ctx context.Context) error { _, err := c.Maintenance(ctx); return err },
		"Set":         func(ctx context.Context) error { return c.SetMaintenance(ctx, false, "") },
		"Register":    func(ctx context.Context) error { return c.Register(ctx, consul.Registration{TTL: time.Second}) },
		"Heartbeat":   func(ctx context.Context) error { return c.Heartbeat(ctx, consul.Pass, "") },
		"Lock":        func(ctx context.Context) error { _, err := c.Lock(ctx, "k", "v"); return err },
	}
	for name, call := range calls {
		short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := call(short); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, kv.ErrUnreachable) || !isTransient(err) {
			t.Errorf("%s past its deadline: %v; want out of reach", name, err)
		}
		cancel()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := call(gone); !errors.Is(err, context.Canceled) || errors.Is(err, kv.ErrUnreachable) {
			t.Errorf("%s, cancelled: %v; want that and no more", name, err)
		}
	}
}
