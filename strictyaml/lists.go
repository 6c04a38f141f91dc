package strictyaml

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// List returns the list's items; null items are left out. Null is the empty list.
func (v *Value) List() ([]*Value, bool) {
	if isNull(v.node) {
		return nil, true
	}
	if v.node.Kind != yaml.SequenceNode {
		v.Problemf("must be a list, is %s", kind(v.node))
		return nil, false
	}
	var items []*Value
	for _, n := range v.node.Content {
		if n = follow(n); !isNull(n) {
			items = append(items, &Value{doc: v.doc, node: n, key: v.key})
		}
	}
	return items, true
}

// Strings reads a list of strings; null items are left out.
func (v *Value) Strings(to *[]string) bool {
	items, ok := v.List()
	var out []string
	for _, item := range items {
		var s string
		if !item.String(&s) {
			ok = false
			continue
		}
		out = append(out, s)
	}
	if ok {
		*to = out
	}
	return ok
}

// Map reads a mapping of any keys to strings; a null is the empty string.
func (v *Value) Map(to *map[string]string) bool {
	pairs, ok := v.pairs("names and strings")
	out := make(map[string]string, len(pairs))
	for _, p := range pairs {
		var s string
		if child := v.child(p.key.Value, p.value); !child.Null() && !child.String(&s) {
			ok = false
			continue
		}
		out[p.key.Value] = s
	}
	if ok {
		*to = out
	}
	return ok
}

// IsList says whether v is a list.
func (v *Value) IsList() bool { return v.node.Kind == yaml.SequenceNode }

func (v *Value) child(name string, n *yaml.Node) *Value {
	key := name
	if v.key != "" {
		key = v.key + "." + name
	}
	return &Value{doc: v.doc, node: n, key: key}
}

// follow returns what an alias stands for. An alias never stands for another.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

func list(words []string) string { return strings.Join(words, ", ") }
