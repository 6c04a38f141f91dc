package manifest

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// action matches the two template actions that are rendered, trim markers and
// all; whatever else stands in braces belongs to somebody else (docker's
// {{.State.Running}}) and stays as it is.
var (
	action = regexp.MustCompile(`(\s*\{\{-\s|\{\{)\s*(env|must_env)((?:\s+(?:"(?:[^"\\\n]|\\[^\n])*"|` + "`[^`]*`" + `))+)(\s+-\}\}\s*|\s*\}\})`)
	quoted = regexp.MustCompile(`"(?:[^"\\\n]|\\[^\n])*"|` + "`[^`]*`")
)

// rendered is a manifest's text after its template actions.
type rendered struct {
	text  []byte
	lines []int // lines[i] is the line of the source that line i+1 of text came from
	unset []unset
}

// unset is a must_env whose variable is not there, and its place.
type unset struct {
	line, col int
	name      string
}

// unread opens what stands for a variable that is set on the nodes only.
const unread = "‹"

// render replaces {{ env "X" "default" }} and {{ must_env "X" }}. As in
// Stretcher, env takes the first of its variables that is not empty, and the
// last of its words stands for itself when none is. With tolerate a variable
// that only a node can know becomes a placeholder that opens with unread.
func render(doc []byte, lookup func(string) (string, bool), tolerate bool) rendered {
	r := rendered{lines: []int{1}}
	line, done := 1, 0
	// emit writes s; the source goes on by as many lines as src has.
	emit := func(s, src string) {
		r.text = append(r.text, s...)
		for range strings.Count(s, "\n") {
			if s == src {
				line++
			}
			r.lines = append(r.lines, line)
		}
		if s != src {
			line += strings.Count(src, "\n")
		}
	}
	for _, m := range action.FindAllSubmatchIndex(doc, -1) {
		value, ok := evaluate(string(doc[m[4]:m[5]]), words(doc[m[6]:m[7]]), lookup, tolerate)
		if !ok {
			continue
		}
		emit(string(doc[done:m[0]]), string(doc[done:m[0]]))
		if value.missing {
			at := m[0] + bytes.Index(doc[m[0]:m[1]], []byte("{{"))
			begin := bytes.LastIndexByte(doc[:at], '\n') + 1
			r.unset = append(r.unset, unset{1 + bytes.Count(doc[:at], []byte("\n")), 1 + at - begin, value.text})
			value.text = ""
		}
		emit(value.text, string(doc[m[0]:m[1]]))
		done = m[1]
	}
	emit(string(doc[done:]), string(doc[done:]))
	return r
}

// value is what an action became; missing: the variable named text is not set.
type value struct {
	text    string
	missing bool
}

// evaluate says false where the action is not one of ours after all.
func evaluate(fn string, args []string, lookup func(string) (string, bool), tolerate bool) (value, bool) {
	if len(args) == 0 || fn == "must_env" && len(args) != 1 {
		return value{}, false
	}
	for _, name := range args {
		if v, set := lookup(name); set && (v != "" || fn == "must_env") {
			return value{text: v}, true
		}
	}
	switch {
	case tolerate && len(args) == 1:
		return value{text: unread + args[0] + "›"}, true
	case fn == "must_env":
		return value{text: args[0], missing: true}, true
	default:
		return value{text: args[len(args)-1]}, true
	}
}

// words are an action's quoted arguments; none where one is no Go string.
func words(args []byte) []string {
	var out []string
	for _, q := range quoted.FindAllString(string(args), -1) {
		s, err := strconv.Unquote(q)
		if err != nil {
			return nil
		}
		out = append(out, s)
	}
	return out
}

// line is the source's line of a line of the text; 0 stays 0.
func (r rendered) line(n int) int {
	if n < 1 || n > len(r.lines) {
		return n
	}
	return r.lines[n-1]
}
