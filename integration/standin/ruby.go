package standin

import (
	"fmt"
	"strings"
)

// scope is what an expression can see.
type scope struct {
	file   string // __FILE__
	node   *node  // nil in a configuration
	search func() ([]any, *exception)
	config map[string]any
}

// symbol is a Ruby symbol.
type symbol string

// parser reads the little Ruby that recipes and configurations of the suite
// need: literals, node, ENV, File's path methods, ==, !=, ||, && and +. It
// panics with an *exception, which statement and its kin recover.
type parser struct {
	*scope
	text string
	at   int
}

// parse runs read on text and wants all of it read.
func (s *scope) parse(text string, read func(*parser)) (e *exception) {
	p := &parser{scope: s, text: text}
	defer func() {
		if r := recover(); r != nil {
			var ok bool
			if e, ok = r.(*exception); !ok {
				panic(r)
			}
		}
	}()
	read(p)
	if p.space(); p.at < len(p.text) && p.text[p.at] != '#' {
		panic(p.lost())
	}
	return nil
}

func (p *parser) lost() *exception {
	return unknown("this Ruby, at %q: %s", p.text[p.at:], strings.TrimSpace(p.text))
}

func (p *parser) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
}

// has reads token where it stands next.
func (p *parser) has(token string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.at:], token) {
		return false
	}
	p.at += len(token)
	return true
}

func (p *parser) want(token string) {
	if !p.has(token) {
		panic(p.lost())
	}
}

// word reads an identifier, with what Ruby allows at its end.
func (p *parser) word() string {
	p.space()
	from := p.at
	for p.at < len(p.text) && (isWord(p.text[p.at]) || p.at > from && strings.IndexByte("?!", p.text[p.at]) >= 0) {
		p.at++
	}
	return p.text[from:p.at]
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// list reads expressions up to the closing token; "" reads to the statement's end.
func (p *parser) list(closing string) []any {
	var out []any
	if closing != "" && p.has(closing) {
		return out
	}
	for {
		out = append(out, p.expr())
		if p.has(",") {
			if closing != "" && p.has(closing) {
				return out
			}
			continue
		}
		if closing != "" {
			p.want(closing)
		}
		return out
	}
}

func (p *parser) expr() any {
	left := p.primary()
	for {
		switch {
		case p.has("=="):
			left = fmt.Sprint(left) == fmt.Sprint(p.primary())
		case p.has("!="):
			left = fmt.Sprint(left) != fmt.Sprint(p.primary())
		case p.has("||"):
			if right := p.primary(); !truth(left) {
				left = right
			}
		case p.has("&&"):
			if right := p.primary(); truth(left) {
				left = right
			}
		case p.has("+"):
			left = text(left) + text(p.primary())
		default:
			return left
		}
	}
}

func (p *parser) primary() any {
	p.space()
	if p.at == len(p.text) {
		panic(p.lost())
	}
	switch c := p.text[p.at]; {
	case c == '"' || c == '\'':
		p.at++
		return p.quoted(c)
	case p.has("!"):
		return !truth(p.primary())
	case p.has("("):
		v := p.expr()
		p.want(")")
		return v
	case p.has("["):
		return p.list("]")
	case p.has("%w"):
		return p.words()
	case c >= '0' && c <= '9' || c == '-':
		return p.number()
	case p.has(":"):
		if p.has(`"`) {
			return symbol(p.quoted('"'))
		}
		return symbol(p.word())
	}
	return p.named(p.word())
}
