package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// AllOpen is the threshold that lets every node in: the last wave's.
const AllOpen = "ffffffffffffffff"

// Node is what Desired needs to know about the node that asks.
type Node struct {
	Name string
	Born int64  // seq of the app's record when this node first saw one; 0: never
	Zone string // "" without zones
}

// Desired is what the record asks of a node: a pure function, so that every
// node, the driver and `gurney status` come to the same answer.
//
//   - no rollout, or one that does not select the node: current
//   - the node was touched by the rollout: the rollout, paused or not, and
//     though it has no more the service or the tag that it was selected by:
//     the rollout itself may have taken them away
//   - the rollout is rolling and open for the node: the rollout
//   - else: current
//
// facts may be nil where they can't be read; ok is then false when the answer
// depends on them, and nothing must change.
func Desired(r Record, n Node, facts *Facts, touched Touched) (want Want, ok bool) {
	current := wantCurrent(r, n)
	if r.Rollout == nil {
		return current, true
	}
	sel := r.Rollout.Selector
	begun := touched.ID == r.Rollout.ID && matches(sel.Node, n.Name)
	selected, known := sel.Selects(n.Name, facts)
	if !begun && !known {
		return Want{}, false
	}
	if begun || selected && !r.Rollout.Paused && r.Rollout.open(n) {
		want := Want{ID: r.Rollout.ID, Rollout: true, MaxFailures: r.Rollout.MaxFailures}
		want.Retry, want.Named = r.Rollout.Retry.asks(n.Name)
		return want, true
	}
	return current, true
}

func wantCurrent(r Record, n Node) Want {
	if r.Current == nil {
		return Want{}
	}
	want := Want{ID: r.Current.ID}
	want.Retry, want.Named = r.Current.Retry.asks(n.Name)
	return want
}

// asks is the seq of the latest retry that asks node, else 0, and whether by
// name.
func (r *Retry) asks(node string) (seq int64, named bool) {
	switch {
	case r == nil:
		return 0, false
	case slices.Contains(r.Nodes, node):
		return r.Seq, true
	case len(r.Nodes) == 0:
		return r.Seq, false
	case r.Named[node] > r.All:
		return r.Named[node], true
	}
	return r.All, false
}

// after is a retry of nodes (none given: all) at seq that forgets nothing of r,
// nil or the one before.
func (r *Retry) after(seq int64, nodes []string) *Retry {
	next := &Retry{Seq: seq, Nodes: slices.Clone(nodes)}
	if r == nil || len(nodes) == 0 {
		return next
	}
	next.All, next.Named = r.All, maps.Clone(r.Named)
	if len(r.Nodes) == 0 {
		next.All = r.Seq
	}
	for _, n := range r.Nodes {
		if next.Named == nil {
			next.Named = map[string]int64{}
		}
		next.Named[n] = r.Seq
	}
	return next
}

// open says whether the rollout lets n in. A node that was born when it was
// already on has no place in the waves that were counted out: it waits for
// the last.
func (r *Rollout) open(n Node) bool {
	threshold, given := r.Open[n.Zone]
	if !given {
		threshold = r.Open[""]
	}
	if n.Born >= r.Seq && threshold != AllOpen {
		return false
	}
	return threshold != "" && Position(r.ID, n.Name) <= threshold
}

// Position is a node's place in the order in which a deployment opens: the
// first 8 bytes of SHA-256(id "/" node) in hex. Each deployment has an order
// of its own, so that it is not always the same nodes that go first.
func Position(id, node string) string {
	sum := sha256.Sum256([]byte(id + "/" + node))
	return hex.EncodeToString(sum[:8])
}

// Validate says which of the selector's regular expressions does not parse.
func (s Selector) Validate() error {
	for _, e := range []struct{ name, expr string }{{"node", s.Node}, {"service", s.Service}, {"tag", s.Tag}} {
		if _, err := regexp.Compile(e.expr); err != nil {
			return fmt.Errorf("selector %s: %q is no regular expression: %w", e.name, e.expr, err)
		}
	}
	if s.Tag != "" && s.Service == "" {
		return fmt.Errorf("selector tag %q: it needs a service, as in Consul's event filters", s.Tag)
	}
	return nil
}

// IsZero says that the selector picks every node.
func (s Selector) IsZero() bool { return s == Selector{} }

// Selects says whether the selector picks a node; known is false when that
// depends on facts that are nil. An expression that does not parse selects
// nothing.
func (s Selector) Selects(node string, facts *Facts) (selected, known bool) {
	if !matches(s.Node, node) {
		return false, true
	}
	if s.Service == "" {
		return s.Tag == "", true
	}
	if facts == nil {
		return false, false
	}
	for service, tags := range facts.Services {
		if !matches(s.Service, service) {
			continue
		}
		if s.Tag == "" || slices.ContainsFunc(tags, func(t string) bool { return matches(s.Tag, t) }) {
			return true, true
		}
	}
	return false, true
}

func matches(expr, s string) bool {
	if expr == "" {
		return true
	}
	re, err := regexp.Compile(expr)
	return err == nil && re.MatchString(s)
}
