package integration_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// block is one fenced block of a page, or what stands in a comment that
// begins with "test": what a reader does by other means.
type block struct {
	page string
	line int // of its first line of text
	kind string
	text string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

var (
	fence   = regexp.MustCompile("^ *(```+|~~~+) *([A-Za-z]*) *$")
	comment = "<!-- test"
)

// blocksOf reads the blocks of a page in order. A fence that is not closed is
// an error, not the end of the page.
func blocksOf(t *testing.T, page, path string) []block {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	var open string // what closes the block that is open; "": none is
	for i, line := range strings.Split(string(data), "\n") {
		switch {
		case open != "" && strings.TrimSpace(line) == open:
			open = ""
		case open != "":
			out[len(out)-1].text += line + "\n"
		case strings.TrimSpace(line) == comment:
			open, out = "-->", append(out, block{page, i + 2, "hidden", ""})
		case fence.MatchString(line):
			m := fence.FindStringSubmatch(line)
			open, out = m[1], append(out, block{page, i + 2, m[2], ""})
		case strings.Contains(line, "```"):
			t.Errorf("%s:%d: a fence with more than a language beside it", page, i+1)
		}
	}
	if open != "" {
		t.Errorf("%s: a block is not closed", out[len(out)-1])
	}
	return out
}

// command is one command of a console block and what it is to print.
type command struct {
	line   int
	host   string // whose prompt it stands at
	text   string // lines that end with \ go on
	output string
}

var prompt = regexp.MustCompile(`^([a-z][a-z0-9-]*)?\$ (.+)$`)

// commandsOf takes a console block apart. A prompt without a name is ops's.
func commandsOf(b block) ([]command, error) {
	var out []command
	goesOn := false
	for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		m := prompt.FindStringSubmatch(line)
		switch {
		case goesOn:
			out[len(out)-1].text += "\n" + line
		case m != nil:
			host := m[1]
			if host == "" {
				host = "ops"
			}
			out = append(out, command{b.line + i, host, m[2], ""})
		case len(out) == 0:
			return nil, fmt.Errorf("%s: the block begins with no prompt: %s", b, line)
		default:
			out[len(out)-1].output += line + "\n"
			continue
		}
		goesOn = strings.HasSuffix(line, `\`)
	}
	return out, nil
}

// fileName is the path, and the hosts, that a block's first line names:
//
//	# /etc/gurney/gurney.yml
//	# manifest.yml
//	# /etc/gurney/gurney.yml on web-1, web-2
var fileName = regexp.MustCompile(`^# ([\w./-]+\.[a-z]+)(?: on ([a-z0-9, -]+))?\n`)
