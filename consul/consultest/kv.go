package consultest

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"gurney/consul"
	"gurney/kv"
)

var kvTests = []test{
	{"absent is nil, and no error", func(t *testing.T, e env) {
		c := e.client(t)
		for _, how := range []kv.Consistency{kv.Stale, kv.Default} {
			p, err := c.Get(t.Context(), "nothing", how)
			ok(t, err)
			list, err := c.List(t.Context(), "nothing/", how)
			ok(t, err)
			keys, err := c.Keys(t.Context(), "nothing/", how)
			ok(t, err)
			if p != nil || len(list) != 0 || len(keys) != 0 {
				t.Fatalf("got %v, %v, %v", p, list, keys)
			}
		}
	}},
	{"what is set is read back, byte for byte", func(t *testing.T, e env) {
		c := e.client(t)
		for i, v := range [][]byte{[]byte("plain"), {0, 255, '\n'}, {}, []byte(strings.Repeat("x", 300<<10))} {
			key := fmt.Sprintf("a b/%d?c=#%%/ü", i)
			ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: key, Value: v, Flags: 7}))
			p, err := c.Get(t.Context(), key, kv.Default)
			ok(t, err)
			if p == nil || p.Key != key || string(p.Value) != string(v) || p.Flags != 7 || p.ModifyIndex == 0 || p.Session != "" {
				t.Fatalf("value %d: got %.200v", i, p)
			}
		}
	}},
	{"a list is recursive, ordered, and by prefix of the text", func(t *testing.T, e env) {
		c := e.client(t)
		for _, k := range []string{"r/b", "r/a/2", "r/a/10", "r-side", "s"} {
			ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: k, Value: []byte(k)}))
		}
		want := []string{"r/a/10", "r/a/2", "r/b"}
		keys, err := c.Keys(t.Context(), "r/", kv.Default)
		ok(t, err)
		list, err := c.List(t.Context(), "r/", kv.Default)
		ok(t, err)
		var listed []string
		for _, p := range list {
			if string(p.Value) != p.Key {
				t.Errorf("%s holds %q", p.Key, p.Value)
			}
			listed = append(listed, p.Key)
		}
		if !reflect.DeepEqual(keys, want) || !reflect.DeepEqual(listed, want) {
			t.Fatalf("keys %v, list %v, want %v", keys, listed, want)
		}
		if keys, _ := c.Keys(t.Context(), "r", kv.Default); len(keys) != 4 {
			t.Fatalf("below %q: %v", "r", keys)
		}
	}},
	{"a key with a slash first stands outside of the prefix", func(t *testing.T, e env) {
		c := e.client(t)
		key := "/outside/" + t.Name()
		ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: key, Value: []byte("x")}))
		p, err := c.Get(t.Context(), key, kv.Default)
		ok(t, err)
		keys, err := c.Keys(t.Context(), "/outside/", kv.Default)
		ok(t, err)
		if p == nil || p.Key != key || len(keys) != 1 || keys[0] != key {
			t.Fatalf("got %v and %v", p, keys)
		}
		if below, _ := c.Keys(t.Context(), "", kv.Default); len(below) != 0 {
			t.Fatalf("under the prefix: %v", below)
		}
	}},
	{"one call is one request", func(t *testing.T, e env) {
		var n counter
		c := e.counted(t, &n)
		ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: "a"}, kv.Op{Verb: kv.Set, Key: "b"}))
		_, err := c.Get(t.Context(), "a", kv.Stale)
		ok(t, err)
		_, err = c.List(t.Context(), "", kv.Stale)
		ok(t, err)
		if got := []string(n); len(got) != 3 || got[0] != "PUT /v1/txn" {
			t.Fatalf("sent %q", got)
		}
	}},
	{"a value too large is refused for good", func(t *testing.T, e env) {
		c := e.client(t)
		err := c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: "big", Value: make([]byte, 600<<10)})
		var ce *consul.Error
		if !errors.As(err, &ce) || ce.Status != http.StatusRequestEntityTooLarge || ce.Transient() {
			t.Fatalf("got %v", err)
		}
	}},
}

// counter is a transport that notes what passes through it.
type counter []string

func (n *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	*n = append(*n, r.Method+" "+r.URL.Path)
	return http.DefaultTransport.RoundTrip(r)
}
