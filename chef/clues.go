package chef

import (
	"regexp"
	"strings"
)

// What Chef prints elsewhere than in its last FATAL line, and a person wants
// to know.

// configAbort begins the last FATAL line of a bad configuration.
const configAbort = "Aborting due to error in '"

// configError is where 15 and older have the words: some lines further up.
var configError = regexp.MustCompile(`(?m)^(?:\[\d{4}-[^\]]*\] )?FATAL: Configuration error [A-Z][\w:]*: (.*)$`)

// configMessage leaves out what Chef puts before the words of the exception.
func configMessage(message, text string) string {
	if _, rest, ok := strings.Cut(message, configAbort); ok {
		if _, words, ok := strings.Cut(rest, "': "); ok {
			message = words
		} else if all := configError.FindAllStringSubmatch(text, -1); all != nil {
			message = all[len(all)-1][1]
		}
	}
	return strings.TrimPrefix(firstLine(message), "gurney: ")
}

// These are what Chef's own server answers to a run list that it can't fill.
var (
	noSuchCookbook = regexp.MustCompile(`(?m)^ *(No such cookbook|No such cookbook version for cookbook \S+|Could not satisfy version constraints for): (.*)$`)
	unsolvable     = "Unsolvable versions!"
	rule           = regexp.MustCompile(`(?m)^[=-]*\n`)
)

// unresolved finds the block that names the cookbooks, and makes a line of it;
// the exception says only `412 "Precondition Failed"`.
func unresolved(text string) (block, line string) {
	at := strings.LastIndex(text, "Missing Cookbooks:")
	if at < 0 {
		if m := noSuchCookbook.FindStringIndex(text); m != nil {
			at = m[0]
		}
	}
	if at < 0 {
		return "", ""
	}
	block = text[at:min(len(text), at+8<<10)]
	if end := logLine.FindStringIndex(block); end != nil {
		block = block[:end[0]]
	}
	var found []string
	last := ""
	for _, m := range noSuchCookbook.FindAllStringSubmatch(block, -1) {
		name := strings.TrimSpace(m[2])
		if m[1] == last {
			found[len(found)-1] += ", " + name
			continue
		}
		found, last = append(found, m[1]+": "+name), m[1]
	}
	if found == nil && strings.Contains(block, unsolvable) {
		found = []string{"the cookbooks' versions exclude each other"}
	}
	if found == nil {
		return "", ""
	}
	return strings.TrimSpace(rule.ReplaceAllString(block, "")), strings.Join(found, "; ")
}

var dataBag = regexp.MustCompile(`(?m)^(?:\[\d{4}-[^\]]*\] )?ERROR: Failed to (?:load data bag (item): |list data bag items in data bag: )(.*)$`)

// hinted adds to why what the answers of Chef's own server leave out, and
// where in a recipe an exception came from that no resource raised.
func hinted(why, message, text string) string {
	resource, compile := resourceError.MatchString(message), compileError(text)
	switch bag := dataBag.FindAllStringSubmatch(text, -1); {
	case strings.Contains(message, `404 "Not Found"`) && bag != nil:
		m := bag[len(bag)-1]
		why += ": the release has no data bag " + strings.TrimSpace(m[1]+" "+m[2])
	case resource:
		return why
	case strings.Contains(message, `404 "Not Found"`) && compile == "":
		why += ": most often an environment that the release does not have"
	case strings.Contains(message, `500 "Internal Server Error"`):
		why += ": most often a role, environment or data bag that is no JSON, or a full disk"
	}
	if !resource && compile != "" {
		why = compile + ": " + why
	}
	return why
}

var (
	compileHead = "\nRecipe Compile Error in "
	traceLine   = regexp.MustCompile(`(?m)^ *(/\S.*?:\d+):in `)
)

// compileError is where an exception came from that no resource raised:
// cookbook/recipes/file.rb:line, "" where Chef does not tell.
func compileError(text string) string {
	at := strings.LastIndex(text, compileHead)
	if at < 0 {
		return ""
	}
	block := text[at+len(compileHead):]
	place := firstLine(block)
	if m := traceLine.FindStringSubmatch(block); m != nil {
		place = m[1]
	}
	if at := strings.LastIndex(place, "/cookbooks/"); at >= 0 {
		place = place[at+len("/cookbooks/"):]
	}
	return place
}

var (
	uncaught  = regexp.MustCompile(`(?m)^\S*:\d+:in .*?: (.+) \(([A-Z][\w:]*)\)$`)
	badOption = regexp.MustCompile(`(?m)^(?:Error: )?((?:invalid|missing|ambiguous|needless) (?:option|argument): .*)$`)
)

// lastWords says what is known of an end without a FATAL line: Ruby's own
// words where it died of an exception, what Chef says of its arguments, or
// whatever came last.
func lastWords(text string) string {
	if all := uncaught.FindAllStringSubmatch(text, -1); all != nil {
		m := all[len(all)-1]
		return ": " + m[2] + ": " + m[1]
	}
	if m := badOption.FindStringSubmatch(text); m != nil {
		return ": " + m[1]
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return " and said nothing of it"
	}
	return "; its last words: " + strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}
