package standin

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// resource is one block of a recipe.
type resource struct {
	kind, name string
	props      map[string]any
	recipe     string // cookbook::recipe
	line       int
}

func (r *resource) String() string { return r.kind + "[" + r.name + "]" }

func (r *resource) where() string { return fmt.Sprintf("%s line %d", r.recipe, r.line) }

// compiler collects the resources of recipes. All are read before the first
// resource runs, as in Chef: what a recipe raises while it is read comes
// before any change.
type compiler struct {
	scope
	cookbooks []string // cookbook_path
	list      []*resource
	seen      map[string]bool
	sleep     func(time.Duration) *exception
}

// include reads a recipe, once: "cb", "cb::recipe", or "::recipe" within cb.
func (c *compiler) include(name, from string) *exception {
	cookbook, recipe, ok := strings.Cut(name, "::")
	if !ok {
		recipe = "default"
	}
	if cookbook == "" {
		cookbook = from
	}
	full := cookbook + "::" + recipe
	if c.seen[full] {
		return nil
	}
	c.seen[full] = true
	for _, dir := range c.cookbooks {
		path := filepath.Join(dir, cookbook, "recipes", recipe+".rb")
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		outer := c.file
		c.file = path
		rest, e := c.body(statements(string(content)), full, true)
		if e == nil && len(rest) > 0 {
			e = raise("SyntaxError", "%s:%d: unexpected %q", path, rest[0].line, rest[0].text)
		}
		c.file = outer
		return e
	}
	return raise("Chef::Exceptions::RecipeNotFound", "could not find recipe %s for cookbook %s", recipe, cookbook)
}

// body reads statements up to an `end` or `else` that is not its own, and
// returns those from there on. With live false they are only skipped.
func (c *compiler) body(list []statement, recipe string, live bool) ([]statement, *exception) {
	for len(list) > 0 {
		first := list[0]
		if first.text == "end" || first.text == "else" {
			return list, nil
		}
		list = list[1:]
		var e *exception
		switch {
		case strings.HasPrefix(first.text, "if "):
			list, e = c.branch(first, list, recipe, live)
		case strings.HasSuffix(first.text, " do"):
			list, e = c.block(first, list, recipe, live)
		case live:
			_, e = c.statement(first, recipe)
		}
		if e != nil {
			return nil, e
		}
	}
	return nil, nil
}

// branch is if … else … end.
func (c *compiler) branch(first statement, list []statement, recipe string, live bool) ([]statement, *exception) {
	holds := false
	if live {
		if e := c.parse(first.text[len("if "):], func(p *parser) { holds = truth(p.expr()) }); e != nil {
			return nil, e
		}
	}
	list, e := c.body(list, recipe, live && holds)
	if e == nil && len(list) > 0 && list[0].text == "else" {
		list, e = c.body(list[1:], recipe, live && !holds)
	}
	if e == nil && len(list) == 0 {
		e = c.endless(first)
	}
	if e != nil {
		return nil, e
	}
	return list[1:], nil
}

// block is a resource with properties, each of them one statement.
func (c *compiler) block(first statement, list []statement, recipe string, live bool) ([]statement, *exception) {
	var r *resource
	if live {
		var e *exception
		if r, e = c.statement(first, recipe); e != nil {
			return nil, e
		}
	}
	for i, s := range list {
		if s.text == "end" {
			return list[i+1:], nil
		}
		if r == nil {
			continue
		}
		e := c.parse(s.text, func(p *parser) {
			name := p.word()
			if !properties[name] {
				panic(unknown("the property %q of %s", name, r.kind))
			}
			r.props[name] = p.expr()
		})
		if e != nil {
			return nil, e
		}
	}
	return nil, c.endless(first)
}

func (c *compiler) endless(s statement) *exception {
	return raise("SyntaxError", "%s:%d: no end to %q", c.file, s.line, s.text)
}

// statement is what stands outside of blocks, and a block's first line; it
// returns the resource where it is one.
func (c *compiler) statement(s statement, recipe string) (r *resource, e *exception) {
	e = c.parse(s.text, func(p *parser) {
		word := p.word()
		switch {
		case word == "raise":
			panic(p.raised())
		case word == "include_recipe":
			cookbook, _, _ := strings.Cut(recipe, "::")
			if e := c.include(text(p.expr()), cookbook); e != nil {
				panic(e)
			}
		case word == "sleep":
			seconds, err := strconv.ParseFloat(text(p.expr()), 64)
			if err != nil {
				panic(raise("TypeError", "can't convert into time interval"))
			}
			if e := c.sleep(time.Duration(seconds * float64(time.Second))); e != nil {
				panic(e)
			}
		case actions[word] != "":
			r = &resource{kind: word, name: text(p.expr()), props: map[string]any{}, recipe: recipe, line: s.line}
			p.has("do")
			c.list = append(c.list, r)
		default:
			panic(unknown("the resource or method %q; it knows %s", word, knownNames()))
		}
	})
	return r, e
}

// raised is the rest of `raise "words"` and of `raise Some::Class, "words"`.
func (p *parser) raised() *exception {
	p.space()
	class := p.text[p.at:]
	n := 0
	for n < len(class) && (isWord(class[n]) || class[n] == ':') {
		n++
	}
	if class = class[:n]; class == "" {
		return raise("RuntimeError", "%s", text(p.expr()))
	}
	p.at += n
	if !p.has(",") {
		return raise(class, "%s", class)
	}
	return raise(class, "%s", text(p.expr()))
}
