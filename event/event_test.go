package event

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

func TestParsePayload(t *testing.T) {
	for in, want := range map[string]string{
		"g1 20261123-1404-9f2c 1763906674000": "hint 20261123-1404-9f2c 1763906674000",
		"g1 a 1 more words of a later gurney": "hint a 1",
		"s3://b/manifest_web.yml":             "s3://b/manifest_web.yml",
		"s3://b//double//slash.yml\n":         "s3://b//double//slash.yml",
		"  https://h/x?y=1\r\n":               "https://h/x?y=1",
		"":                                    "error: the payload is empty",
		"   \n":                               "error: the payload is empty",
		"g1":                                  "error: a part is missing",
		"g1 ../../x 1":                        "error: no id of a deployment",
		"g1 a -1":                             "error: no seq",
		"g1 a 99999999999999999999":           "error: no seq",
		"h":                                   "error: the payload (1 B) is no URL",
		"s3://u:secret@b/x y":                 "error: is no URL",
		"\x00\xff":                            "error: is no URL",
	} {
		p, err := ParsePayload([]byte(in))
		got := p.URL
		switch {
		case err != nil:
			got = "error: " + err.Error()
		case p.Hint != nil:
			got = fmt.Sprintf("hint %s %d", p.Hint.ID, p.Hint.Seq)
		}
		if rest, isErr := strings.CutPrefix(want, "error: "); isErr && strings.HasPrefix(got, "error: ") && strings.Contains(got, rest) {
			if strings.Contains(got, "secret") {
				t.Errorf("%q: the error tells a secret: %s", in, got)
			}
			continue
		}
		if got != want {
			t.Errorf("%q gave %q, not %q", in, got, want)
		}
	}
	h := Hint{ID: "20261123-1404-9f2c", Seq: 1763906674000}
	back, err := ParsePayload(h.Bytes())
	if err != nil || *back.Hint != h || len(h.Bytes()) > 100 {
		t.Errorf("%v: %+v", err, back)
	}
}

func TestParseInput(t *testing.T) {
	for _, c := range []struct {
		in    string
		under bool
		want  string
	}{
		{`[{"ID":"1","Name":"web","Payload":"czM6Ly9iL20=","LTime":3}]`, true, "1 web s3://b/m 3;"},
		{`[{"ID":"1","Name":"web","Payload":null,"LTime":3}]`, false, "1 web  3;"},
		{"null\n", true, ""}, {"[]", true, ""}, {"", true, ""}, {"[]", false, ""},
		{"s3://b/m\n", false, "  s3://b/m 0;"},
		{"", false, "error: nothing on standard input"},
		{"s3://b/m\ns3://b/n\n", false, "error: several lines"},
		{"s3://b/m", true, "error: not the JSON list"},
	} {
		list, err := ParseInput([]byte(c.in), c.under)
		var got strings.Builder
		for _, e := range list {
			fmt.Fprintf(&got, "%s %s %s %d;", e.ID, e.Name, e.Payload, e.LTime)
		}
		if rest, isErr := strings.CutPrefix(c.want, "error: "); isErr {
			if err == nil || !strings.Contains(err.Error(), rest) {
				t.Errorf("%q: %v, not %q", c.in, err, rest)
			}
		} else if err != nil || got.String() != c.want {
			t.Errorf("%q: %v, %q, not %q", c.in, err, got.String(), c.want)
		}
	}
}

// ring is a local agent's list of events; an answer is due when it changes.
type ring struct {
	list    []Event
	index   uint64
	changed chan struct{}
	fail    error
}

func (r *ring) set(fail error, list ...Event) {
	r.list, r.fail = list, fail
	r.index += 7 // any other number: the real one is a hash
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *ring) Events(ctx context.Context, index uint64, wait time.Duration) ([]Event, uint64, error) {
	if r.fail == nil && index != 0 && index == r.index {
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-time.After(wait):
		case <-r.changed:
		}
	}
	return r.list, r.index, r.fail
}

