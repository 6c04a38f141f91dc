package standin

import (
	"os"
	"path/filepath"
)

// named evaluates what begins with a name.
func (p *parser) named(name string) any {
	switch name {
	case "true":
		return true
	case "false":
		return false
	case "nil":
		return nil
	case "__FILE__":
		return p.file
	case "__dir__":
		return filepath.Dir(p.file)
	case "ENV":
		p.want("[")
		key := text(p.expr())
		p.want("]")
		if v, ok := os.LookupEnv(key); ok {
			return v
		}
		return nil
	case "File", "Dir":
		p.want(".")
		method := p.word()
		p.want("(")
		return file(method, p.list(")"))
	case "search":
		if p.search == nil {
			panic(p.lost())
		}
		p.want("(")
		p.list(")")
		found, e := p.search()
		if e != nil {
			panic(e)
		}
		p.want(".")
		p.want("length")
		return int64(len(found))
	case "node":
		if p.node != nil {
			return p.attribute()
		}
	case "Chef":
		p.want("::Config[")
		v := p.config[text(p.expr())]
		p.want("]")
		return v
	}
	panic(p.lost())
}

// attribute reads node.name, node.chef_environment and node["a"]["b"].
func (p *parser) attribute() any {
	if p.has(".") {
		switch name := p.word(); name {
		case "name":
			return p.node.name
		case "chef_environment", "environment":
			return p.node.environment
		default:
			panic(unknown("node.%s", name))
		}
	}
	var v any = p.node.merged()
	for p.has("[") {
		key := p.expr()
		p.want("]")
		switch in := v.(type) {
		case map[string]any:
			v = in[text(key)]
		case []any:
			i, ok := key.(int64)
			if v = nil; ok && i >= 0 && int(i) < len(in) {
				v = in[i]
			}
		default:
			panic(raise("NoMethodError", "undefined method `[]' for %s", inspect(v)))
		}
	}
	return v
}
