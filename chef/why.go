package chef

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"unicode/utf8"
)

const (
	verdictTail = 1 << 10 // bytes of Verdict.Tail
	whyMax      = 500     // bytes of Verdict.Why
)

// explain fills Why and Tail of a failure.
func (v *Verdict) explain(e evidence) {
	block := lastFatal(e.text)
	missing, list := unresolved(e.text)
	class, message := "", ""
	switch {
	case e.report != nil && e.report.Exception != "":
		class, message = e.report.Exception, e.report.Message
	case block != "":
		class, message = splitClass(block)
		v.Exception = class
	}
	why, tail := describe(class, message)
	switch {
	case v.TimedOut:
		why = fmt.Sprintf("timed out after %s%s", e.timeout, lastAction(e.text))
		tail = lastLines(e.text)
	case v.Interrupted:
		why = "interrupted" + lastAction(e.text)
		tail = lastLines(e.text)
	case e.exit.signal != 0:
		why = "chef-solo was ended by signal " + signalName(e.exit.signal) + lastAction(e.text)
		if e.exit.signal == syscall.SIGKILL {
			why += " (out of memory?)"
		}
		tail = lastLines(e.text)
	case v.Killed:
		why = "somebody stopped chef-solo with signal " + stoppedBy(e) + lastAction(e.text)
		tail = lastLines(e.text)
	case v.Exit == exitConfig, strings.HasPrefix(message, configAbort):
		why = configMessage(message, e.text)
	case v.Exit == exitLicense:
		why = "Chef's licence is not accepted: set chef.license to accept-no-persist, once you accept it"
	case v.Exit == exitEntitled:
		why = "Chef's licence does not entitle this node: see `chef-solo --license-list` there"
	case v.Exit == exitLicenseKey:
		why = "Chef wants a licence key: set CHEF_LICENSE_KEY for Gurney's service"
	case v.Exit == exitRebootFailed:
		why = "the reboot that a recipe asked for failed"
	case v.Exit == exitAudit:
		why = "Chef's audit failed"
	case list != "" && strings.Contains(message, "412"):
		why, tail = list, missing
	case why == "" && v.Exit == 0:
		why = "Chef's handler saw the converge fail, though chef-solo ended with exit 0"
	case why == "":
		why = "chef-solo ended with " + exitName(e.exit) + lastWords(e.text)
	default:
		why = hinted(why, message, e.text)
	}
	if tail == "" {
		if tail = block; tail == "" {
			tail = lastLines(e.text)
		}
	}
	v.Why, v.Tail = clip(why, whyMax), clip(tail, verdictTail)
}

// A line of Chef's log, and the FATAL ones among them.
var (
	logLine   = regexp.MustCompile(`(?m)^\[\d{4}-[^\]]*\] (?:DEBUG|TRACE|INFO|WARN|ERROR|FATAL): `)
	fatalLine = regexp.MustCompile(`(?m)^(?:\[\d{4}-[^\]]*\] )?FATAL: `)

	// What some versions put around or behind it, in whatever case.
	boilerplate = regexp.MustCompile(`(?i)^(?:Stacktrace dumped|Please provide the contents|-----)`)
	noise       = regexp.MustCompile(`(?m)^No key detected.*\n?`) // 18 and newer
)

// lastFatal returns the text of the last FATAL entry that says what happened,
// without its prefix; it can span lines.
func lastFatal(text string) string {
	all := fatalLine.FindAllStringIndex(text, -1)
	for i := len(all) - 1; i >= 0; i-- {
		block := text[all[i][1]:]
		if end := logLine.FindStringIndex(block); end != nil {
			block = block[:end[0]]
		}
		block = strings.TrimSpace(block)
		if !boilerplate.MatchString(block) {
			return block
		}
	}
	return ""
}

var classPrefix = regexp.MustCompile(`^([A-Z]\w*(?:::[A-Z]\w*)*): `)

// splitClass takes `Class: message` apart.
func splitClass(s string) (class, message string) {
	if m := classPrefix.FindStringSubmatch(s); m != nil {
		return m[1], s[len(m[0]):]
	}
	return "", s
}

var (
	resourceError = regexp.MustCompile(`(?s)^(.*?) \(([^()]* line \d+)\) had an error: (.*)$`)
	shellOutput   = regexp.MustCompile(`(?s)---- Begin output of .*? ----\n(.*)\n---- End output of`)
	shellEnd      = regexp.MustCompile(`(?s)\nRan (.*) returned (\d+)\s*(?:\n|$)`)
	// Several failures: notifications run after the first one.
	multiple = regexp.MustCompile(`^Multiple failures occurred:\n\* ([A-Z][\w:]*) occurred in [^:\n]*: `)
	another  = regexp.MustCompile(`\n\* [A-Z][\w:]* occurred in [^:\n]*: `)

	emptyStream = regexp.MustCompile(`(?m)^STD(?:OUT|ERR): *\n?$`)
)

// describe makes one line of an exception, and for a failed command its output.
func describe(class, message string) (why, tail string) {
	if message == "" {
		return class, ""
	}
	where, more := "", ""
	if m := multiple.FindStringSubmatch(message); m != nil {
		class, message = m[1], message[len(m[0]):]
		if others := another.FindAllStringIndex(message, -1); others != nil {
			more = fmt.Sprintf(" (and %d more)", len(others))
			message = strings.TrimSpace(message[:others[0][0]])
		}
	}
	if m := resourceError.FindStringSubmatch(message); m != nil {
		where = fmt.Sprintf("%s (%s): ", firstLine(m[1]), m[2])
		inner, rest := splitClass(m[3])
		if message = rest; inner != "" {
			class = inner
		}
	}
	if class != "" {
		class += ": "
	}
	if m := shellOutput.FindStringSubmatch(message); m != nil {
		tail = strings.TrimSpace(emptyStream.ReplaceAllString(m[1], ""))
	}
	if m := shellEnd.FindStringSubmatch(message); m != nil {
		return where + class + clip(firstLine(m[1]), 200) + " exited " + m[2] + more, tail
	}
	return where + class + firstLine(message) + more, tail
}

var action = regexp.MustCompile(`(?m)^ *\* (\S.* action \w+)`)

// lastAction names the resource that was at work, as far as the output tells.
func lastAction(text string) string {
	all := action.FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return ""
	}
	return ", last at " + clip(all[len(all)-1][1], 200)
}

func lastLines(text string) string {
	text = strings.TrimSpace(text)
	if len(text) <= verdictTail {
		return text
	}
	text = text[len(text)-verdictTail:]
	if _, rest, ok := strings.Cut(text, "\n"); ok {
		text = rest
	}
	return text
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(line)
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// clip makes s fit for a record: valid text without terminal controls, at
// most limit bytes; of what is longer the beginning and the end.
func clip(s string, limit int) string {
	s = escapes.ReplaceAllString(strings.ToValidUTF8(s, "?"), "")
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	const gap = " … "
	head := limit / 4
	for !utf8.RuneStart(s[head]) {
		head--
	}
	from := len(s) - (limit - head - len(gap))
	for !utf8.RuneStart(s[from]) {
		from++
	}
	return s[:head] + gap + s[from:]
}
