package screen

import (
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"gurney/rollout"
)

// WriteHead says what is deployed, by whom and why.
func WriteHead(w io.Writer, d rollout.Deployment) { writeHead(w, d, Columns(w)) }

// writeHead puts the name of who deploys beside his words where the first line
// has no room for it. 0 columns have room for all.
func writeHead(w io.Writer, d rollout.Deployment, columns int) {
	what, by, why := fmt.Sprintf("%s  %s  %s  sha256 %.4s…", d.App, d.ID, d.URL, d.SHA256), "by "+d.By, ""
	if d.Why != "" {
		why = strconv.Quote(d.Why)
	}
	switch {
	case columns == 0 || utf8.RuneCountInString(what+"  "+by) <= columns:
		what += "  " + by
	case why == "":
		why = by
	default:
		why += "  " + by
	}
	_, _ = fmt.Fprintln(w, what)
	if why != "" {
		_, _ = fmt.Fprintln(w, why)
	}
}
