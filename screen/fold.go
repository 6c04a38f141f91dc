package screen

import (
	"strings"
	"unicode/utf8"
)

// Fold puts text behind lead, and breaks its lines at blanks so that they fit
// into so many columns; lines after the first are indented by so many columns. A word
// that is too long for the rest of a line stands whole on one of its own, for
// somebody may want to copy it.
func Fold(columns int, lead string, indent int, text string) string {
	width := columns - 1 // some terminals wrap at the last
	margin := strings.Repeat(" ", indent)
	var b strings.Builder
	b.WriteString(lead)
	column := utf8.RuneCountInString(lead)
	begun := false // something stands on this line behind its margin
	next := func(margin string) {
		done := strings.TrimRight(b.String(), " ")
		b.Reset()
		b.WriteString(done + "\n" + margin)
		column, begun = utf8.RuneCountInString(margin), false
	}
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			next(margin)
		}
		for word := range strings.FieldsSeq(line) {
			size := utf8.RuneCountInString(word)
			long := indent+size > width
			switch {
			case !begun && column+size <= width:
			case long:
				next("")
			case begun && column+1+size <= width:
				b.WriteString(" ")
				column++
			default:
				next(margin)
			}
			b.WriteString(word)
			if column, begun = column+size, true; long {
				column = width // nothing follows it there
			}
		}
	}
	return strings.TrimRight(b.String(), " ") + "\n"
}
