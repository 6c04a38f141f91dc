// Package rollout is MANY NODES: the app's record in Consul KV, what it asks
// of each node (Desired), and the driving of a deployment over the fleet.
package rollout

import "time"

// Record is the value of apps/<app>: the truth about one app. It changes only
// by check-and-set, and every change raises Seq.
type Record struct {
	V       int      `json:"v"`
	Seq     int64    `json:"seq"` // max(previous+1, unix milliseconds)
	Current *Ref     `json:"current,omitempty"`
	Rollout *Rollout `json:"rollout,omitempty"`
}

// Names says whether the record speaks of the deployment.
func (r Record) Names(id string) bool {
	return r.Current != nil && r.Current.ID == id || r.Rollout != nil && r.Rollout.ID == id
}

// latest is the rollout that is on, with its selector, else what is current; nil
// where there is neither.
func (r Record) latest() (*Ref, Selector) {
	if r.Rollout != nil {
		return &r.Rollout.Ref, r.Rollout.Selector
	}
	return r.Current, Selector{}
}

// ref is how the record speaks of the deployment; it has to name it.
func (r Record) ref(id string) Ref {
	if r.Rollout != nil && r.Rollout.ID == id {
		return r.Rollout.Ref
	}
	return *r.Current
}

// Ref names a deployment.
type Ref struct {
	ID    string    `json:"id"`
	At    time.Time `json:"at"`
	By    string    `json:"by"`
	Retry *Retry    `json:"retry,omitempty"`
}

// Retry asks nodes to run a deployment again.
type Retry struct {
	Seq   int64    `json:"seq"`
	Nodes []string `json:"nodes,omitempty"` // empty: all
	// What was asked before: nodes that have not read of it yet are still asked.
	All   int64            `json:"all,omitempty"`   // seq of the last retry of all nodes
	Named map[string]int64 `json:"named,omitempty"` // of the last that named a node, by its name
}

// Rollout is a deployment on its way to the nodes of its selector.
type Rollout struct {
	Ref
	Seq         int64             `json:"seq"` // of the record when the rollout began
	Selector    Selector          `json:"selector,omitzero"`
	Open        map[string]string `json:"open"` // zone → threshold, 16 hex digits; "" without zones
	Paused      bool              `json:"paused,omitempty"`
	MaxFailures int               `json:"max_failures,omitempty"` // 0: no breaker
}

// Selector picks nodes as Consul's event filters do: unanchored regular
// expressions over the Gurney node's name, its services, their tags.
type Selector struct {
	Node    string `json:"node,omitempty"`
	Service string `json:"service,omitempty"`
	Tag     string `json:"tag,omitempty"`
}

// Deployment is the value of deployments/<app>/<id>.
type Deployment struct {
	V        int       `json:"v"`
	App      string    `json:"app"`
	ID       string    `json:"id"`
	URL      string    `json:"url"`      // where the manifest was read
	SHA256   string    `json:"sha256"`   // of Manifest
	Manifest []byte    `json:"manifest"` // the file's own bytes (base64 in JSON), at most 32 KiB
	Sig      string    `json:"sig,omitempty"`
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Why      string    `json:"why,omitempty"`
	Dry      bool      `json:"dry,omitempty"` // changes nothing (chef.why_run), and so never becomes current
	Outcome  *Outcome  `json:"outcome,omitempty"`
}

// Outcome is how a deployment ended, as its driver saw it.
type Outcome struct {
	State string    `json:"state"` // done, failed, parked, promoted, aborted, replaced
	At    time.Time `json:"at"`
	OK    int       `json:"ok"`
	Fail  int       `json:"failed,omitempty"`
	Held  int       `json:"held,omitempty"`
}

// Touched is what a node has begun: the last deployment whose pre, sync or
// chef began there, with its verdict ("" while it runs or was interrupted).
type Touched struct {
	ID      string `json:"id"`
	Verdict string `json:"verdict,omitempty"` // ok or failed
	Retry   int64  `json:"retry,omitempty"`   // seq of the last retry that it answers
}

// Facts are what a selector asks of a node beside its name: the services on
// its Consul agent, each with its tags.
type Facts struct {
	Services map[string][]string
}

// Want is what a record asks of a node.
type Want struct {
	ID          string // "" when there is nothing to run
	Rollout     bool   // ID is the rollout's, not current's
	MaxFailures int    // of the rollout; 0: no breaker
	Retry       int64  // seq of the latest retry that asks this node, 0 if none
	Named       bool   // the retry names it: run again though it is ok
}

// Target is a node that obeys an app, as the service catalog shows it.
type Target struct {
	Node          string // Gurney's name for it
	ConsulNode    string
	Address       string
	Apps          []string // all that it obeys
	Alive         bool     // serfHealth and Gurney's own check pass
	Warning       string   // what Gurney's own check warns of, such as an app that is not green
	Drained       bool     // out of service for a run
	Maintenance   string   // reason, where InMaintenance
	InMaintenance bool
	Services      map[string][]string // only filled when the selector asks
}
