package consul_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gurney/consul"
	"gurney/rollout"
)

// wire answers requests without a network, so that time can be a bubble's.
type wire func(*http.Request) (string, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := w(r)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if body == "" {
		status = http.StatusNotFound
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// locked takes a lock over a wire that can be cut and whose key can change
// hands. With hang a cut wire says nothing, rather than that it is cut.
func locked(t *testing.T, hang bool) (l rollout.Lock, cut *atomic.Bool, holder *atomic.Pointer[string]) {
	t.Helper()
	cut, holder = new(atomic.Bool), new(atomic.Pointer[string])
	none, mine := "", "s1"
	holder.Store(&none)
	c, err := consul.New(consul.Config{Address: "consul.test:8500", Transport: wire(func(r *http.Request) (string, error) {
		switch {
		case cut.Load():
			if hang {
				<-r.Context().Done()
				return "", r.Context().Err()
			}
			return "", errors.New("cable cut")
		case r.URL.Path == "/v1/session/create":
			return `{"ID": "s1"}`, nil
		case strings.HasPrefix(r.URL.Path, "/v1/session/renew/"):
			return `[{"ID": "s1"}]`, nil
		case r.Method == http.MethodPut && r.URL.Query().Get("acquire") == "s1":
			holder.Store(&mine)
			return "true", nil
		case r.Method == http.MethodGet && *holder.Load() != "":
			return `[{"Key": "gurney/lock", "Session": "` + *holder.Load() + `"}]`, nil
		case r.Method == http.MethodGet:
			return "", nil // no such key
		}
		return "true", nil
	})})
	must(t, err)
	l, err = c.Lock(t.Context(), "lock", "ann")
	must(t, err)
	return l, cut, holder
}

func lost(l rollout.Lock) bool {
	synctest.Wait()
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

func TestLockOutlivesAShortOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, cut, _ := locked(t, false)
		time.Sleep(time.Hour)
		cut.Store(true)
		time.Sleep(9 * time.Second)
		cut.Store(false)
		time.Sleep(time.Hour)
		if lost(l) {
			t.Error("lost, although its session never ended")
		}
		must(t, l.Unlock(t.Context()))
	})
}

func TestLockIsLostWhenItsSessionMayHaveEnded(t *testing.T) {
	for _, hang := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l, cut, _ := locked(t, hang)
			cut.Store(true)
			time.Sleep(14 * time.Second)
			if lost(l) {
				t.Error("lost before the session's 15 s were over")
			}
			time.Sleep(2 * time.Second)
			if !lost(l) {
				t.Errorf("still held after 16 s without Consul (hanging: %v): somebody else may hold it, too", hang)
			}
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := l.Unlock(short); err == nil {
				t.Error("released without Consul")
			}
		})
	}
}

func TestLockIsLostToWhoTookTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _, holder := locked(t, false)
		other := "s2"
		holder.Store(&other)
		time.Sleep(6 * time.Second)
		if !lost(l) {
			t.Error("still held, although the key is another session's")
		}
		must(t, l.Unlock(t.Context()))
	})
}

// What is between two looks must not add to the time for which a holder that
// is cut off believes itself sure: a lock-delay counts on it.
func TestLockIsLostNoLaterThanItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cut atomic.Bool
		taken := false
		c, err := consul.New(consul.Config{Address: "consul.test:8500", Transport: wire(func(r *http.Request) (string, error) {
			switch {
			case cut.Load():
				return "", errors.New("cable cut")
			case r.URL.Query().Has("wait"): // somebody else's, it says, and has it look 2 s after the first renewal
				time.Sleep(7 * time.Second)
				return `[{"Key": "gurney/lock", "Session": "s2"}]`, nil
			case r.URL.Path == "/v1/session/create":
				return `{"ID": "s1"}`, nil
			case strings.HasPrefix(r.URL.Path, "/v1/session/renew/"):
				return `[{"ID": "s1"}]`, nil
			case r.Method == http.MethodGet && taken:
				return `[{"Key": "gurney/lock", "Session": "s1"}]`, nil
			case r.Method == http.MethodGet:
				return "", nil // no such key
			}
			taken = true
			return "true", nil
		})})
		must(t, err)
		l, err := c.LockWith(t.Context(), "lock", "ann", consul.LockOptions{TTL: 15 * time.Second, Watch: true})
		must(t, err)
		time.Sleep(7*time.Second + time.Millisecond)
		synctest.Wait()
		cut.Store(true)
		time.Sleep(15*time.Second - 2*time.Millisecond)
		if lost(l) {
			t.Error("lost before the session's 15 s were over")
		}
		time.Sleep(2 * time.Millisecond)
		if !lost(l) {
			t.Error("still held 15 s after the last renewal: somebody else may hold it, too")
		}
		_ = l.Unlock(t.Context()) // it can't
	})
}
