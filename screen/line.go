// Package screen is what people see: live lines on a terminal, the same facts
// as plain lines in a pipe. It knows no Consul; commands hand it what they
// know.
package screen

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

// Line is one status line below what else is written: writes go above it, and
// without a terminal it shows nothing. Safe for concurrent use.
type Line struct {
	mu    sync.Mutex
	out   io.Writer
	live  bool
	text  string
	shown time.Time
}

// lineEvery bounds how often the line is drawn anew.
const lineEvery = 100 * time.Millisecond

// NewLine makes a line on out.
func NewLine(out io.Writer, live bool) *Line { return &Line{out: out, live: live} }

const eraseLine = "\r\x1b[K"

// Write writes above the line.
func (l *Line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.live || l.text == "" {
		return l.out.Write(p)
	}
	var b bytes.Buffer
	b.WriteString(eraseLine)
	b.Write(p)
	if bytes.HasSuffix(p, []byte("\n")) {
		b.WriteString(l.text)
	}
	_, err := l.out.Write(b.Bytes())
	return len(p), err
}

// Set changes the line; changes that come too fast are left out.
func (l *Line) Set(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.live || time.Since(l.shown) < lineEvery {
		return
	}
	columns, _ := drawn(l.out)
	l.text, l.shown = cut(text, columns), time.Now()
	_, _ = fmt.Fprint(l.out, eraseLine+l.text)
}

// Done takes the line away.
func (l *Line) Done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live && l.text != "" {
		_, _ = fmt.Fprint(l.out, eraseLine)
		l.text = ""
	}
}

// cut shortens text to width columns; every rune counts as one.
func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	if width < 1 {
		return ""
	}
	return string(runes[:width-1]) + "…"
}
