package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"gurney/chef"
	"gurney/config"
	"gurney/event"
	"gurney/rollout"
	"gurney/screen"
)

// nodesCmd shows the fleet, or answers which node JSON a host would take.
type nodesCmd struct {
	Hosts   []string `arg:"" optional:"" help:"With --resolve: host names, short or full; default: this machine's."`
	Resolve string   `placeholder:"DIR" type:"path" help:"Say which node JSON of DIR each host would take."`
	App     filled   `placeholder:"APP" help:"Only nodes that obey this app."`
	Role    filled   `placeholder:"ROLE" help:"Only nodes to which Chef gave this role: short for --service and --tag of the role service."`
	selectorFlags
	Output string `short:"o" enum:"text,json,names,regexp" default:"text" help:"text, json, names, or regexp: an expression for consul exec -node and event filters."`
}

func (n *nodesCmd) Run(ctx context.Context, p *process, c *cli) error {
	if n.Resolve != "" {
		if n.Role != "" || n.Output == "regexp" || n.Output == "names" {
			return usageError("--role, -o names and -o regexp are for nodes of the fleet, not for --resolve")
		}
		return n.resolve(ctx, p, c)
	}
	if len(n.Hosts) > 0 {
		return usageError("hosts are for --resolve DIR; select nodes with --node, --service and --tag")
	}
	driver, cfg, err := c.driver(p)
	if err != nil {
		return err
	}
	selector, err := n.selected(cfg)
	if err != nil {
		return err
	}
	targets, err := driver.Fleet.Targets(ctx, string(n.App), selector)
	if err != nil {
		return err
	}
	if n.Output == "regexp" {
		return writeFilter(p, targets)
	}
	type fleetNode struct {
		Node        string   `json:"node"`
		ConsulNode  string   `json:"consul_node"`
		Address     string   `json:"address"`
		Alive       bool     `json:"alive"`
		Maintenance *string  `json:"maintenance,omitempty"`
		Drained     bool     `json:"drained,omitempty"`
		Warning     string   `json:"warning,omitempty"`
		Apps        []string `json:"apps"`
	}
	nodes := []fleetNode{}
	for _, t := range targets {
		one := fleetNode{Node: t.Node, ConsulNode: t.ConsulNode, Address: t.Address, Alive: t.Alive, Drained: t.Drained, Warning: t.Warning, Apps: t.Apps}
		if t.InMaintenance {
			one.Maintenance = &t.Maintenance
		}
		nodes = append(nodes, one)
	}
	switch n.Output {
	case "json":
		return writeJSON(p.Stdout, nodes)
	case "names":
		for _, one := range nodes {
			if _, err := fmt.Fprintln(p.Stdout, one.Node); err != nil {
				return err
			}
		}
		return nil
	}
	if len(nodes) == 0 {
		_, _ = fmt.Fprintln(p.Stderr, "gurney: there is none: nodes are those that run gurney agent"+n.among())
		return nil
	}
	var rows [][]string
	for _, one := range nodes {
		state := "alive"
		switch {
		case !one.Alive:
			state = string(rollout.Gone)
		case one.Maintenance != nil:
			state = fmt.Sprintf("maintenance: %q", *one.Maintenance)
		case one.Drained:
			state = "drained"
		case one.Warning != "":
			state = "warning: " + one.Warning
		}
		rows = append(rows, []string{one.Node, one.Address, strings.Join(one.Apps, " "), state})
	}
	screen.WriteTable(p.Stdout, []string{"node", "address", "apps", "state"}, rows)
	return nil
}

// among says that the flags may have left out all there are.
func (n *nodesCmd) among() string {
	if n.App == "" && n.Role == "" && n.selector().IsZero() {
		return ""
	}
	return ", and that the flags select"
}

// selected is what the flags select. A role is a whole tag, not part of one.
func (n *nodesCmd) selected(cfg *config.Config) (rollout.Selector, error) {
	sel := n.selector()
	if n.Role == "" {
		return sel, nil
	}
	if sel.Service != "" || sel.Tag != "" {
		return sel, usageError("--role stands for --service and --tag: leave those out")
	}
	service := cfg.Role.Service
	if service == "" {
		service = usualRoleService // where operators work there may be no configuration
	}
	sel.Service, sel.Tag = "^"+regexp.QuoteMeta(service)+"$", "^"+regexp.QuoteMeta(string(n.Role))+"$"
	return sel, nil
}

// usualRoleService is what --role looks for where no role.service is set.
const usualRoleService = "role"

// writeFilter prints an expression for the targets by their names in Consul,
// which are those that it filters by.
func writeFilter(p *process, targets []rollout.Target) error {
	names := make([]string, len(targets))
	for i, t := range targets {
		names[i] = t.ConsulNode
	}
	filter := event.NodeFilter(names)
	switch size := len(filter); {
	case len(names) == 0:
		_, _ = fmt.Fprintln(p.Stderr, "gurney: no node is selected: the expression matches none")
	case size > event.MaxFilter:
		_, _ = fmt.Fprintf(p.Stderr, "gurney: the expression has %d bytes, and no event holds over %d: select fewer nodes\n", size, event.MaxFilter)
	case size > event.MaxExecFilter:
		_, _ = fmt.Fprintf(p.Stderr, "gurney: the expression has %d bytes, and consul exec takes %d: select fewer nodes\n", size, event.MaxExecFilter)
	}
	_, err := fmt.Fprintln(p.Stdout, filter)
	return err
}

// resolve prints the node JSON of each host. A host that takes none makes the
// exit status 1.
func (n *nodesCmd) resolve(ctx context.Context, p *process, c *cli) error {
	cfg, _, err := c.configuration(p)
	if err != nil {
		return err
	}
	hosts := []chef.Host{}
	for _, name := range n.Hosts {
		// The prefix belongs to a machine, not to a name.
		hosts = append(hosts, chef.Host{Name: name})
	}
	if len(hosts) == 0 {
		this, err := chef.ThisHost(ctx, cfg.Chef.HostnamePrefixFile)
		if err != nil {
			return err
		}
		hosts = append(hosts, this)
	}
	type answer struct {
		Host  string `json:"host"`
		JSON  string `json:"json,omitempty"`
		How   string `json:"how,omitempty"`
		Error string `json:"error,omitempty"`
	}
	var answers []answer
	failed := false
	for _, h := range hosts {
		choice, err := chef.Resolve(n.Resolve, h)
		a := answer{Host: h.Name, How: choice.How}
		if err != nil {
			a.Error, failed = err.Error(), true
		} else {
			a.JSON = filepath.Base(choice.JSON)
		}
		answers = append(answers, a)
	}
	if n.Output == "json" {
		if err := writeJSON(p.Stdout, answers); err != nil {
			return err
		}
	} else {
		for _, a := range answers {
			if a.Error != "" {
				_, _ = fmt.Fprintf(p.Stdout, "%s  FAIL  %s\n", a.Host, a.Error)
			} else {
				_, _ = fmt.Fprintf(p.Stdout, "%s  %s  by %s\n", a.Host, a.JSON, a.How)
			}
		}
	}
	if failed {
		return told(exitFailed)
	}
	return nil
}
