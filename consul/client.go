// Package consul is the only place that speaks Consul's HTTP API. It offers
// Gurney's own words on top of it: the store (kv.Store), user events, the
// node's maintenance, the "gurney" service with its TTL check, the targets of
// a deployment, and a lock.
//
//	agent, rollout, cmd ──> Client ──> api.Client ──> the local Consul agent
//
// Three rules hold in every method. One call is one request (a lock and
// Targets say where they need more, and a client without a token asks the local
// agent now and then what it may see), so that callers can count what a node
// costs the servers. Nothing is tried again in here: whether an error is
// worth a retry it says itself (Transient), how often is the caller's
// business. The caller's context bounds everything.
package consul

import (
	"fmt"
	"net/http"
	"strings"

	"gurney/event"
	"gurney/kv"
	"gurney/rollout"

	"github.com/hashicorp/consul/api"
	"github.com/rs/zerolog"
)

// DefaultPrefix is where Gurney's keys stand when Config.Prefix is empty.
const DefaultPrefix = "gurney/"

// Config says which Consul agent to speak to and how. What is empty comes
// from Consul's own CONSUL_HTTP_* variables, and from its defaults after
// that; what is set here wins over both.
type Config struct {
	Address   string // host:port, http(s)://host:port or unix:///path
	Token     string // ACL token
	TokenFile string // file that holds the ACL token; wins over Token; read once
	Prefix    string // where the keys stand; "" is DefaultPrefix, "/" the root
	DC        string // datacenter of KV, events and catalog; "" is the agent's own
	CAFile    string // any of the three TLS files makes an address without a scheme https
	CertFile  string
	KeyFile   string

	Log zerolog.Logger
	// Transport carries the requests; nil is a pooled one that knows the TLS
	// files. Tests count requests with it.
	Transport http.RoundTripper
}

// Client speaks to one Consul agent. It is safe for concurrent use.
type Client struct {
	api    *api.Client
	conf   *api.Config // as NewClient completed it
	prefix string
	dc     string
	addr   string // for messages only
	log    zerolog.Logger
	trust  trust
}

var (
	_ kv.Store      = (*Client)(nil)
	_ event.Lister  = (*Client)(nil)
	_ rollout.Fleet = (*Client)(nil)
)

// New checks cfg and makes a client of it. It sends nothing: an agent that is
// down shows in the first call.
func New(cfg Config) (*Client, error) {
	prefix, err := cleanPrefix(cfg.Prefix)
	if err != nil {
		return nil, err
	}
	if (cfg.CertFile == "") != (cfg.KeyFile == "") {
		return nil, fmt.Errorf("consul: a client certificate needs both cert_file and key_file, got %q and %q", cfg.CertFile, cfg.KeyFile)
	}
	conf := api.DefaultConfig()
	if cfg.Address != "" {
		conf.Address = cfg.Address
	}
	if cfg.CAFile != "" || cfg.CertFile != "" {
		conf.Scheme = "https"
	}
	switch {
	case cfg.TokenFile != "":
		conf.TokenFile = cfg.TokenFile
	case cfg.Token != "":
		// The library lets any token file win, also the environment's.
		conf.Token, conf.TokenFile = cfg.Token, ""
	}
	conf.TLSConfig.CAFile = orElse(cfg.CAFile, conf.TLSConfig.CAFile)
	conf.TLSConfig.CertFile = orElse(cfg.CertFile, conf.TLSConfig.CertFile)
	conf.TLSConfig.KeyFile = orElse(cfg.KeyFile, conf.TLSConfig.KeyFile)
	if cfg.Transport != nil {
		conf.HttpClient = &http.Client{Transport: cfg.Transport}
	}
	addr := conf.Address
	cl, err := api.NewClient(conf)
	if err != nil {
		return nil, fmt.Errorf("consul at %s: %w", addr, err)
	}
	conf.HttpClient.Transport = patient{conf.HttpClient.Transport, answerTime}
	return &Client{api: cl, conf: conf, prefix: prefix, dc: cfg.DC, addr: addr, log: cfg.Log}, nil
}

// Addr is where the client asks, for people.
func (c *Client) Addr() string { return c.addr }

// cleanPrefix makes the prefix end in one slash and begin with none: Consul
// takes "/gurney" and "gurney" for two different places.
func cleanPrefix(p string) (string, error) {
	if p == "" {
		return DefaultPrefix, nil
	}
	p = strings.Trim(p, "/")
	if p == "" {
		return "", nil
	}
	for _, part := range strings.Split(p, "/") {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("consul: prefix %q: an empty part, \".\" or \"..\" would be lost on the way to Consul", p)
		}
	}
	return p + "/", nil
}

func orElse(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
