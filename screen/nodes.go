package screen

import (
	"io"
	"time"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"

	"gurney/report"
	"gurney/rollout"
)

// WriteNodes is the table of nodes in a deployment.
func WriteNodes(w io.Writer, v rollout.View, now time.Time) {
	const most, gaps = 12, 2 * 5 // columns of a node JSON's name; of what stands between cells
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
		rows = append(rows, []string{cut(n.Node, nameWidth), state, cut(json, most), since, text})
	}
	// The text takes what the others leave of 80 columns.
	left := 80 - gaps
	for i := range widths {
		widths[i] = len(head[i])
		for _, r := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i]))
		}
		left -= widths[i]
	}
	for _, r := range rows {
		r[len(r)-1] = cut(r[len(r)-1], left)
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
