// Package config is what an operator says about one node: which apps it
// obeys, where Consul and S3 are, what chef-solo is called with.
//
//	defaults → the file, strictly → environment → Validate
//
// One table of keys (keys.go) drives all four, and the documentation is held
// against it.
package config

import (
	"errors"
	"time"
)

// Config is all that can be set. docs/config.md says what for.
type Config struct {
	Node        string // "": the Consul agent's own name, else the host's
	Apps        []string
	StateDir    string
	Log         Log
	Consul      Consul
	S3          S3
	Sources     []string // URL prefixes that manifests and archives may come from
	Dests       []string // directories that releases may go to or below; none: anywhere
	HTTP        HTTP
	Limits      Limits
	Chef        Chef
	Role        Role
	Maintenance string        // hold, skip or ignore; a manifest's own word beats it
	Drain       bool          // take the node out of service while a run lasts; a manifest's own word beats it
	DrainWait   time.Duration // between the two
	DrainUntil  string        // passing or ended: what brings it back
	Reconcile   time.Duration // between two looks at the record when no event comes
	// ConvergeEvery is how often Chef runs again on what stands here; 0: never.
	ConvergeEvery time.Duration
	StaleAfter    time.Duration // an app that is not green for so long is a warning; 0: never
	Splay         time.Duration // a deployment starts after a random part of it
	Listen        string        // of /metrics and /healthz; "": off
	Report        Report
	Bootstrap     Bootstrap
}

// Log says what is logged and how.
type Log struct {
	Level  string
	Format string // "": console on a terminal, else json
}

// Consul says where the local agent is and as whom to speak to it.
type Consul struct {
	Address   string // "": CONSUL_HTTP_ADDR, else 127.0.0.1:8500
	Token     string // secret; "", and no TokenFile: CONSUL_HTTP_TOKEN
	TokenFile string
	Prefix    string // of all keys; a slash at its end or none is the same
	DC        string
	CAFile    string
	CertFile  string
	KeyFile   string
}

// S3 says which S3; credentials come from where AWS's own tools find them.
type S3 struct {
	Endpoint  string
	Region    string
	PathStyle bool
}

// HTTP is for archives and manifests behind http and https.
type HTTP struct {
	Headers map[string]string // secret
}

// Limits bound what an archive may unpack to.
type Limits struct {
	Files int   // entries of any kind
	Bytes int64 // of file content
}

// Chef says how chef-solo is called on this node.
type Chef struct {
	Command            string        // "": found on PATH and in the usual places
	HostnamePrefixFile string        // holds the prefix that picks the node JSON; "": none
	Timeout            time.Duration // most that a converge may take, whatever the manifest says; 0: the manifest's own
	License            string        // CHEF_LICENSE
	Environment        string        // where the manifest names none
}

// Role says how Chef's roles of this node are told to the fleet.
type Role struct {
	Service string // name of the Consul service whose tags they are; "": they are not told
}

// Report says where results go besides Gurney's own keys.
type Report struct {
	Dashboard string // consul-kv-dashboard's category; "": off
}

// Bootstrap is what a node's first boot does beside converging. Commands are
// lines for sh -c.
type Bootstrap struct {
	Checks   []string      // must all end with 0 before the node serves
	OnReady  []string      // once it serves
	OnFailed []string      // when it does not
	Timeout  time.Duration // of the whole
}

// Default returns the configuration of a node that says nothing.
func Default() *Config {
	return &Config{
		StateDir:    "/var/lib/gurney",
		Log:         Log{Level: "info"},
		Consul:      Consul{Prefix: "gurney/"},
		Limits:      Limits{Files: 1_000_000, Bytes: 20 << 30},
		Maintenance: "hold",
		DrainWait:   10 * time.Second,
		DrainUntil:  "passing",
		Reconcile:   5 * time.Minute,
		Listen:      "127.0.0.1:8599",
		Bootstrap:   Bootstrap{Timeout: 30 * time.Minute},
	}
}

// RequireAgent says what an agent needs that a single command does not:
// without sources, whoever can fire an event runs commands as root.
func (c *Config) RequireAgent() error {
	if len(c.Sources) == 0 {
		return errors.New("sources: the agent needs the URL prefixes that it may fetch from, such as s3://acme-deploy/; set them in the configuration or in GURNEY_SOURCES")
	}
	return nil
}
