package consultest

import (
	"testing"
	"time"

	"gurney/kv"
)

var watchTests = []test{
	{"a key", func(t *testing.T, e env) {
		c := e.client(t)
		p, index, err := c.GetIndexed(t.Context(), "k", 0, time.Minute)
		ok(t, err)
		if p != nil || index == 0 {
			t.Fatalf("got %v at %d", p, index)
		}
		got := make(chan *kv.Pair, 1)
		go func() {
			at := index
			for {
				p, next, err := c.GetIndexed(t.Context(), "k", at, time.Minute)
				if err != nil || p != nil {
					got <- p
					return
				}
				at = next // woken for nothing: allowed
			}
		}()
		ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: "k", Value: []byte("x")}))
		select {
		case p := <-got:
			if p == nil || string(p.Value) != "x" || p.ModifyIndex <= index {
				t.Fatalf("got %v after %d", p, index)
			}
		case <-time.After(patience):
			t.Fatal("the watcher slept through the change")
		}
	}},
	{"the wait ends by itself, with the same answer", func(t *testing.T, e env) {
		c := e.client(t)
		ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: "k", Value: []byte("x")}))
		_, index, err := c.GetIndexed(t.Context(), "k", 0, 0)
		ok(t, err)
		p, again, err := c.GetIndexed(t.Context(), "k", index, 100*time.Millisecond)
		ok(t, err)
		if p == nil || again != index {
			t.Fatalf("got %v, index %d became %d", p, index, again)
		}
	}},
	{"a list wakes for a deletion", func(t *testing.T, e env) {
		c := e.client(t)
		ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: "d/a"}, kv.Op{Verb: kv.Set, Key: "d/b"}))
		list, index, err := c.ListIndexed(t.Context(), "d/", 0, 0)
		ok(t, err)
		if len(list) != 2 {
			t.Fatalf("got %v", list)
		}
		got := make(chan []kv.Pair, 1)
		go func() {
			for at := index; ; {
				list, next, err := c.ListIndexed(t.Context(), "d/", at, time.Minute)
				if err != nil || len(list) != 2 {
					got <- list
					return
				}
				at = next
			}
		}()
		ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.Delete, Key: "d/a"}))
		select {
		case list := <-got:
			if len(list) != 1 || list[0].Key != "d/b" {
				t.Fatalf("got %v", list)
			}
		case <-time.After(patience):
			t.Fatal("the watcher slept through the deletion")
		}
	}},
	{"an index that is ahead waits, and comes back lower", func(t *testing.T, e env) {
		c := e.client(t)
		ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: "k"}))
		_, index, err := c.GetIndexed(t.Context(), "k", 0, 0)
		ok(t, err)
		_, after, err := c.GetIndexed(t.Context(), "k", index+1e6, 100*time.Millisecond)
		ok(t, err)
		if after >= index+1e6 {
			t.Fatalf("got %d after asking for %d", after, index+1e6)
		}
	}},
}
