package rollout

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The sentences of the design, each by an example.
func TestDesired(t *testing.T) {
	const current, next = "20261120-0911-77ab", "20261123-1404-9f2c"
	web := &Facts{Services: map[string][]string{"web": {"blue"}, "nginx": nil}}
	node := Node{Name: "web-1", Born: 10}
	open := map[string]string{"": AllOpen}
	on := func(r Rollout) Record {
		r.Ref, r.Seq, r.MaxFailures = Ref{ID: next}, 20, 2
		return Record{Seq: 30, Current: &Ref{ID: current}, Rollout: &r}
	}
	rollout := Want{ID: next, Rollout: true, MaxFailures: 2}
	for _, c := range []struct {
		name    string
		record  Record
		node    Node
		facts   *Facts
		touched string
		want    Want
		unknown bool
	}{
		{name: "nothing was ever deployed", record: Record{Seq: 1}, want: Want{}},
		{name: "no rollout", record: Record{Seq: 1, Current: &Ref{ID: current}}, want: Want{ID: current}},
		{name: "no rollout any more, and touched by it: back", record: Record{Seq: 1, Current: &Ref{ID: current}}, touched: next, want: Want{ID: current}},
		{name: "open", record: on(Rollout{Open: open}), want: rollout},
		{name: "not open", record: on(Rollout{Open: map[string]string{"": ""}}), want: Want{ID: current}},
		{name: "paused", record: on(Rollout{Open: open, Paused: true}), want: Want{ID: current}},
		{name: "paused, and touched", record: on(Rollout{Open: open, Paused: true}), touched: next, want: rollout},
		{name: "not open any more, and touched", record: on(Rollout{Open: map[string]string{}}), touched: next, want: rollout},
		{name: "touched by another", record: on(Rollout{Open: map[string]string{}}), touched: current, want: Want{ID: current}},
		{name: "a zone of its own", record: on(Rollout{Open: map[string]string{"a": AllOpen}}), node: Node{Name: "web-1", Zone: "a"}, want: rollout},
		{name: "another zone", record: on(Rollout{Open: map[string]string{"a": AllOpen}}), node: Node{Name: "web-1", Zone: "b"}, want: Want{ID: current}},
		{name: "born with the rollout", record: on(Rollout{Open: map[string]string{"": "fffffffffffffffe"}}), node: Node{Name: "web-1", Born: 20}, want: Want{ID: current}},
		{name: "born with the rollout, in the last wave", record: on(Rollout{Open: open}), node: Node{Name: "web-1", Born: 20}, want: rollout},
		{name: "selected by name, unanchored", record: on(Rollout{Open: open, Selector: Selector{Node: "eb-"}}), want: rollout},
		{name: "not selected by name", record: on(Rollout{Open: open, Selector: Selector{Node: "^eb-"}}), want: Want{ID: current}},
		{name: "not selected by name, and touched", record: on(Rollout{Open: open, Selector: Selector{Node: "^eb-"}}), touched: next, want: Want{ID: current}},
		{name: "selected by service and tag", record: on(Rollout{Open: open, Selector: Selector{Service: "^web$", Tag: "bl"}}), facts: web, want: rollout},
		{name: "the tag is another service's", record: on(Rollout{Open: open, Selector: Selector{Service: "nginx", Tag: "bl"}}), facts: web, want: Want{ID: current}},
		{name: "facts can't be read", record: on(Rollout{Open: open, Selector: Selector{Service: "web"}}), unknown: true},
		{name: "facts can't be read, and touched", record: on(Rollout{Open: open, Selector: Selector{Service: "web"}}), touched: next, want: rollout},
		{name: "touched, and the rollout took the tag away", record: on(Rollout{Open: open, Selector: Selector{Service: "^web$", Tag: "gone"}}), facts: web, touched: next, want: rollout},
		{name: "facts can't be read, and don't matter", record: on(Rollout{Open: open, Selector: Selector{Node: "db", Service: "web"}}), want: Want{ID: current}},
		{name: "no expression", record: on(Rollout{Open: open, Selector: Selector{Node: "("}}), want: Want{ID: current}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.node.Name == "" {
				c.node = node
			}
			want, ok := Desired(c.record, c.node, c.facts, Touched{ID: c.touched})
			if ok == c.unknown || want != c.want {
				t.Errorf("%+v, %v; want %+v, %v", want, ok, c.want, !c.unknown)
			}
		})
	}
}

func TestRetryAsksTheNodesItNames(t *testing.T) {
	for _, c := range []struct {
		name  string
		retry *Retry
		want  Want
	}{
		{"none", nil, Want{ID: "a"}},
		{"all", &Retry{Seq: 7}, Want{ID: "a", Retry: 7}},
		{"this one", &Retry{Seq: 7, Nodes: []string{"db-1", "web-1"}}, Want{ID: "a", Retry: 7, Named: true}},
		{"others", &Retry{Seq: 7, Nodes: []string{"web-10"}}, Want{ID: "a"}},
		{"this one, and then others", (&Retry{Seq: 7, Nodes: []string{"web-1"}}).after(8, []string{"db-1"}).after(9, []string{"db-2"}), Want{ID: "a", Retry: 7, Named: true}},
		{"all, and then others", (*Retry)(nil).after(7, nil).after(8, []string{"db-1"}), Want{ID: "a", Retry: 7}},
		{"all, then this one, then others", (&Retry{Seq: 6}).after(7, []string{"web-1"}).after(8, []string{"db-1"}), Want{ID: "a", Retry: 7, Named: true}},
		{"this one, and then all", (&Retry{Seq: 7, Nodes: []string{"web-1"}}).after(8, nil), Want{ID: "a", Retry: 8}},
		{"this one twice", (&Retry{Seq: 7, Nodes: []string{"web-1"}}).after(8, []string{"web-1"}), Want{ID: "a", Retry: 8, Named: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ref := Ref{ID: "a", Retry: c.retry}
			if got, _ := Desired(Record{Current: &ref}, Node{Name: "web-1"}, nil, Touched{}); got != c.want {
				t.Errorf("as current: %+v, want %+v", got, c.want)
			}
			c.want.Rollout = true
			r := Record{Rollout: &Rollout{Ref: ref, Open: map[string]string{"": AllOpen}}}
			if got, _ := Desired(r, Node{Name: "web-1"}, nil, Touched{}); got != c.want {
				t.Errorf("as rollout: %+v, want %+v", got, c.want)
			}
		})
	}
}

