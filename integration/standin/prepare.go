package standin

import (
	"os"
	"runtime"
	"strings"
)

// prepare is all up to the resources: node, environment, run list, recipes.
func (c *run) prepare(attributes map[string]any) (e *exception) {
	if c.node, e = loadNode(c.nodePath(), c.nodeName()); e != nil {
		return e
	}
	if env := c.environment(); env != "" {
		c.node.environment = env
	}
	if e := c.node.consume(attributes); e != nil {
		return e
	}
	if e := c.create(); e != nil {
		return e
	}
	if c.node.environment != "_default" {
		env, found, e := readRole(c.node.environment, c.dirs("environment"))
		if e != nil {
			return e
		}
		if !found {
			c.out.block("Error expanding the run_list:", "The environment "+c.node.environment+" does not exist.")
			return raise("Net::HTTPClientException", `404 "Not Found"`)
		}
		c.node.defaults, c.node.override = env.Default, env.Override
	}
	list := c.node.runList
	if c.override {
		list = c.runList
	}
	x := &expansion{}
	if e := x.expand(list, c.dirs("role"), c.node); e != nil {
		return e
	}
	c.roles = x.roles
	c.out.printf("Resolving cookbooks for run list: %s\n", inspect(x.recipes))
	if names := missing(x.recipes, c.dirs("cookbook")); names != nil {
		c.out.block("Error Resolving Cookbooks for Run List:", "Missing Cookbooks:\n------------------\nNo such cookbook: "+strings.Join(names, "\nNo such cookbook: "))
		return raise("Net::HTTPClientException", `412 "Precondition Failed"`)
	}
	c.node.automatic = c.found(x)
	return c.compile(x.recipes)
}

func (c *run) environment() string {
	if c.flags.environment != "" {
		return c.flags.environment
	}
	return text(c.values["environment"])
}

// create makes the node's file where there is none yet, as Chef does long
// before it converges: a place that can't be written to ends the run here.
func (c *run) create() *exception {
	if c.whyRun {
		return nil
	}
	if _, err := os.Stat(c.nodePath()); err == nil {
		f, err := os.OpenFile(c.nodePath(), os.O_WRONLY, 0)
		if err != nil {
			return internal()
		}
		_ = f.Close()
		return nil
	}
	return (&node{name: c.node.name, environment: "_default"}).save(c.nodePath())
}

// found are the automatic attributes, a trifle beside what Ohai finds.
func (c *run) found(x *expansion) map[string]any {
	host, err := os.Hostname()
	if err != nil {
		host = c.node.name
	}
	env := map[string]any{}
	for _, key := range []string{"PATH", "HOME", "LANG", "SHELL"} {
		env[key] = os.Getenv(key)
	}
	return map[string]any{
		"name": c.node.name, "chef_environment": c.node.environment, "hostname": host,
		"os": runtime.GOOS, "platform": "gurney-standin", "chef_packages": map[string]any{"chef": map[string]any{"version": c.number}},
		"roles": anys(x.roles), "recipes": anys(x.recipes), "environment_variables": env,
	}
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

func (c *run) compile(recipes []string) *exception {
	c.out.printf("Compiling cookbooks...\n")
	comp := &compiler{
		scope:     scope{node: c.node, config: c.values, search: func() ([]any, *exception) { return searchNodes(c.nodesDir()) }},
		cookbooks: c.dirs("cookbook"), seen: map[string]bool{}, sleep: c.sleep,
	}
	for _, name := range recipes {
		if e := comp.include(name, ""); e != nil {
			return e
		}
	}
	c.list = comp.list
	return nil
}
