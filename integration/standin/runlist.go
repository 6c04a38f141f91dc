package standin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// role is a role or an environment: the parts that bear on a run.
type role struct {
	RunList  []string       `json:"run_list"`
	Default  map[string]any `json:"default_attributes"`
	Override map[string]any `json:"override_attributes"`
}

// entry takes "recipe[a::b]" and "role[c]" apart; a bare name is a recipe.
func entry(s string) (kind, name string) {
	for _, kind := range []string{"recipe", "role"} {
		if inner, ok := strings.CutPrefix(s, kind+"["); ok {
			return kind, strings.TrimSuffix(inner, "]")
		}
	}
	return "recipe", s
}

// expansion is a run list with the recipes of its roles in their place.
type expansion struct {
	recipes, roles []string
}

// expand lays the roles' attributes into the node.
func (x *expansion) expand(list []string, dirs []string, n *node) *exception {
	for _, item := range list {
		kind, name := entry(strings.TrimSpace(item))
		if kind == "recipe" {
			x.recipes = append(x.recipes, name)
			continue
		}
		if slices.Contains(x.roles, name) {
			continue
		}
		x.roles = append(x.roles, name)
		r, found, e := readRole(name, dirs)
		if e != nil {
			return e
		}
		if !found {
			return raise("Chef::Exceptions::MissingRole", "%s", name)
		}
		n.defaults, n.override = merge(n.defaults, r.Default), merge(n.override, r.Override)
		if e := x.expand(r.RunList, dirs, n); e != nil {
			return e
		}
	}
	return nil
}

// readRole reads <name>.json or <name>.rb, a role or an environment.
func readRole(name string, dirs []string) (r role, found bool, e *exception) {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if data, err := os.ReadFile(path + ".json"); err == nil {
			if err := json.Unmarshal(data, &r); err != nil {
				return r, true, raise("Chef::Exceptions::JSON::ParseError", "%s.json: %v", path, err)
			}
			return r, true, nil
		}
		if data, err := os.ReadFile(path + ".rb"); err == nil {
			e := r.evaluate(path+".rb", string(data))
			return r, true, e
		}
	}
	return r, false, nil
}

// evaluate reads a role in Ruby: of it only the run list counts here.
func (r *role) evaluate(path, content string) *exception {
	s := &scope{file: path}
	for _, line := range statements(content) {
		e := s.parse(line.text, func(p *parser) {
			switch word := p.word(); word {
			case "name", "description":
				p.expr()
			case "run_list":
				if p.has("(") {
					r.RunList = texts(p.list(")"))
				} else {
					r.RunList = texts(p.list(""))
				}
			default:
				panic(unknown("%q in a role or environment in Ruby; JSON can say it", word))
			}
		})
		if e != nil {
			return e
		}
	}
	return nil
}

// missing are the cookbooks of recipes that no directory has.
func missing(recipes, dirs []string) []string {
	var names []string
	for _, r := range recipes {
		cookbook, _, _ := strings.Cut(r, "::")
		there := slices.ContainsFunc(dirs, func(dir string) bool {
			info, err := os.Stat(filepath.Join(dir, cookbook))
			return err == nil && info.IsDir()
		})
		if !there && !slices.Contains(names, cookbook) {
			names = append(names, cookbook)
		}
	}
	return names
}
