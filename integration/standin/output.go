package standin

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// output writes what Chef writes: all of it to stdout, the fatal lines too.
// The first failed write is kept; after it nothing more is written.
type output struct {
	w   io.Writer
	err error
}

func (o *output) printf(format string, args ...any) {
	if o.err == nil {
		_, o.err = fmt.Fprintf(o.w, format, args...)
	}
}

func (o *output) log(level, format string, args ...any) {
	o.printf("[%s] %s: %s\n", time.Now().Format("2006-01-02T15:04:05-07:00"), level, fmt.Sprintf(format, args...))
}

// block is how Chef frames an error before it becomes a FATAL line.
func (o *output) block(title, text string) {
	rule := strings.Repeat("=", 80)
	o.printf("\n%s\n%s\n%s\n\n%s\n\n", rule, title, rule, strings.TrimRight(text, "\n"))
}

// broken is the exception that a write into a closed pipe raises in Chef's
// output, from wherever it stands.
func (o *output) broken() *exception {
	if o.err == nil {
		return nil
	}
	return &exception{class: "Errno::EPIPE", message: "Broken pipe @ io_writev - <STDOUT>"}
}

// spell is a duration in the words of Chef's summary line: whole seconds,
// with minutes and hours where there are some.
func spell(d time.Duration) string {
	s := int(d / time.Second)
	text := fmt.Sprintf("%02d seconds", s%60)
	if s >= 60 {
		text = fmt.Sprintf("%02d minutes %s", s/60%60, text)
	}
	if s >= 3600 {
		text = fmt.Sprintf("%02d hours %s", s/3600, text)
	}
	return text
}

// summary is the last line of a converge; a failure names no total.
func (o *output) summary(v version, failed bool, updated, total int, took time.Duration, whyRun bool) {
	verb := "updated"
	if whyRun {
		verb = "would have been updated"
	}
	switch {
	case failed:
		sep := " failed. "
		o.printf("\n%s%s%d resources %s in %s\n", v.phase(), sep, updated, verb, spell(took))
	case v.major >= 17:
		o.printf("\n%s complete, %d/%d resources %s in %s\n", v.phase(), updated, total, verb, spell(took))
	default:
		o.printf("\n%s finished, %d/%d resources %s in %s\n", v.phase(), updated, total, verb, spell(took))
	}
}
