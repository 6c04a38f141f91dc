package screen

import (
	"io"
	"time"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"

	"gurney/report"
	"gurney/rollout"
)

// WriteNodes is the table of nodes in a deployment. On a terminal what there is
// to say of a node takes what the others leave; names stay whole.
func WriteNodes(w io.Writer, v rollout.View, now time.Time) { writeNodes(w, v, now, Columns(w)) }

// writeNodes cuts nothing where there are 0 columns.
func writeNodes(w io.Writer, v rollout.View, now time.Time, columns int) {
	const most, gaps = 12, 5 * gap // columns of a node JSON's name; of what stands between cells
	head := []string{"node", "state", "json", "since", ""}
	widths := make([]int, len(head)-1)
	var rows [][]string
	for _, n := range v.Nodes {
		state, text := describe(n)
		json, since := "", ""
		if r := n.Result; r != nil {
			json = r.NodeJSON
			at := r.Start
			if r.End > 0 {
				at = r.End
			}
			since = report.Duration(now.Sub(time.UnixMilli(at)).Truncate(time.Second)) + " ago"
		}
		if columns > 0 {
			json = cut(json, most)
		}
		rows = append(rows, []string{n.Node, state, json, since, text})
	}
	left := columns - gaps
	for i := range widths {
		widths[i] = len(head[i])
		for _, r := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i]))
		}
		left -= widths[i]
	}
	for _, r := range rows {
		if columns > 0 {
			r[len(r)-1] = cut(r[len(r)-1], max(left, 1))
		}
	}
	WriteTable(w, head, rows)
}

// newTable is a table without lines, so that it can be cut with awk.
func newTable(w io.Writer) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	s := table.StyleDefault
	s.Options = table.OptionsNoBordersAndSeparators
	s.Box.PaddingLeft, s.Box.PaddingRight = "  ", ""
	s.Format.Header = 0
	t.SetStyle(s)
	t.SuppressTrailingSpaces()
	return t
}

// WriteTable writes rows under a head.
func WriteTable(w io.Writer, head []string, rows [][]string) {
	t := newTable(w)
	t.AppendHeader(row(head))
	for _, r := range rows {
		t.AppendRow(row(r))
	}
	t.Render()
}

func row(cells []string) table.Row {
	out := make(table.Row, len(cells))
	for i, c := range cells {
		out[i] = c
	}
	return out
}
