package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Consul is a real cluster on this machine: some servers and, for every other
// node, a client agent, each a process with ports of its own on the loopback.
type Consul struct {
	Nodes []*ConsulNode

	bin, dir string
	o        ConsulOptions
	join     []string
}

// ConsulNode is one agent of the cluster.
type ConsulNode struct {
	Name   string
	Addr   string // of its HTTP API, host:port
	Server bool
	*Process

	dir  string
	argv []string
}

// ConsulOptions say what the cluster is made of.
type ConsulOptions struct {
	Servers []string // their nodes' names; one at least
	Clients []string
	Config  string // more configuration for every agent, as JSON
}

// StartConsul starts bin/consul for every node and waits until all of them
// stand in the catalog of a cluster that has a leader. Ports that were free
// may be taken before they are used, and agents that get no processor while
// they join may take each other for dead, which they try again after 30 s
// only: then it begins anew.
func StartConsul(ctx context.Context, dir string, o ConsulOptions) (c *Consul, err error) {
	for try := range 3 {
		c, err = startConsul(ctx, filepath.Join(dir, fmt.Sprintf("try-%d", try)), o)
		if err == nil || !errors.Is(err, errLate) && !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return c, err
}

func startConsul(ctx context.Context, dir string, o ConsulOptions) (*Consul, error) {
	bin, err := Tool("consul")
	if err != nil {
		return nil, err
	}
	c := &Consul{bin: bin, dir: dir, o: o, join: []string{}}
	for i, name := range slices.Concat(o.Servers, o.Clients) {
		if _, err := c.add(name, i < len(o.Servers)); err != nil {
			return nil, err
		}
	}
	for _, n := range c.Nodes {
		if err := n.Start(); err != nil {
			c.Kill()
			return nil, err
		}
	}
	for _, n := range c.Nodes {
		if err := n.Ready(ctx, o.Config != ""); err != nil {
			c.Kill()
			return nil, err
		}
	}
	return c, nil
}

// add makes a node that does not run yet. Every agent is told of those before
// it: gossip does the rest.
func (c *Consul) add(name string, server bool) (*ConsulNode, error) {
	n, serf, err := newConsulNode(c.bin, filepath.Join(c.dir, "consul-"+name), name, c.o, server, c.join)
	if err != nil {
		return nil, err
	}
	c.join = append(c.join, serf)
	c.Nodes = append(c.Nodes, n)
	return n, nil
}

// Clone starts a client agent on a copy of another's data directory, as a
// machine does that was made of its image.
func (c *Consul) Clone(ctx context.Context, name string, of *ConsulNode) (*ConsulNode, error) {
	n, err := c.add(name, false)
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(n.DataDir(), os.DirFS(of.DataDir())); err != nil {
		return nil, err
	}
	if err := n.Start(); err != nil {
		return nil, err
	}
	return n, n.Ready(ctx, c.o.Config != "")
}

// newConsulNode writes the agent's configuration.
func newConsulNode(bin, dir, name string, o ConsulOptions, server bool, join []string) (*ConsulNode, string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", err
	}
	ports, err := freePorts(4)
	if err != nil {
		return nil, "", err
	}
	bind := "127.0.0.1"
	if i := slices.Index(o.Servers, name); server && i > 0 {
		bind = fmt.Sprintf("127.0.0.%d", i+1) // Consul knows servers apart by it
	}
	conf := map[string]any{
		"node_name": name, "data_dir": filepath.Join(dir, "data"), "bind_addr": bind, "client_addr": "127.0.0.1",
		"ports":  map[string]int{"http": ports[0], "server": ports[1], "serf_lan": ports[2], "serf_wan": ports[3], "dns": -1, "grpc": -1, "grpc_tls": -1},
		"server": server, "retry_join": join, "retry_interval": "200ms", "log_level": "warn", "disable_update_check": true,
		"performance": map[string]int{"raft_multiplier": 1}, "disable_host_node_id": true, "connect": map[string]bool{"enabled": false},
		"leave_on_terminate": false, "rejoin_after_leave": true,
		// As -dev has them: a local network, where a second is long. But to be
		// suspected for 300 ms is not dead yet, on a machine that is full.
		"gossip_lan": map[string]any{"gossip_interval": "100ms", "probe_interval": "100ms", "probe_timeout": "100ms", "suspicion_mult": 10},
	}
	if server {
		conf["bootstrap_expect"] = len(o.Servers)
	}
	data, err := json.MarshalIndent(conf, "", " ")
	if err != nil {
		return nil, "", err
	}
	file := filepath.Join(dir, "agent.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return nil, "", err
	}
	argv := []string{bin, "agent", "-config-file", file}
	if o.Config != "" {
		extra := filepath.Join(dir, "extra.json")
		if err := os.WriteFile(extra, []byte(o.Config), 0o600); err != nil {
			return nil, "", err
		}
		argv = append(argv, "-config-file", extra)
	}
	n := &ConsulNode{
		Name: name, Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])), Server: server,
		dir: dir, argv: argv,
	}
	return n, net.JoinHostPort(bind, strconv.Itoa(ports[2])), nil
}

// Start starts the agent, anew after Stop or Kill: it keeps its data.
func (n *ConsulNode) Start() error {
	var err error
	n.Process, err = Start(n.dir, []string{"CONSUL_HTTP_ADDR=", "CONSUL_HTTP_TOKEN="}, n.argv...)
	if err != nil {
		return fmt.Errorf("start Consul %s: %w", n.Name, err)
	}
	return nil
}

// DataDir is Consul's data_dir.
func (n *ConsulNode) DataDir() string { return filepath.Join(n.dir, "data") }

// Wipe removes the data of an agent that does not run.
func (n *ConsulNode) Wipe() error { return os.RemoveAll(n.DataDir()) }

// Ready waits until the cluster has a leader and the node stands in its
// catalog. With ACLs it is ready when it can say no.
func (n *ConsulNode) Ready(ctx context.Context, acl bool) error {
	err := waitFor(ctx, n.Process, func() error {
		resp, err := http.Get("http://" + n.Addr + "/v1/kv/ready") // the leader answers
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if acl && resp.StatusCode == http.StatusForbidden {
			return nil
		}
		if resp.StatusCode != http.StatusNotFound {
			return fmt.Errorf("status %s", resp.Status)
		}
		var checks []struct{ Status string }
		if err := getJSON("http://"+n.Addr+"/v1/health/node/"+n.Name, &checks); err != nil {
			return err
		}
		if len(checks) == 0 {
			return fmt.Errorf("%s is not in the catalog", n.Name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("consul %s: %w", n.Name, err)
	}
	return nil
}

func getJSON(url string, v any) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// Node is the agent of that name; nil where there is none.
func (c *Consul) Node(name string) *ConsulNode {
	for _, n := range c.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Kill ends all agents at once.
func (c *Consul) Kill() {
	for _, n := range c.Nodes {
		if n.Process != nil {
			n.Kill()
		}
	}
}

// Log is what all agents have printed.
func (c *Consul) Log() string {
	out := ""
	for _, n := range c.Nodes {
		if n.Process != nil {
			out += "== " + n.Name + "\n" + n.Out.String()
		}
	}
	return out
}