// The position is the design's: whoever computes it elsewhere comes to the same.
func TestPosition(t *testing.T) {
	// printf %s 20261123-1404-9f2c/web-1 | sha256sum | cut -c-16
	if got, want := Position("20261123-1404-9f2c", "web-1"), "5fd485e455a1bbf1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// The threshold at the k-th position opens exactly k nodes, and a larger one
// never closes a node again.
func TestThresholdOpensExactlySoMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,8}-[0-9]{1,4}`), 1, 60, rapid.ID[string]).Draw(t, "nodes")
		id := rapid.StringMatching(`2026[0-9]{4}-[0-9]{4}-[0-9a-f]{4}`).Draw(t, "id")
		var positions []string
		for _, n := range names {
			positions = append(positions, Position(id, n))
		}
		slices.Sort(positions)
		k := rapid.IntRange(0, len(names)).Draw(t, "k")
		r := Record{Seq: 9, Rollout: &Rollout{Ref: Ref{ID: id}, Seq: 9, Open: map[string]string{"": ""}}}
		before := map[string]bool{}
		for i := range k {
			r.Rollout.Open[""] = positions[i]
			in := map[string]bool{}
			for _, n := range names {
				if w, _ := Desired(r, Node{Name: n, Born: 1}, nil, Touched{}); w.Rollout {
					in[n] = true
				}
			}
			if len(in) != i+1 {
				t.Fatalf("%d nodes are open at the %d. position", len(in), i+1)
			}
			for n := range before {
				if !in[n] {
					t.Fatalf("%s was open, and is not when more are", n)
				}
			}
			before = in
		}
	})
}

// drawn is some record with a rollout, some node, and what it touched.
func drawn(t *rapid.T) (Record, Node, Touched) {
	id := func(label string) string { return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, label) }
	r := Record{Seq: rapid.Int64Range(10, 20).Draw(t, "seq"), Rollout: &Rollout{
		Ref: Ref{ID: id("rollout")}, Seq: rapid.Int64Range(1, 10).Draw(t, "began"),
		Open: rapid.MapOf(rapid.SampledFrom([]string{"", "z1", "z2"}), rapid.OneOf(rapid.Just(""), rapid.Just(AllOpen), rapid.StringMatching(`[0-9a-f]{16}`))).Draw(t, "open"),
	}}
	r.Rollout.Paused = rapid.Bool().Draw(t, "paused")
	r.Rollout.Selector.Node = rapid.SampledFrom([]string{"", "web", "db", "["}).Draw(t, "selector")
	if rapid.Bool().Draw(t, "has current") {
		r.Current = &Ref{ID: id("current")}
	}
	n := Node{Name: fmt.Sprintf("%s-%d", rapid.SampledFrom([]string{"web", "db"}).Draw(t, "kind"), rapid.IntRange(1, 99).Draw(t, "n")),
		Born: rapid.Int64Range(0, 20).Draw(t, "born"), Zone: rapid.SampledFrom([]string{"", "z1"}).Draw(t, "zone")}
	return r, n, Touched{ID: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "touched"), Verdict: rapid.SampledFrom([]string{"", "ok", "failed"}).Draw(t, "verdict")}
}

func TestDesiredProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, n, touched := drawn(t)
		open := maps.Clone(r.Rollout.Open)
		want, ok := Desired(r, n, nil, touched)
		current := ""
		if r.Current != nil {
			current = r.Current.ID
		}
		switch {
		case !ok:
			t.Fatal("unknown, and nothing depends on facts")
		case want.ID != current && want.ID != r.Rollout.ID:
			t.Fatalf("%q stands nowhere in the record", want.ID)
		case !maps.Equal(open, r.Rollout.Open):
			t.Fatal("the record was changed")
		}

		paused := r
		p := *r.Rollout
		p.Paused = true
		paused.Rollout = &p
		if frozen, _ := Desired(paused, n, nil, touched); frozen.Rollout && touched.ID != p.ID {
			t.Fatal("a paused rollout begins on a node")
		} else if want.Rollout && touched.ID == p.ID && !frozen.Rollout {
			t.Fatal("a pause takes the rollout away from a node that it touched")
		}

		aborted := r
		aborted.Rollout = nil
		if back, _ := Desired(aborted, n, nil, touched); back.ID != current || back.Rollout {
			t.Fatalf("after an abort %+v, not current (%q)", back, current)
		}

		late := n
		late.Born = r.Rollout.Seq
		if w, _ := Desired(r, late, nil, Touched{}); w.Rollout && r.Rollout.Open[n.Zone] != AllOpen && r.Rollout.Open[""] != AllOpen {
			t.Fatal("a node born later is in before the last wave")
		}

		byService := r
		s := *r.Rollout
		s.Selector = Selector{Service: "nginx"}
		byService.Rollout = &s
		if _, known := Desired(byService, n, nil, touched); known && touched.ID != s.ID {
			t.Fatal("known, though it depends on facts that can't be read")
		}
	})
}
