package consultest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gurney/consul"
	"gurney/event"
)

// ring is how many events a Consul agent keeps.
const ring = 256

var eventTests = []test{
	{"an empty ring has index 1", func(t *testing.T, e env) {
		c := e.client(t)
		list, index, err := c.EventsNamed(t.Context(), "none", 0, 0)
		ok(t, err)
		if len(list) != 0 || index != 1 {
			t.Fatalf("got %v at %d", list, index)
		}
	}},
	{"what is fired arrives whole, oldest first", func(t *testing.T, e env) {
		c := e.client(t)
		var want []string
		for i := range 3 {
			id := fire(t, c, event.Event{Name: "order", Payload: fmt.Appendf(nil, "p%d\x00", i)})
			want = append(want, id)
			eventually(t, "the event", func() bool { return slices.Contains(ids(t, c, "order"), id) })
		}
		list, _, err := c.EventsNamed(t.Context(), "order", 0, 0)
		ok(t, err)
		if len(list) != 3 || !slices.Equal(ids(t, c, "order"), want) {
			t.Fatalf("got %v, want %v", list, want)
		}
		for i, ev := range list {
			if ev.Name != "order" || string(ev.Payload) != fmt.Sprintf("p%d\x00", i) || i > 0 && ev.LTime <= list[i-1].LTime {
				t.Errorf("event %d: %+v", i, ev)
			}
		}
	}},
	{"the same payload twice is two events", func(t *testing.T, e env) {
		c := e.client(t)
		a := fire(t, c, event.Event{Name: "twice", Payload: []byte("same")})
		b := fire(t, c, event.Event{Name: "twice", Payload: []byte("same")})
		eventually(t, "both", func() bool { return len(ids(t, c, "twice")) == 2 })
		if a == b {
			t.Fatal("with one id")
		}
	}},
	{"names", func(t *testing.T, e env) {
		c := e.client(t)
		a := fire(t, c, event.Event{Name: "name-a"})
		eventually(t, "a", func() bool { return len(ids(t, c, "name-a")) == 1 })
		b := fire(t, c, event.Event{Name: "name-b"})
		eventually(t, "b", func() bool { return len(ids(t, c, "name-b")) == 1 })
		if got := ids(t, c, "name-b"); !slices.Equal(got, []string{b}) {
			t.Errorf("one name: %v", got)
		}
		if got := ids(t, c, ""); len(got) < 2 || !slices.Equal(got[len(got)-2:], []string{a, b}) {
			t.Errorf("all names: %v", got)
		}
		if got := ids(t, c, "name"); len(got) != 0 {
			t.Errorf("a name is whole: %v", got)
		}
	}},
	{"the index stands for the last event of the name", func(t *testing.T, e env) {
		c := e.client(t)
		id := fire(t, c, event.Event{Name: "hash"})
		eventually(t, "it", func() bool { return len(ids(t, c, "hash")) == 1 })
		_, index, err := c.EventsNamed(t.Context(), "hash", 0, 0)
		ok(t, err)
		if want := hash(t, id); index != want {
			t.Fatalf("index %d of %s, want %d", index, id, want)
		}
		fire(t, c, event.Event{Name: "elsewhere"})
		eventually(t, "the other", func() bool { return len(ids(t, c, "elsewhere")) == 1 })
		if _, same, _ := c.EventsNamed(t.Context(), "hash", 0, 0); same != index {
			t.Fatal("another name changed it")
		}
	}},
	{"waiting", func(t *testing.T, e env) {
		c := e.client(t)
		first := fire(t, c, event.Event{Name: "wait"})
		eventually(t, "it", func() bool { return len(ids(t, c, "wait")) == 1 })
		_, index, err := c.EventsNamed(t.Context(), "wait", 0, 0)
		ok(t, err)
		list, same, err := c.EventsNamed(t.Context(), "wait", index, 100*time.Millisecond)
		ok(t, err)
		if len(list) != 1 || same != index {
			t.Fatalf("the wait ended with %v at %d, want the same at %d", list, same, index)
		}
		got := make(chan []event.Event, 1)
		go func() {
			list, _, _ := c.EventsNamed(t.Context(), "wait", index, time.Minute)
			got <- list
		}()
		second := fire(t, c, event.Event{Name: "wait"})
		select {
		case list := <-got:
			if len(list) != 2 || list[0].ID != first || list[1].ID != second {
				t.Fatalf("got %v", list)
			}
		case <-time.After(patience):
			t.Fatal("slept through the event")
		}
	}},
	{"filters", func(t *testing.T, e env) {
		c := e.client(t)
		self, err := c.Self(t.Context())
		ok(t, err)
		e.register(t, "web", "web", "v1", "blue")
		e.register(t, "cache", "cache", "v3")
		part := self.Node[1:] // unanchored
		want := []string{
			fire(t, c, event.Event{Name: "filter", Payload: []byte("node"), NodeFilter: part}),
			fire(t, c, event.Event{Name: "filter", Payload: []byte("service"), ServiceFilter: "e"}),
			fire(t, c, event.Event{Name: "filter", Payload: []byte("tag of service"), ServiceFilter: "^web$", TagFilter: "lu"}),
			fire(t, c, event.Event{Name: "filter", Payload: []byte("any tag"), TagFilter: "^v3$"}),
			fire(t, c, event.Event{Name: "filter", Payload: []byte("all"), NodeFilter: part, ServiceFilter: "web", TagFilter: "v1"}),
		}
		fire(t, c, event.Event{Name: "filter", Payload: []byte("other node"), NodeFilter: "^nobody$"})
		fire(t, c, event.Event{Name: "filter", Payload: []byte("other service"), ServiceFilter: "^eb"})
		fire(t, c, event.Event{Name: "filter", Payload: []byte("other service's tag"), ServiceFilter: "^cache$", TagFilter: "blue"})
		fire(t, c, event.Event{Name: "filter", Payload: []byte("node, not service"), NodeFilter: part, ServiceFilter: "db"})
		last := fire(t, c, event.Event{Name: "filter", Payload: []byte("last")})
		want = append(want, last)
		eventually(t, "the last", func() bool { return slices.Contains(ids(t, c, "filter"), last) })
		list, _, err := c.EventsNamed(t.Context(), "filter", 0, 0)
		ok(t, err)
		var got []string
		for _, ev := range list {
			got = append(got, ev.ID)
			if !slices.Contains(want, ev.ID) {
				t.Errorf("came in vain: %s", ev.Payload)
			}
		}
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("got %v, want %v", list, want)
		}
	}},
	{"a broken filter is refused for good", func(t *testing.T, e env) {
		_, err := e.client(t).Fire(t.Context(), event.Event{Name: "x", NodeFilter: "["})
		var tr interface{ Transient() bool }
		if err == nil || errors.As(err, &tr) && tr.Transient() {
			t.Fatalf("got %v", err)
		}
	}},
	{"300 bytes pass, 301 do not", func(t *testing.T, e env) {
		c := e.client(t)
		full := strings.Repeat("x", consul.MaxPayload)
		fire(t, c, event.Event{Name: "size", Payload: []byte(full)})
		if _, err := c.Fire(t.Context(), event.Event{Name: "size", Payload: []byte(full + "x")}); err == nil {
			t.Error("the client sent 301 bytes")
		}
		if s := e.call(t, http.MethodPut, "/v1/event/fire/size", strings.Repeat("x", consul.MaxPayload+1), nil); s != http.StatusRequestEntityTooLarge {
			t.Errorf("the server answered %d for 301 bytes", s)
		}
	}},
	{"the ring holds the last 256 of all names", func(t *testing.T, e env) {
		c := e.client(t)
		fire(t, c, event.Event{Name: "oldest"})
		var last string
		for i := range ring {
			last = fire(t, c, event.Event{Name: "ring", Payload: fmt.Append(nil, i)})
		}
		eventually(t, "the last one", func() bool { return len(ids(t, c, "")) == ring && slices.Contains(ids(t, c, "ring"), last) })
		if n := len(ids(t, c, "ring")); n != ring {
			t.Errorf("%d of %d are there", n, ring)
		}
		if len(ids(t, c, "oldest")) != 0 {
			t.Error("the oldest is still there")
		}
	}},
}

func fire(t *testing.T, c *consul.Client, ev event.Event) string {
	t.Helper()
	id, err := c.Fire(t.Context(), ev)
	ok(t, err)
	if len(id) != 36 {
		t.Fatalf("the event's id is %q, want a UUID", id)
	}
	return id
}

// ids are those in the ring of that name, "" for all.
func ids(t *testing.T, c *consul.Client, name string) (out []string) {
	t.Helper()
	list, _, err := c.EventsNamed(t.Context(), name, 0, 0)
	ok(t, err)
	for _, ev := range list {
		out = append(out, ev.ID)
	}
	return out
}

// hash is how Consul makes an index of an event's id: its two halves, xor.
func hash(t *testing.T, id string) uint64 {
	t.Helper()
	hex := strings.ReplaceAll(id, "-", "")
	low, err := strconv.ParseUint(hex[:16], 16, 64)
	ok(t, err)
	high, err := strconv.ParseUint(hex[16:], 16, 64)
	ok(t, err)
	return low ^ high
}
