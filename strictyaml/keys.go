package strictyaml

import (
	"fmt"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Keys are the known keys of a mapping and what reads the value of each.
type Keys map[string]func(*Value)

// pair is a key of a mapping and its value, aliases followed.
type pair struct{ key, value *yaml.Node }

// Keys reads v as a mapping of known keys, in the order in which they stand.
// An unknown key is a problem of its own kind. Null is an empty mapping. It
// returns whether v is a mapping.
func (v *Value) Keys(known Keys) bool {
	pairs, ok := v.pairs("known keys: " + list(slices.Sorted(maps.Keys(known))))
	for _, p := range pairs {
		child := v.child(p.key.Value, p.value)
		read, found := known[p.key.Value]
		if !found {
			v.doc.problems = append(v.doc.problems, Problem{
				File: v.doc.file, Line: p.key.Line, Col: p.key.Column, Key: child.key,
				Msg: noSuchKey(p.key.Value, slices.Collect(maps.Keys(known))), Unknown: true,
			})
			continue
		}
		read(child)
	}
	return ok
}

// pairs returns the mapping's keys and values, merge keys resolved: what the
// mapping says itself stands first and beats what it merges. of says what
// the mapping should be of.
func (v *Value) pairs(of string) ([]pair, bool) {
	if isNull(v.node) {
		return nil, true
	}
	if v.node.Kind != yaml.MappingNode {
		v.Problemf("must be a mapping (%s), is %s", of, kind(v.node))
		return nil, false
	}
	var out []pair
	v.collect(v.node, map[string]*yaml.Node{}, map[*yaml.Node]bool{}, &out)
	return out, true
}

// collect appends the pairs of mapping n to out, save those in have. seen are
// the mappings done: an anchor may merge itself, or one mapping many times.
func (v *Value) collect(n *yaml.Node, have map[string]*yaml.Node, seen map[*yaml.Node]bool, out *[]pair) {
	seen[n] = true
	own := map[string]*yaml.Node{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := follow(n.Content[i]), follow(n.Content[i+1])
		switch {
		case key.Kind != yaml.ScalarNode:
			v.doc.Problem(key.Line, key.Column, v.key, "a key must be a word, is "+kind(key))
		case key.Tag == "!!merge":
			if value.Kind == yaml.SequenceNode {
				for _, item := range value.Content {
					merged = append(merged, follow(item))
				}
			} else {
				merged = append(merged, value)
			}
		case own[key.Value] != nil:
			v.doc.Problem(key.Line, key.Column, v.child(key.Value, value).key,
				fmt.Sprintf("given twice, first on line %d", own[key.Value].Line))
		default:
			own[key.Value] = key
			if have[key.Value] == nil {
				have[key.Value] = key
				*out = append(*out, pair{key, value})
			}
		}
	}
	for _, m := range merged {
		switch {
		case m.Kind != yaml.MappingNode:
			v.doc.Problem(m.Line, m.Column, v.key, "<< merges mappings only, not "+kind(m))
		case !seen[m]:
			v.collect(m, have, seen, out)
		}
	}
}
