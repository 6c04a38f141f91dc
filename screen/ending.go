package screen

import (
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"
	"time"

	"gurney/report"
	"gurney/rollout"
)

// Ending is what a deployment's last screen says.
type Ending struct {
	App, ID  string
	Previous string // id that was current before; ""
	Promoted bool   // App is now ID
	Parked   bool   // it was for a selection of nodes, and waits for a word
	Dry      bool   // nothing was changed, and nothing is to be
	Took     time.Duration
}

// WriteEnding tells how the deployment ended: counts, who did not take part,
// what failed, and what to do about it.
func WriteEnding(w io.Writer, v rollout.View, e Ending) {
	line := fmt.Sprintf("%s in %s", counts(v, false), report.Duration(e.Took))
	if s := slowest(v); s != "" {
		line = fmt.Sprintf("%-31s  %s", line, s)
	}
	_, _ = fmt.Fprintln(w, line)
	for _, n := range v.Nodes {
		switch n.Standing {
		case rollout.Held:
			_, _ = fmt.Fprintf(w, "held: %s (%s): converges when it ends\n", n.Node, n.Result.Error)
		case rollout.Gone:
			word := "gone"
			if n.MidRun() {
				word = "gone in mid-run"
			}
			_, _ = fmt.Fprintf(w, "%s: %s: converges when it is back\n", word, n.Node)
		case rollout.Running, rollout.Waiting:
			_, _ = fmt.Fprintf(w, "not ended: %s\n", n.Node)
		}
	}
	failures(w, v, e)
	if e.Promoted && v.Counts[rollout.Done]+v.Counts[rollout.Failed] == 0 {
		_, _ = fmt.Fprintln(w, "no node has run it yet")
	}
	switch {
	case v.Counts[rollout.Failed] > 0 && e.Promoted: // a retry of what is current: there is nothing to abort
		_, _ = fmt.Fprintf(w, "  again    gurney retry %s\n", e.App)
	case v.Counts[rollout.Failed] > 0:
		_, _ = fmt.Fprintf(w, "  go back  gurney abort %s        again    gurney retry %s\n", e.App, e.App)
	case e.Promoted && e.Previous != "":
		_, _ = fmt.Fprintf(w, "%s is now %s (was %s)\n", e.App, e.ID, e.Previous)
	case e.Promoted:
		_, _ = fmt.Fprintf(w, "%s is now %s\n", e.App, e.ID)
	case e.Dry:
		_, _ = fmt.Fprintf(w, "a dry run: nothing was changed; gurney abort %s ends it\n", e.App)
	case e.Parked:
		_, _ = fmt.Fprintf(w, "parked on the selected nodes: gurney promote %s, or gurney abort %s\n", e.App, e.App)
	default:
		_, _ = fmt.Fprintf(w, "%s is not promoted: gurney status %s shows how it goes on;\nthen gurney promote %s, or gurney abort %s\n", e.App, e.App, e.App, e.App)
	}
}

// slowest names the node that took longest, and how many resources changed.
func slowest(v rollout.View) string {
	var name string
	var most time.Duration
	updated := 0
	for _, n := range v.Nodes {
		if n.Result == nil {
			continue
		}
		updated += n.Result.Updated
		if t := n.Result.Took(); t > most {
			name, most = n.Node, t
		}
	}
	if name == "" {
		return ""
	}
	return fmt.Sprintf("slowest %s %s · %s updated", name, report.Duration(most), report.Count(updated, "resource", "resources"))
}

// failures tells each failure once, with the nodes that share it.
func failures(w io.Writer, v rollout.View, e Ending) {
	nodes := map[string][]string{}
	first := map[string]*report.Result{}
	var order []string
	for _, n := range v.Nodes {
		if n.Standing != rollout.Failed || n.Result == nil {
			continue
		}
		key := fmt.Sprint(n.Result.State, n.Result.Phase, n.Result.Exit, n.Result.Error)
		if first[key] == nil {
			first[key] = n.Result
			order = append(order, key)
		}
		nodes[key] = append(nodes[key], n.Node)
	}
	sort.SliceStable(order, func(i, j int) bool { return len(nodes[order[i]]) > len(nodes[order[j]]) })
	for _, key := range order {
		r := first[key]
		_, _ = fmt.Fprintf(w, "\n  %s  %s\n", names(nodes[key]), how(r))
		indent(w, "    ", afterResource.ReplaceAllString(r.Error, "$1\n"))
		indent(w, "      ", lastLines(r.Tail, tailLines))
		if r.State != report.Refused { // nothing was run
			_, _ = fmt.Fprintf(w, "  log      gurney logs %s %s   on %s\n", e.App, e.ID, nodes[key][0])
		}
	}
}

const (
	namesShown = 5 // of the nodes that share a failure
	tailLines  = 8 // of what the failed command printed; the log has all
)

// afterResource is where Chef's words go on after the resource and its place
// in a recipe: "template[x] (nginx::default line 42): …".
var afterResource = regexp.MustCompile(`^([^\n]* \([^()]* line \d+\)): `)

func names(nodes []string) string {
	if len(nodes) <= namesShown {
		return strings.Join(nodes, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(nodes[:namesShown], ", "), len(nodes)-namesShown)
}

// how is "failed in phase chef, exit 1 after 19s".
func how(r *report.Result) string {
	out := string(r.State)
	if r.Phase != "" {
		out += " in phase " + string(r.Phase)
	}
	if r.Exit != 0 {
		out += fmt.Sprintf(", exit %d", r.Exit)
	}
	if t := r.Took(); t > 0 && r.State != report.Refused {
		out += " after " + report.Duration(t)
	}
	return out
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = append([]string{"…"}, lines[len(lines)-n:]...)
	}
	return strings.Join(lines, "\n")
}

// indent writes the lines of text that are not empty.
func indent(w io.Writer, by, text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if line != "" {
			_, _ = fmt.Fprintln(w, by+line)
		}
	}
}
