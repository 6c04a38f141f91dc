package standin

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// node is Chef's node object. Attributes of a higher level win, map by map:
// default, normal, override, automatic.
type node struct {
	name        string
	environment string
	runList     []string

	defaults, normal, override, automatic map[string]any
}

// saved is the file <node_path>/<name>.json.
type saved struct {
	Name        string         `json:"name"`
	Environment string         `json:"chef_environment"`
	Normal      map[string]any `json:"normal"`
	Default     map[string]any `json:"default"`
	Override    map[string]any `json:"override"`
	Automatic   map[string]any `json:"automatic"`
	RunList     []string       `json:"run_list"`
}

// loadNode brings back the saved node. Its normal attributes and its run list
// stick; the other levels are made anew in each run.
func loadNode(path, name string) (*node, *exception) {
	n := &node{name: name, environment: "_default", defaults: map[string]any{}, normal: map[string]any{},
		override: map[string]any{}, automatic: map[string]any{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return nil, internal()
	}
	var s saved
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, internal()
	}
	if s.Normal != nil {
		n.normal = s.Normal
	}
	// What chef-client would not have saved, someone wrote by hand: a picked
	// node JSON that lies in node_path.
	n.runList = s.RunList
	if s.Environment != "" {
		n.environment = s.Environment
	}
	return n, nil
}

// internal is all that chef-zero, Chef's server within, says when it can't
// write or read a node.
func internal() *exception {
	return raise("Net::HTTPFatalError", `500 "Internal Server Error"`)
}

// readAttributes reads the file of -j.
func readAttributes(path string) (map[string]any, *exception) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &exception{class: "Chef::Exceptions::ConfigurationError", message: "Cannot load configuration from " + path}
	}
	var attributes map[string]any
	if err := json.Unmarshal(data, &attributes); err != nil {
		return nil, raise("Chef::Exceptions::ConfigurationError", "Could not parse the provided JSON file (%s): %v", path, err)
	}
	return attributes, nil
}

// consume takes in the JSON of -j: run_list or recipes, chef_environment, and
// all else as normal attributes.
func (n *node) consume(attributes map[string]any) *exception {
	attributes = maps.Clone(attributes)
	list, recipes := attributes["run_list"], attributes["recipes"]
	if list != nil && recipes != nil {
		return raise("Chef::Exceptions::AmbiguousRunlistSpecification", "please set the node's run list using the 'run_list' attribute only.")
	}
	if list == nil {
		list = recipes
	}
	if list != nil {
		n.runList = texts(list)
	}
	if env, ok := attributes["chef_environment"].(string); ok {
		n.environment = env
	}
	delete(attributes, "run_list")
	delete(attributes, "recipes")
	delete(attributes, "chef_environment")
	n.normal = merge(n.normal, attributes)
	return nil
}

// save writes the node where the next run finds it.
func (n *node) save(path string) *exception {
	data, err := json.MarshalIndent(saved{n.name, n.environment, n.normal, n.defaults, n.override, n.automatic, n.runList}, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		return internal()
	}
	return nil
}

func (n *node) merged() map[string]any {
	return merge(merge(merge(n.defaults, n.normal), n.override), n.automatic)
}

// merge lays one map over another, into maps where both have them.
func merge(under, over map[string]any) map[string]any {
	out := maps.Clone(under)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range over {
		a, both := out[k].(map[string]any)
		if b, ok := v.(map[string]any); ok && both {
			v = merge(a, b)
		}
		out[k] = v
	}
	return out
}

// searchNodes is what a recipe's search(:node) finds: one file that is no
// JSON breaks it.
func searchNodes(dir string) ([]any, *exception) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, internal()
	}
	var out []any
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		var v map[string]any
		if err != nil || json.Unmarshal(data, &v) != nil {
			return nil, internal()
		}
		out = append(out, v)
	}
	return out, nil
}
