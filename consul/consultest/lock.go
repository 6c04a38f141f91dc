package consultest

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"gurney/consul"
	"gurney/kv"
	"gurney/rollout"
)

var lockTests = []test{
	{"one at a time, and who has it", func(t *testing.T, e env) {
		c := e.client(t)
		a, err := c.Lock(t.Context(), "locks/app", "ann")
		ok(t, err)
		_, err = c.Lock(t.Context(), "locks/app", "ben")
		var held *consul.HeldError
		if !errors.As(err, &held) || held.By != "ann" || held.Delay || held.Transient() {
			t.Fatalf("got %v", err)
		}
		p, err := c.Get(t.Context(), "locks/app", kv.Default)
		ok(t, err)
		if p == nil || p.Session != a.Session() {
			t.Fatalf("got %v, want session %s", p, a.Session())
		}
		ok(t, a.Unlock(t.Context()))
		b, err := c.Lock(t.Context(), "locks/app", "ben") // at once: a release has no delay
		ok(t, err)
		ok(t, b.Unlock(t.Context()))
		if p, _ := c.Get(t.Context(), "locks/app", kv.Default); p != nil {
			t.Fatalf("left behind: %v", p)
		}
	}},
	{"a write that wants the lock", func(t *testing.T, e env) {
		c := e.client(t)
		l, err := c.Lock(t.Context(), "lock", "ann")
		ok(t, err)
		write := func(session string) error {
			return c.Txn(t.Context(),
				kv.Op{Verb: kv.CheckSession, Key: "lock", Session: session},
				kv.Op{Verb: kv.Set, Key: "record", Value: []byte("x")})
		}
		ok(t, write(l.Session()))
		conflict(t, "another session", write("00000000-0000-0000-0000-000000000000"))
		ok(t, l.Unlock(t.Context()))
		conflict(t, "after the release", write(l.Session()))
	}},
	{"a session that was ended frees the lock after a moment", func(t *testing.T, e env) {
		c := e.client(t)
		l, err := c.Lock(t.Context(), "lock", "ann")
		ok(t, err)
		if s := e.call(t, http.MethodPut, "/v1/session/destroy/"+l.Session(), nil, nil); s != http.StatusOK {
			t.Fatalf("status %d", s)
		}
		_, err = c.Lock(t.Context(), "lock", "ben")
		var held *consul.HeldError
		if !errors.As(err, &held) || !held.Delay || held.By != "ann" || !held.Transient() {
			t.Fatalf("in the lock-delay: got %v", err)
		}
		var b rollout.Lock
		eventually(t, "the end of the lock-delay", func() bool {
			b, err = c.Lock(t.Context(), "lock", "ben")
			return err == nil
		})
		select {
		case <-l.Lost():
		case <-time.After(patience):
			t.Error("its holder never heard of it")
		}
		ok(t, l.Unlock(t.Context())) // too late, no error, and not ben's
		if p, err := c.Get(t.Context(), "lock", kv.Default); err != nil || p == nil || p.Session != b.Session() {
			t.Errorf("the second holder's lock: %v, %v", p, err)
		}
		ok(t, b.Unlock(t.Context()))
	}},
	{"waiting until it is free", func(t *testing.T, e env) {
		c := e.client(t)
		ok(t, c.WaitFree(t.Context(), "lock", time.Hour)) // nobody ever had it
		l, err := c.Lock(t.Context(), "lock", "ann")
		ok(t, err)
		began := time.Now()
		ok(t, c.WaitFree(t.Context(), "lock", 300*time.Millisecond))
		if took := time.Since(began); took < 300*time.Millisecond {
			t.Errorf("held, it was free after %s", took)
		}
		for name, end := range map[string]func(){
			"given back": func() { ok(t, l.Unlock(t.Context())) },
			"session ended": func() {
				if s := e.call(t, http.MethodPut, "/v1/session/destroy/"+l.Session(), nil, nil); s != http.StatusOK {
					t.Errorf("status %d", s)
				}
			},
		} {
			eventually(t, "the lock", func() bool {
				other, err := c.Lock(t.Context(), "lock", "ann")
				if err == nil {
					l = other
				}
				var held *consul.HeldError
				return err == nil || errors.As(err, &held) && !held.Delay
			})
			free := make(chan error, 1)
			go func() { free <- c.WaitFree(t.Context(), "lock", time.Hour) }()
			ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: "lock/below", Value: []byte(name)})) // no news of the lock
			select {
			case err := <-free:
				t.Fatalf("%s: free while it was held: %v", name, err)
			case <-time.After(300 * time.Millisecond):
			}
			end()
			select {
			case err := <-free:
				ok(t, err)
			case <-time.After(patience):
				t.Fatalf("%s: nobody was told", name)
			}
		}
	}},
	{"a session that is not there", func(t *testing.T, e env) {
		if s := e.call(t, http.MethodPut, "/v1/session/renew/00000000-0000-0000-0000-000000000000", nil, nil); s != http.StatusNotFound {
			t.Fatalf("renewing it: status %d", s)
		}
	}},
}
