package release

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// rules are rsync's exclude patterns (rsync(1), PATTERN MATCHING RULES). The
// first that matches decides.
type rules struct{ list []rule }

type rule struct {
	include  bool
	pattern  string
	anchored bool // it began with a slash: matched from the root
	dirOnly  bool // it ended with a slash
	wild     bool // has *, ? or [: then a backslash escapes
	slashes  int  // inside the pattern
	double   bool // has **
	prefix   bool // begins with **
	suffix   bool // ends with ***: matches the directory itself too
}

// parseRules reads the patterns of file, which may be nil, and then excludes.
func parseRules(excludes []string, file io.Reader) (rules, error) {
	var r rules
	if file != nil {
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			// rsync takes a carriage return for a line's end too.
			for line := range strings.SplitSeq(lines.Text(), "\r") {
				if line != "" && line[0] != '#' && line[0] != ';' {
					r.add(line)
				}
			}
		}
		if err := lines.Err(); err != nil {
			return rules{}, fmt.Errorf("exclude_from: %w", err)
		}
	}
	for _, e := range excludes {
		r.add(e)
	}
	return r, nil
}

// Excluder makes, of a manifest's excludes or of patterns written like them,
// what says whether the entry at a path, relative to the root, is left out. Its
// parents are to be asked before it: below a directory that is left out
// nothing is.
func Excluder(patterns []string) func(path string, isDir bool) bool {
	r, _ := parseRules(patterns, nil) // only a file can fail
	return r.excluded
}

// add takes one pattern, with the "+ " and "- " that rsync's exclude options
// know; a lone "!" forgets what came before.
func (r *rules) add(text string) {
	if text == "!" {
		r.list = nil
		return
	}
	var one rule
	if rest, ok := strings.CutPrefix(text, "+ "); ok {
		one.include, text = true, rest
	} else if rest, ok := strings.CutPrefix(text, "- "); ok {
		text = rest
	}
	if len(text) > 1 && strings.HasSuffix(text, "/") {
		one.dirOnly, text = true, text[:len(text)-1]
	}
	if text == "" {
		return
	}
	one.wild = strings.ContainsAny(text, "*?[")
	one.slashes = strings.Count(text, "/")
	one.double = strings.Contains(text, "**")
	one.prefix = strings.HasPrefix(text, "**")
	one.suffix = strings.HasSuffix(text, "***")
	one.anchored = strings.HasPrefix(text, "/")
	one.pattern = strings.TrimPrefix(text, "/")
	r.list = append(r.list, one)
}

// excluded says whether the entry at path, relative to the root, is left out.
// Its parents are asked before it: below a directory that is left out nothing
// is looked at.
func (r rules) excluded(path string, isDir bool) bool {
	for _, one := range r.list {
		if one.matches(path, isDir) {
			return !one.include
		}
	}
	return false
}

func (r rule) matches(path string, isDir bool) bool {
	if r.dirOnly && !isDir {
		return false
	}
	name := path
	if r.slashes == 0 && !r.double {
		name = path[strings.LastIndexByte(path, '/')+1:]
	}
	if r.prefix {
		name = "/" + name // so that **/x has its slash at the root too
	}
	if r.suffix && isDir {
		name += "/"
	}
	switch {
	case r.anchored || r.slashes == 0 && !r.double || r.prefix:
		return r.is(name)
	case !r.double:
		// A pattern with a slash inside matches that many last parts.
		last, enough := lastParts(name, r.slashes+1)
		return enough && r.is(last)
	}
	// With ** inside it may begin after every slash.
	for {
		if r.is(name) {
			return true
		}
		_, rest, more := strings.Cut(name, "/")
		if !more {
			return false
		}
		name = rest
	}
}

func (r rule) is(name string) bool {
	if !r.wild {
		return r.pattern == name
	}
	return wildmatch(r.pattern, name, map[[2]int]bool{})
}

// lastParts gives the last n parts of a path; ok is false where it has fewer.
func lastParts(path string, n int) (last string, ok bool) {
	at := len(path)
	for i := range n {
		if at = strings.LastIndexByte(path[:at], '/'); at < 0 {
			return path, i == n-1
		}
	}
	return path[at+1:], true
}

// wildmatch matches * within a part, ** across parts, ? and [class] one
// character that is no slash. failed remembers, by the lengths left of both,
// where a star found nothing: else many stars take exponential time.
func wildmatch(p, s string, failed map[[2]int]bool) bool {
	for len(p) > 0 {
		switch p[0] {
		case '*':
			stars := len(p) - len(strings.TrimLeft(p, "*"))
			rest, at := p[stars:], [2]int{len(p), len(s)}
			if failed[at] {
				return false
			}
			for i := 0; ; i++ {
				if wildmatch(rest, s[i:], failed) {
					return true
				}
				if i == len(s) || stars == 1 && s[i] == '/' {
					failed[at] = true
					return false
				}
			}
		case '?':
			if s == "" || s[0] == '/' {
				return false
			}
			p, s = p[1:], s[1:]
		case '[':
			if s == "" || s[0] == '/' {
				return false
			}
			in, rest, ok := class(p[1:], s[0])
			if !ok || !in {
				return false
			}
			p, s = rest, s[1:]
		default:
			if p[0] == '\\' && len(p) > 1 {
				p = p[1:]
			}
			if s == "" || s[0] != p[0] {
				return false
			}
			p, s = p[1:], s[1:]
		}
	}
	return s == ""
}

// class says whether c is in the class that p begins with, after its bracket,
// and returns what follows it; ok is false where it does not end.
func class(p string, c byte) (in bool, rest string, ok bool) {
	negated := strings.HasPrefix(p, "!") || strings.HasPrefix(p, "^")
	if negated {
		p = p[1:]
	}
	for first := true; p != ""; first = false {
		if p[0] == ']' && !first {
			return in != negated, p[1:], true
		}
		if strings.HasPrefix(p, "[:") {
			if name, after, found := strings.Cut(p[2:], ":]"); found {
				in = in || named(name, c)
				p = after
				continue
			}
		}
		lo := p[0]
		if lo == '\\' && len(p) > 1 {
			p = p[1:]
			lo = p[0]
		}
		p = p[1:]
		hi := lo
		if len(p) > 1 && p[0] == '-' && p[1] != ']' {
			p = p[1:]
			if p[0] == '\\' && len(p) > 1 {
				p = p[1:]
			}
			hi, p = p[0], p[1:]
		}
		in = in || lo <= c && c <= hi
	}
	return false, "", false
}

// named are the classes of POSIX, for ASCII.
func named(name string, c byte) bool {
	lower, upper, digit := c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9'
	switch name {
	case "alpha":
		return lower || upper
	case "digit":
		return digit
	case "alnum":
		return lower || upper || digit
	case "lower":
		return lower
	case "upper":
		return upper
	case "space":
		return c == ' ' || c >= '\t' && c <= '\r'
	case "blank":
		return c == ' ' || c == '\t'
	case "xdigit":
		return digit || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
	case "punct":
		return c > ' ' && c < 0x7f && !lower && !upper && !digit
	case "print":
		return c >= ' ' && c < 0x7f
	case "graph":
		return c > ' ' && c < 0x7f
	case "cntrl":
		return c < ' ' || c == 0x7f
	}
	return false
}
