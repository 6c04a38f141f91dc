// Package embedded is Consul in the process: the same HTTP API over a state
// in memory, for the demo and for tests. It passes the suite that a real
// agent passes (package consultest), and it can do on request what a real one
// does only under duress: lose its leader, cut off a node, forget its events.
//
//	client ──HTTP──> agent web-1 ─┐ services, checks, maintenance ──sync──┐
//	client ──HTTP──> agent web-2 ─┤                                       ▼
//	client ──HTTP──> agent web-3 ─┴─ event ring <─gossip        one state: KV, sessions, catalog
//
// Each node has a listener of its own, which stands for the Consul agent
// there. The agents answer for what is theirs (events, their services and
// checks); all the rest is the servers', one state behind one mutex, whose
// every change has the next Raft index. A change wakes all queries that wait,
// and each looks whether it concerns it.
//
// What Gurney has no use for is not here: ACLs, Connect, prepared queries,
// ?filter, several datacenters, checks that Consul itself runs.
package embedded

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Options says which cluster to start.
type Options struct {
	// Nodes are the names of the nodes, each with a Consul agent.
	Nodes []string
	// ServerNode is the node with the server, which stands in the catalog with
	// service "consul". "" is the first of Nodes; another name adds a node.
	ServerNode string
	// Datacenter is "dc1" when empty.
	Datacenter string
	// LockDelay is that of sessions that name none; 0 is Consul's 15 s.
	LockDelay time.Duration
	// SessionTTLMin is the least that a session's TTL may be, as in Consul's
	// configuration; 0 is 10 s.
	SessionTTLMin time.Duration

	Log zerolog.Logger
}

// Cluster is a running cluster. It is safe for concurrent use.
type Cluster struct {
	dc         string
	lockDelay  time.Duration
	ttlMin     time.Duration
	log        zerolog.Logger
	agents     []*agent // in the order of Options.Nodes; fixed after Start
	server     *agent   // one of them
	life       context.Context
	end        context.CancelFunc
	background sync.WaitGroup

	mu       sync.Mutex
	index    uint64        // of the last Raft entry
	writes   int           // Raft entries so far that a request caused
	changed  chan struct{} // closed, and replaced, when anything changes
	leader   bool
	since    time.Time // when the leader was lost
	ltime    uint64    // Lamport time of the last event
	store    store
	sessions sessions
	catalog  catalog
}

// Start starts a cluster with a leader and with all nodes in the catalog.
// Close ends it.
func Start(o Options) (*Cluster, error) {
	names := slices.Clone(o.Nodes)
	if o.ServerNode != "" && !slices.Contains(names, o.ServerNode) {
		names = append(names, o.ServerNode)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("embedded consul: no nodes; give at least one name")
	}
	c := &Cluster{
		dc:        orElse(o.Datacenter, "dc1"),
		lockDelay: orElse(o.LockDelay, 15*time.Second),
		ttlMin:    orElse(o.SessionTTLMin, 10*time.Second),
		log:       o.Log,
		index:     firstIndex,
		changed:   make(chan struct{}),
		leader:    true,
		store:     newStore(),
		sessions:  newSessions(),
		catalog:   newCatalog(),
	}
	c.life, c.end = context.WithCancel(context.Background())
	for i, name := range names {
		if name == "" || slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("embedded consul: node name %q is empty or there twice", name)
		}
		c.agents = append(c.agents, newAgent(c, name, i))
	}
	c.server = c.agents[max(0, slices.Index(names, o.ServerNode))]
	for _, a := range c.agents {
		if err := c.listen(a); err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("embedded consul: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.agents {
		c.join(a)
	}
	c.writes = 0
	return c, nil
}

// firstIndex is about where a fresh server stands after its own first entries.
const firstIndex = 10

func (c *Cluster) listen(a *agent) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	a.addr = l.Addr().String()
	a.http = &http.Server{Handler: c.handler(a), ReadHeaderTimeout: 10 * time.Second}
	c.background.Go(func() { _ = a.http.Serve(l) }) // ends with Close
	return nil
}

// Addr is the HTTP address, host:port, of the agent on node; "" where there is
// no such node.
func (c *Cluster) Addr(node string) string {
	if a := c.agent(node); a != nil {
		return a.addr
	}
	return ""
}

// Writes is how many Raft entries the cluster has written since Start: what a
// client costs the servers.
func (c *Cluster) Writes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

// Close cuts all connections, also those of waiting queries, and returns when
// nothing runs any more. Closing twice is no error.
func (c *Cluster) Close() error {
	c.end()
	for _, a := range c.agents {
		if a.http != nil {
			_ = a.http.Close()
		}
	}
	c.mu.Lock()
	c.stopTimers()
	c.mu.Unlock()
	c.background.Wait()
	return nil
}