func names(b Batch) string {
	var out []string
	for _, e := range b.Events {
		out = append(out, e.ID)
	}
	return strings.Join(out, " ")
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		seen := &Seen{}
		r := &ring{list: []Event{{ID: "old"}}, index: 1, changed: make(chan struct{})}
		s := NewStream(r, seen, true, zerolog.Nop())
		next := func() Batch {
			b, err := s.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			seen.Mark(b.Events...)
			return b
		}
		// What stood there before the first start is not run.
		if b, err := s.Next(ctx); err != nil || !b.First || len(b.Events) > 0 || len(b.Standing) != 1 {
			t.Errorf("first answer: %v, %+v", err, b)
		} else {
			seen.Mark(b.Standing...)
		}
		// A burst comes as one list, by LTime.
		time.AfterFunc(time.Second, func() { r.set(nil, Event{ID: "old"}, Event{ID: "c", LTime: 9}, Event{ID: "b", LTime: 8}) })
		if got := names(next()); got != "b c" {
			t.Errorf("burst: %q", got)
		}
		// The agent restarts, and its ring is delivered again.
		time.AfterFunc(time.Second, func() { r.set(errors.New("connection refused")) })
		time.AfterFunc(time.Minute, func() { r.set(nil, Event{ID: "old"}, Event{ID: "c", LTime: 9}) })
		if b := next(); !b.Reconnect || names(b) != "" {
			t.Errorf("after the restart: %+v", b)
		}
		// So is it to a restarted watcher that kept its ids.
		data, err := json.Marshal(seen)
		if err != nil {
			t.Fatal(err)
		}
		seen = &Seen{}
		if err := json.Unmarshal(data, seen); err != nil {
			t.Fatal(err)
		}
		s = NewStream(r, seen, false, zerolog.Nop())
		if b, err := s.Next(ctx); err != nil || !b.First || names(b) != "" {
			t.Errorf("first answer after the watcher's restart: %v, %+v", err, b)
		}
		time.AfterFunc(time.Hour, func() { r.set(nil, Event{ID: "c", LTime: 9}, Event{ID: "d", LTime: 10}) })
		if got := names(next()); got != "d" {
			t.Errorf("after the watcher's restart: %q", got)
		}
		time.AfterFunc(time.Second, cancel)
		if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("the end of the context gave %v", err)
		}
	})
}

// An agent that restarts between two queries so quickly that no error tells of
// it shows by its ring that events may have been missed; a ring that is full,
// or that grows, shows nothing of the kind.
func TestStreamAcrossAnEmptiedRing(t *testing.T) {
	full := func(from int) (list []Event) {
		for i := range 256 {
			list = append(list, Event{ID: fmt.Sprint(from + i), LTime: uint64(from + i)})
		}
		return list
	}
	for _, c := range []struct {
		name          string
		before, after []Event
		gap           bool
		events        int
	}{
		{"emptied", full(0)[:3], nil, true, 0},
		{"emptied, and one came", full(0)[:3], full(9)[:1], true, 1},
		{"the newest is all that is lost", full(0)[:3], full(0)[:2], true, 0},
		{"turned over once and more", full(0), full(300), true, 256},
		{"one more", full(0)[:3], full(0)[:4], false, 1},
		{"a full one goes on", full(0), full(1), false, 1},
		{"turned over but for the newest", full(0), full(255), false, 255},
		{"the first of all", nil, full(0)[:1], false, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			r := &ring{list: c.before, index: 1, changed: make(chan struct{})}
			s := NewStream(r, &Seen{}, true, zerolog.Nop())
			if b, err := s.Next(ctx); err != nil || !b.First || b.Reconnect {
				t.Fatalf("%s: first answer: %v, %+v", c.name, err, b)
			}
			time.AfterFunc(time.Second, func() { r.set(nil, c.after...) })
			b, err := s.Next(ctx)
			if err != nil || b.Reconnect != c.gap || len(b.Events) != c.events {
				t.Errorf("%s: %v, reconnect %v, %d events; want %v, %d", c.name, err, b.Reconnect, len(b.Events), c.gap, c.events)
			}
			// It is told once.
			time.AfterFunc(time.Second, func() { r.set(nil, append(r.list, Event{ID: "next"})...) })
			if b, err := s.Next(ctx); err != nil || b.Reconnect || names(b) != "next" {
				t.Errorf("%s: after it: %v, %+v", c.name, err, b)
			}
		})
	}
}

func TestSeenForgetsTheOldest(t *testing.T) {
	var s Seen
	for i := range keep + 10 {
		s.Mark(Event{ID: fmt.Sprint(i)}, Event{})
	}
	if s.Len() != keep || s.Has("9") || !s.Has("10") || s.Has("") {
		t.Errorf("%d ids, 9: %v, 10: %v", s.Len(), s.Has("9"), s.Has("10"))
	}
}

func FuzzParsePayload(f *testing.F) {
	f.Add([]byte("g1 a 1"))
	f.Add([]byte("s3://b/x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePayload(data)
		if err == nil && (p.Hint == nil) == (p.URL == "") {
			t.Fatalf("%q: %+v", data, p)
		}
	})
}
