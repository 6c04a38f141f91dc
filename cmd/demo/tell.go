package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// teller tells the story: to people as it goes, and to machines in the
// document at the end.
type teller struct {
	out    io.Writer // io.Discard with -o json
	colour bool
	steps  []*step
}

// step is one chapter of the story.
type step struct {
	Title    string     `json:"title"`
	Commands []*command `json:"commands"`
	Checks   []check    `json:"checks"`
	Seconds  float64    `json:"seconds"`
	began    time.Time
}

// command is one that was run, in the demo's directory.
type command struct {
	Argv    []string `json:"argv"`
	Exit    int      `json:"exit"`
	Seconds float64  `json:"seconds"`
	Output  string   `json:"output,omitempty"` // only with -o json: else it was shown
}

// check is something that was looked up, not believed.
type check struct {
	What string `json:"what"`
	OK   bool   `json:"ok"`
	Why  string `json:"why,omitempty"` // it is not
}

// begin opens a chapter; end closes the last one.
func (t *teller) begin(title string) {
	t.end()
	t.steps = append(t.steps, &step{Title: title, Commands: []*command{}, Checks: []check{}, began: time.Now()})
	t.say("\n%d. %s\n\n", len(t.steps), title)
}

func (t *teller) end() {
	if s := t.now(); s != nil && s.Seconds == 0 {
		s.Seconds = seconds(s.began)
	}
}

func seconds(since time.Time) float64 { return float64(time.Since(since).Milliseconds()) / 1000 }

// now is the chapter that is open.
func (t *teller) now() *step {
	if len(t.steps) == 0 {
		return nil
	}
	return t.steps[len(t.steps)-1]
}

func (t *teller) say(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format, args...) }

// command shows what is about to be run.
func (t *teller) command(argv ...string) *command { return t.shown("$ "+shellLine(argv), argv...) }

// shown is command for what is better shown otherwise.
func (t *teller) shown(line string, argv ...string) *command {
	c := &command{Argv: argv}
	t.now().Commands = append(t.now().Commands, c)
	t.say("%s\n", line)
	return c
}

// check tells what was looked up; why says what is wrong, "" nothing.
func (t *teller) check(why string, format string, args ...any) {
	c := check{fmt.Sprintf(format, args...), why == "", why}
	t.now().Checks = append(t.now().Checks, c)
	if c.OK {
		t.say("%s  %s\n", t.paint("32", "ok  "), c.What)
	} else {
		t.say("%s  %s: %s\n", t.paint("31", "FAIL"), c.What, c.Why)
	}
}

// failed are the checks that did not hold.
func (t *teller) failed() []string {
	var out []string
	for _, s := range t.steps {
		for _, c := range s.Checks {
			if !c.OK {
				out = append(out, c.What+": "+c.Why)
			}
		}
	}
	return out
}

func (t *teller) paint(code, text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// shellLine is argv as one would type it.
func shellLine(argv []string) string {
	words := slices.Clone(argv)
	for i, w := range words {
		if w == "" || strings.ContainsAny(w, " \t\n\"'$&|<>();*?[]{}`\\!#~") {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
