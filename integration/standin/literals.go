package standin

import (
	"strconv"
	"strings"
)

func (p *parser) number() any {
	from := p.at
	for p.at++; p.at < len(p.text) && (isWord(p.text[p.at]) || p.text[p.at] == '.'); p.at++ {
	}
	s := p.text[from:p.at]
	if n, err := strconv.ParseInt(s, 0, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(unknown("the number %s", s))
	}
	return f
}

// words reads the rest of %w(a b).
func (p *parser) words() any {
	closing, ok := map[byte]string{'(': ")", '[': "]", '{': "}"}[p.text[min(p.at, len(p.text)-1)]]
	inner, _, closed := strings.Cut(p.text[p.at:], closing)
	if !ok || !closed {
		panic(p.lost())
	}
	p.at += len(inner) + 1
	var out []any
	for _, w := range strings.Fields(inner[1:]) {
		out = append(out, w)
	}
	return out
}

// quoted reads a string whose opening quote was read.
func (p *parser) quoted(quote byte) string {
	var b strings.Builder
	for ; p.at < len(p.text); p.at++ {
		c := p.text[p.at]
		switch {
		case c == quote:
			p.at++
			return b.String()
		case c == '\\' && p.at+1 < len(p.text):
			p.at++
			b.WriteString(escaped(quote, p.text[p.at]))
		case quote == '"' && strings.HasPrefix(p.text[p.at:], "#{"):
			p.at += 2
			b.WriteString(text(p.expr()))
			p.want("}")
			p.at--
		default:
			b.WriteByte(c)
		}
	}
	panic(raise("SyntaxError", "unterminated string meets end of file: %s", strings.TrimSpace(p.text)))
}

func escaped(quote, c byte) string {
	if quote == '\'' {
		if c == quote || c == '\\' {
			return string(c)
		}
		return `\` + string(c)
	}
	switch c {
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 'e':
		return "\x1b"
	}
	return string(c)
}
