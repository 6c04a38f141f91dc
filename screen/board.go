package screen

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"gurney/report"
	"gurney/rollout"
)

// Board shows a deployment while it goes: on a terminal a bar and a line for
// each node that is not done, drawn again in place; elsewhere one plain line
// for each change.
type Board struct {
	out    io.Writer
	live   bool
	colour bool
	began  time.Time
	size   func() (columns, rows int)
	lines  int // drawn last
	last   map[string]string
}

// NewBoard makes a board for a deployment that began at began.
func NewBoard(out io.Writer, live, colour bool, began time.Time) *Board {
	return &Board{out: out, live: live, colour: colour, began: began, last: map[string]string{}, size: func() (int, int) { return drawn(out) }}
}

// mostLines is a screen, not a scroll.
const mostLines = 20

// Show draws v.
func (b *Board) Show(v rollout.View) {
	if !b.live {
		b.plain(v)
		return
	}
	width, rows := b.size()
	most := max(min(mostLines, rows-4), 3)                              // one more may follow, and the cursor stands below
	lines := []string{cut(bar(v, v.At.Sub(b.began), width), width), ""} // a line that wraps would be two to go up
	names, hidden := 0, 0
	for _, n := range v.Nodes {
		names = max(names, utf8.RuneCountInString(n.Node)) // of all, so that the columns stand still
	}
	for _, n := range v.Nodes {
		if n.Standing == rollout.Done {
			continue
		}
		if len(lines) >= most {
			hidden++
			continue
		}
		lines = append(lines, b.node(v, n, names, width))
	}
	if hidden > 0 {
		lines = append(lines, fmt.Sprintf("  … and %d more", hidden))
	}
	var s strings.Builder
	b.up(&s)
	for _, l := range lines {
		s.WriteString(eraseLine + l + "\n")
	}
	b.lines = len(lines)
	_, _ = io.WriteString(b.out, s.String())
}

// Done takes the live lines away; the end says what they said.
func (b *Board) Done() {
	if b.lines == 0 {
		return
	}
	var s strings.Builder
	b.up(&s)
	_, _ = io.WriteString(b.out, s.String())
	b.lines = 0
}

// up goes back over what was drawn, and clears from there to the end. A ^C that
// the terminal echoed has moved the cursor away from the margin.
func (b *Board) up(s *strings.Builder) {
	if b.lines > 0 {
		fmt.Fprintf(s, "\r\x1b[%dA\x1b[J", b.lines)
	}
}

const barWidth = 24

// bar gives way to the counts where there is no room for both.
func bar(v rollout.View, took time.Duration, width int) string {
	text := counts(v, true) + "  " + report.Duration(took.Truncate(time.Second))
	columns := min(barWidth, width-2-utf8.RuneCountInString(text))
	if columns < 4 || len(v.Nodes) == 0 {
		return text
	}
	full := columns * (v.Counts[rollout.Done] + v.Counts[rollout.Failed]) / len(v.Nodes)
	return strings.Repeat("█", full) + strings.Repeat("░", columns-full) + "  " + text
}

// counts is "18/30 ok · 4 running · 1 held · 0 failed".
func counts(v rollout.View, whole bool) string {
	c := v.Counts
	parts := []string{fmt.Sprintf("%d ok", c[rollout.Done])}
	if whole {
		parts[0] = fmt.Sprintf("%d/%d ok", c[rollout.Done], len(v.Nodes))
	}
	for _, s := range []struct {
		standing rollout.Standing
		word     string
		always   bool
	}{{rollout.Running, "running", false}, {rollout.Waiting, "waiting", false}, {rollout.Held, "held", false}, {rollout.Gone, "gone", false}, {rollout.Failed, "failed", whole}} {
		if n := c[s.standing]; n > 0 || s.always {
			parts = append(parts, fmt.Sprintf("%d %s", n, s.word))
		}
	}
	return strings.Join(parts, " · ")
}

const (
	stateWidth = 11 // interrupted
	sinceWidth = 7
	leastText  = 10 // less says nothing
	gap        = 2
)

// node is a line of at most width columns. The name stays whole, for somebody
// may want to copy it: the others give way to it, the text first.
func (b *Board) node(v rollout.View, n rollout.NodeView, names, width int) string {
	state, text := describe(n)
	since := ""
	if n.Result != nil && n.Result.Start > 0 {
		since = report.Duration(v.At.Sub(time.UnixMilli(n.Result.Start)).Truncate(time.Second))
	}
	names = min(names, width-gap-gap-stateWidth)
	line := fmt.Sprintf("  %-*s  %s", names, cut(n.Node, names), b.paint(n.Standing, fmt.Sprintf("%-*s", stateWidth, state)))
	left := width - gap - names - gap - stateWidth
	texts := left - gap - gap - sinceWidth
	switch {
	case texts >= leastText:
		line += fmt.Sprintf("  %-*s  %*s", texts, cut(text, texts), sinceWidth, since)
	case left >= gap+sinceWidth:
		line += fmt.Sprintf("  %*s", sinceWidth, since)
	}
	return strings.TrimRight(line, " ")
}

// describe is a node's state and what there is to say about it.
func describe(n rollout.NodeView) (state, text string) {
	switch n.Standing {
	case rollout.Waiting:
		return "waiting", "not heard of yet"
	case rollout.Gone:
		return "gone", "its agent or Consul does not answer"
	}
	if n.Result == nil {
		return string(n.Standing), ""
	}
	r := n.Result
	text = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(r.Line(), string(r.State)), ": "))
	if n.Drained && n.Standing != rollout.Running {
		text = strings.TrimSuffix("drained; "+text, "; ") // and so out of service
	}
	return string(r.State), text
}

// paint adds colour where it carries meaning; the word is there without it.
func (b *Board) paint(s rollout.Standing, text string) string {
	code := map[rollout.Standing]string{rollout.Done: "32", rollout.Failed: "31", rollout.Held: "33", rollout.Gone: "33"}[s]
	if !b.colour || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// plain writes a line for each node whose state changed.
func (b *Board) plain(v rollout.View) {
	for _, n := range v.Nodes {
		state, text := describe(n)
		key := state + text
		if b.last[n.Node] == key || n.Standing == rollout.Waiting {
			continue
		}
		b.last[n.Node] = key
		line := fmt.Sprintf("%s  %s  %s  %s", v.At.UTC().Format("15:04:05"), n.Node, state, text)
		_, _ = fmt.Fprintln(b.out, strings.TrimRight(line, " "))
	}
}
