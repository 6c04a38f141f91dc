package event

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// The longest node filters that Consul 1.22 was seen to take, in bytes: an
// event with its name, payload and filters fits into 512 as Serf encodes it.
const (
	MaxExecFilter = 331 // of `consul exec -node`, which puts a session into the payload
	MaxFilter     = 413 // of any event: with a name of one byte, and nothing else
)

// NodeFilter is an expression that matches the names and nothing else, for
// -node of `consul exec` and of events, which match anywhere in a name unless
// told otherwise. What names have in common is written once, which is shorter
// than what regexp/syntax makes of them: that leaves ends as they are. For no
// names it matches none: an empty filter would match all.
func NodeFilter(names []string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if len(names) == 0 {
		return "^$"
	}
	short := factor(names).as(sequence)
	plain := make([]string, len(names))
	for i, n := range names {
		plain[i] = regexp.QuoteMeta(n)
	}
	if all := strings.Join(plain, "|"); len(names) > 1 && len(all)+len("(?:)") < len(short) {
		short = "(?:" + all + ")"
	}
	return "^" + short + "$"
}

// binding says what an expression may be put beside without brackets.
type binding int

const (
	atom        binding = iota // a "?" after it means all of it
	sequence                   // so does something before or after it
	alternation                // nothing does
)

// piece is a part of an expression.
type piece struct {
	text string
	bind binding
}

// as is the piece where no more than b will do.
func (p piece) as(b binding) string {
	if p.bind > b {
		return "(?:" + p.text + ")"
	}
	return p.text
}

// factor makes an expression of words, which are sorted, and different.
func factor(words []string) piece {
	if words[0] == "" {
		if len(words) == 1 {
			return piece{"", sequence}
		}
		return piece{factor(words[1:]).as(atom) + "?", sequence}
	}
	if start := commonStart(words); start != "" {
		return join(literal(start), factor(each(words, func(w string) string { return w[len(start):] })))
	}
	if end := commonEnd(words); end != "" {
		// The order may be another without their end.
		short := each(words, func(w string) string { return w[:len(w)-len(end)] })
		slices.Sort(short)
		return join(factor(short), literal(end))
	}
	return branch(words)
}

// branch parts the words by their first characters. Characters after which
// the same follows become a class.
func branch(words []string) piece {
	var tails []string
	firsts := map[string][]rune{}
	for len(words) > 0 {
		first, size := utf8.DecodeRuneInString(words[0])
		n := 1
		for n < len(words) && strings.HasPrefix(words[n], words[0][:size]) {
			n++
		}
		tail := factor(each(words[:n], func(w string) string { return w[size:] })).as(sequence)
		if firsts[tail] == nil {
			tails = append(tails, tail)
		}
		firsts[tail] = append(firsts[tail], first)
		words = words[n:]
	}
	all := make([]piece, len(tails))
	for i, tail := range tails {
		all[i] = join(class(firsts[tail]), piece{tail, sequence})
	}
	if len(all) == 1 {
		return all[0]
	}
	texts := make([]string, len(all))
	for i, p := range all {
		texts[i] = p.text
	}
	return piece{strings.Join(texts, "|"), alternation}
}

// class matches one of the characters, which are sorted.
func class(of []rune) piece {
	if len(of) == 1 {
		return literal(string(of))
	}
	var b strings.Builder
	for i := 0; i < len(of); {
		n := 1
		for i+n < len(of) && of[i+n] == of[i]+rune(n) {
			n++
		}
		if n < 3 {
			n = 1
		}
		b.WriteString(inClass(of[i]))
		if n > 1 {
			b.WriteString("-" + inClass(of[i+n-1]))
		}
		i += n
	}
	return piece{"[" + b.String() + "]", atom}
}

func inClass(r rune) string {
	if strings.ContainsRune(`\]^-[`, r) {
		return `\` + string(r)
	}
	return string(r)
}

func literal(s string) piece {
	if utf8.RuneCountInString(s) == 1 {
		return piece{regexp.QuoteMeta(s), atom}
	}
	return piece{regexp.QuoteMeta(s), sequence}
}

func join(a, b piece) piece {
	switch {
	case a.text == "":
		return b
	case b.text == "":
		return a
	}
	return piece{a.as(sequence) + b.as(sequence), sequence}
}

func each(words []string, f func(string) string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = f(w)
	}
	return out
}

// commonStart is the longest beginning of all words, in whole characters.
func commonStart(words []string) string {
	start := words[0]
	for _, w := range words[1:] {
		for !strings.HasPrefix(w, start) {
			_, size := utf8.DecodeLastRuneInString(start)
			start = start[:len(start)-size]
		}
	}
	return start
}

// commonEnd is the longest end of all words, in whole characters.
func commonEnd(words []string) string {
	end := words[0]
	for _, w := range words[1:] {
		for !strings.HasSuffix(w, end) {
			_, size := utf8.DecodeRuneInString(end)
			end = end[size:]
		}
	}
	return end
}
