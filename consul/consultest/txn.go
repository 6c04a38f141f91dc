package consultest

import (
	"errors"
	"testing"

	"gurney/kv"
)

var txnTests = []test{
	{"check-and-set", func(t *testing.T, e env) {
		c := e.client(t)
		cas := func(value string, index uint64) error {
			return c.Txn(t.Context(), kv.Op{Verb: kv.CAS, Key: "k", Value: []byte(value), Index: index})
		}
		if err := cas("too early", 9); !errors.Is(err, kv.ErrConflict) {
			t.Fatalf("with an index, on nothing: %v", err)
		}
		ok(t, cas("first", 0))
		conflict(t, "index 0, on something", cas("second", 0))
		p, err := c.Get(t.Context(), "k", kv.Default)
		ok(t, err)
		ok(t, cas("third", p.ModifyIndex))
		conflict(t, "an index of the past", cas("fourth", p.ModifyIndex))
		q, err := c.Get(t.Context(), "k", kv.Default)
		ok(t, err)
		if string(q.Value) != "third" || q.ModifyIndex <= p.ModifyIndex {
			t.Fatalf("got %q at %d, after %d", q.Value, q.ModifyIndex, p.ModifyIndex)
		}
	}},
	{"all or nothing", func(t *testing.T, e env) {
		c := e.client(t)
		conflict(t, "a false check", c.Txn(t.Context(),
			kv.Op{Verb: kv.Set, Key: "a", Value: []byte("x")},
			kv.Op{Verb: kv.CheckIndex, Key: "b", Index: 1}))
		if p, _ := c.Get(t.Context(), "a", kv.Default); p != nil {
			t.Fatal("the first half was written")
		}
	}},
	{"one transaction has one index", func(t *testing.T, e env) {
		c := e.client(t)
		ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: "a"}, kv.Op{Verb: kv.Set, Key: "b"}))
		list, err := c.List(t.Context(), "", kv.Default)
		ok(t, err)
		if len(list) != 2 || list[0].ModifyIndex != list[1].ModifyIndex {
			t.Fatalf("got %v", list)
		}
	}},
	{"the same value set again leaves the index", func(t *testing.T, e env) {
		// A node that writes what stands there wakes nobody.
		c := e.client(t)
		set := kv.Op{Verb: kv.Set, Key: "a", Value: []byte("x")}
		ok(t, c.Txn(t.Context(), set))
		p, err := c.Get(t.Context(), "a", kv.Default)
		ok(t, err)
		ok(t, c.Txn(t.Context(), set))
		q, err := c.Get(t.Context(), "a", kv.Default)
		ok(t, err)
		if p.ModifyIndex != q.ModifyIndex {
			t.Fatalf("%d became %d", p.ModifyIndex, q.ModifyIndex)
		}
	}},
	{"deleting", func(t *testing.T, e env) {
		c := e.client(t)
		for _, k := range []string{"tree/a", "tree/b", "treehouse", "one", "two"} {
			ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: k}))
		}
		two, err := c.Get(t.Context(), "two", kv.Default)
		ok(t, err)
		conflict(t, "delete-cas of the past", c.Txn(t.Context(), kv.Op{Verb: kv.DeleteCAS, Key: "two", Index: two.ModifyIndex - 1}))
		ok(t, c.Txn(t.Context(),
			kv.Op{Verb: kv.DeleteTree, Key: "tree/"},
			kv.Op{Verb: kv.Delete, Key: "one"},
			kv.Op{Verb: kv.Delete, Key: "never was"},
			kv.Op{Verb: kv.DeleteCAS, Key: "two", Index: two.ModifyIndex}))
		keys, err := c.Keys(t.Context(), "", kv.Default)
		ok(t, err)
		if len(keys) != 1 || keys[0] != "treehouse" {
			t.Fatalf("left: %v", keys)
		}
	}},
	{"check-index", func(t *testing.T, e env) {
		c := e.client(t)
		ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.Set, Key: "a"}))
		p, err := c.Get(t.Context(), "a", kv.Default)
		ok(t, err)
		set := kv.Op{Verb: kv.Set, Key: "b"}
		ok(t, c.Txn(t.Context(), kv.Op{Verb: kv.CheckIndex, Key: "a", Index: p.ModifyIndex}, set))
		conflict(t, "another index", c.Txn(t.Context(), kv.Op{Verb: kv.CheckIndex, Key: "a", Index: p.ModifyIndex + 1}, set))
	}},
	{"64 operations pass, 65 are not sent", func(t *testing.T, e env) {
		var n counter
		c := e.counted(t, &n)
		ops := make([]kv.Op, kv.MaxOps)
		for i := range ops {
			ops[i] = kv.Op{Verb: kv.Set, Key: "k" + string(rune('A'+i))}
		}
		ok(t, c.Txn(t.Context(), ops...))
		if err := c.Txn(t.Context(), append(ops, kv.Op{Verb: kv.Set, Key: "more"})...); err == nil || len(n) != 1 {
			t.Fatalf("got %v after %d requests", err, len(n))
		}
	}},
}

func conflict(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, kv.ErrConflict) {
		t.Fatalf("%s: got %v, want a conflict", what, err)
	}
	var tr interface{ Transient() bool }
	if errors.As(err, &tr) && tr.Transient() {
		t.Fatalf("%s: a conflict that says that waiting helps: %v", what, err)
	}
}
