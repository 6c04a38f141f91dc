package rollout

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"gurney/kv"
	"gurney/report"
)

// Standing is how one node stands in a deployment, as people count it.
type Standing string

// The standings, in the order in which screens show them.
const (
	Failed  Standing = "failed"  // failed, refused or interrupted for good
	Running Standing = "running" // accepted
	Waiting Standing = "waiting" // alive, and nothing heard yet
	Held    Standing = "held"    // in maintenance, and will run when it ends
	Done    Standing = "ok"      // ok, or skipped as the manifest says
	Gone    Standing = "gone"    // not alive: it will run when it is back
)

// NodeView is one node of a View.
type NodeView struct {
	Target
	Standing Standing
	Result   *report.Result // nil: nothing heard
}

// View is a deployment over the fleet at one moment.
type View struct {
	App    string
	ID     string
	At     time.Time
	Nodes  []NodeView // by name
	Counts map[Standing]int
}

// newView joins targets and results. A node that reported and is no target
// any more is shown as gone unless it had ended. One that the deployment's
// latest retry asks has said nothing until it answers that.
func newView(app string, ref Ref, at time.Time, targets []Target, results map[string]report.Result) View {
	results = maps.Clone(results)
	maps.DeleteFunc(results, ref.Retry.outdates)
	v := View{App: app, ID: ref.ID, At: at, Counts: map[Standing]int{}}
	known := map[string]bool{}
	for _, t := range targets {
		known[t.Node] = true
		n := NodeView{Target: t}
		if r, ok := results[t.Node]; ok {
			n.Result = &r
		}
		v.Nodes = append(v.Nodes, n)
	}
	for node, r := range results {
		if !known[node] {
			v.Nodes = append(v.Nodes, NodeView{Target: Target{Node: node}, Result: &r})
		}
	}
	slices.SortFunc(v.Nodes, func(a, b NodeView) int { return cmp.Compare(a.Node, b.Node) })
	for i := range v.Nodes {
		v.Nodes[i].Standing = v.Nodes[i].standing()
		v.Counts[v.Nodes[i].Standing]++
	}
	return v
}

// outdates says whether r is what node said before the retry, which asks it
// for another.
func (r *Retry) outdates(node string, result report.Result) bool {
	seq, named := r.asks(node)
	return result.State.Final() && result.Retry < seq && (named || result.State != report.OK)
}

func (n NodeView) standing() Standing {
	state := report.State("")
	if n.Result != nil {
		state = n.Result.State
	}
	switch {
	case state == report.OK || state == report.Skipped:
		return Done
	case state == report.Failed || state == report.Refused || state == report.Interrupted || state == report.Superseded:
		return Failed
	case !n.Alive:
		return Gone
	case state == report.Held:
		return Held
	case state == report.Accepted:
		return Running
	}
	return Waiting
}

// Ended says whether nothing more is to be waited for: every live node that
// is not held has a final result.
func (v View) Ended() bool { return v.Counts[Running]+v.Counts[Waiting] == 0 }

// MidRun says whether the node was lost while the deployment ran on it.
func (n NodeView) MidRun() bool {
	return n.Standing == Gone && n.Result != nil && n.Result.State == report.Accepted
}

// Complete says whether the deployment may become current: it has ended, failed
// nowhere, and no node was lost in the middle of it. That a node which failed is
// not alive any more is no comfort: the deployment may have done that, too. What
// to make of it is an operator's word: promote, or retry.
func (v View) Complete() bool {
	return v.Ended() && v.Counts[Failed] == 0 && !slices.ContainsFunc(v.Nodes, NodeView.MidRun)
}

// Look reads how a deployment stands now.
func (d *Driver) Look(ctx context.Context, app string, ref Ref, sel Selector) (View, error) {
	targets, err := d.Fleet.Targets(ctx, app, sel)
	if err != nil {
		return View{}, fmt.Errorf("list the nodes that obey %s: %w", app, err)
	}
	pairs, err := d.Store.List(ctx, report.Prefix(app, ref.ID), kv.Default)
	if err != nil {
		return View{}, fmt.Errorf("list results of %s: %w", ref.ID, err)
	}
	return newView(app, ref, d.now(), targets, d.results(pairs)), nil
}

// results decodes what nodes wrote; one that can't be read is left out with a
// warning, for it must not hide the others.
func (d *Driver) results(pairs []kv.Pair) map[string]report.Result {
	out := map[string]report.Result{}
	for _, p := range pairs {
		r, err := report.Decode(p.Value)
		if err != nil {
			d.Log.Warn().Err(err).Str("key", p.Key).Msg("result left out")
			continue
		}
		out[report.Node(p.Key)] = r
	}
	return out
}
