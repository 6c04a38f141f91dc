package config

import (
	"strings"
	"time"

	"gurney/strictyaml"
)

// key is one setting: where it lives and what is wrong with it.
type key struct {
	name  string // as in the file: dots between its parts
	to    func(*Config) any
	check func(*Config) string // what would be right; "": nothing wrong; nil: all is
	// item is check for the i-th item of a list; nil: it is no list, or all is
	// right.
	item func(items []string, i int) string
}

// env is the environment variable of the key; http.headers has none.
func (k key) env() string {
	if k.name == "http.headers" {
		return ""
	}
	return "GURNEY_" + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// table is every key there is, in the order of the documentation.
var table = []key{
	{name: "node", to: func(c *Config) any { return &c.Node }, check: func(c *Config) string { return segment(c.Node) }},
	{name: "apps", to: func(c *Config) any { return &c.Apps }, item: app},
	{name: "sources", to: func(c *Config) any { return &c.Sources }, item: source},
	{name: "dests", to: func(c *Config) any { return &c.Dests }, item: func(items []string, i int) string { return absolute(items[i]) }},
	{name: "state_dir", to: func(c *Config) any { return &c.StateDir }, check: func(c *Config) string { return stateDir(c.StateDir) }},
	{name: "log.level", to: func(c *Config) any { return &c.Log.Level }, check: func(c *Config) string { return oneOf(c.Log.Level, "trace", "debug", "info", "warn", "error") }},
	{name: "log.format", to: func(c *Config) any { return &c.Log.Format }, check: func(c *Config) string { return oneOf(c.Log.Format, "", "console", "json") }},
	{name: "consul.address", to: func(c *Config) any { return &c.Consul.Address }, check: func(c *Config) string { return consulAddress(c.Consul.Address) }},
	{name: "consul.token", to: func(c *Config) any { return &c.Consul.Token }, check: func(c *Config) string { return token(c.Consul) }},
	{name: "consul.token_file", to: func(c *Config) any { return &c.Consul.TokenFile }, check: func(c *Config) string { return file(c.Consul.TokenFile) }},
	{name: "consul.prefix", to: func(c *Config) any { return &c.Consul.Prefix }, check: func(c *Config) string { return prefix(c.Consul.Prefix) }},
	{name: "consul.dc", to: func(c *Config) any { return &c.Consul.DC }, check: func(c *Config) string { return word(c.Consul.DC) }},
	{name: "consul.ca_file", to: func(c *Config) any { return &c.Consul.CAFile }, check: func(c *Config) string { return file(c.Consul.CAFile) }},
	{name: "consul.cert_file", to: func(c *Config) any { return &c.Consul.CertFile }, check: func(c *Config) string { return paired(c.Consul.CertFile, c.Consul.KeyFile, "key_file") }},
	{name: "consul.key_file", to: func(c *Config) any { return &c.Consul.KeyFile }, check: func(c *Config) string { return paired(c.Consul.KeyFile, c.Consul.CertFile, "cert_file") }},
	{name: "s3.endpoint", to: func(c *Config) any { return &c.S3.Endpoint }, check: func(c *Config) string { return endpoint(c.S3.Endpoint) }},
	{name: "s3.region", to: func(c *Config) any { return &c.S3.Region }, check: func(c *Config) string { return word(c.S3.Region) }},
	{name: "s3.path_style", to: func(c *Config) any { return &c.S3.PathStyle }},
	{name: "http.headers", to: func(c *Config) any { return &c.HTTP.Headers }, check: func(c *Config) string { return headers(c.HTTP.Headers) }},
	{name: "limits.files", to: func(c *Config) any { return &c.Limits.Files }, check: func(c *Config) string { return positive(int64(c.Limits.Files)) }},
	{name: "limits.bytes", to: func(c *Config) any { return &c.Limits.Bytes }, check: func(c *Config) string { return positive(c.Limits.Bytes) }},
	{name: "chef.command", to: func(c *Config) any { return &c.Chef.Command }, check: func(c *Config) string { return command(c.Chef.Command) }},
	{name: "chef.hostname_prefix_file", to: func(c *Config) any { return &c.Chef.HostnamePrefixFile }, check: func(c *Config) string { return file(c.Chef.HostnamePrefixFile) }},
	{name: "chef.timeout", to: func(c *Config) any { return &c.Chef.Timeout }, check: func(c *Config) string { return notNegative(c.Chef.Timeout) }},
	{name: "chef.license", to: func(c *Config) any { return &c.Chef.License }, check: func(c *Config) string {
		return oneOf(c.Chef.License, "", "accept", "accept-no-persist", "accept-silent")
	}},
	{name: "chef.environment", to: func(c *Config) any { return &c.Chef.Environment }, check: func(c *Config) string { return word(c.Chef.Environment) }},
	{name: "role.service", to: func(c *Config) any { return &c.Role.Service }, check: func(c *Config) string { return serviceName(c.Role.Service) }},
	{name: "maintenance", to: func(c *Config) any { return &c.Maintenance }, check: func(c *Config) string { return oneOf(c.Maintenance, "hold", "skip", "ignore") }},
	{name: "drain", to: func(c *Config) any { return &c.Drain }},
	{name: "drain_wait", to: func(c *Config) any { return &c.DrainWait }, check: func(c *Config) string { return notNegative(c.DrainWait) }},
	{name: "drain_until", to: func(c *Config) any { return &c.DrainUntil }, check: func(c *Config) string { return oneOf(c.DrainUntil, "passing", "ended") }},
	{name: "reconcile", to: func(c *Config) any { return &c.Reconcile }, check: func(c *Config) string { return atLeast(c.Reconcile, time.Second) }},
	{name: "converge_every", to: func(c *Config) any { return &c.ConvergeEvery }, check: func(c *Config) string { return offOrAtLeast(c.ConvergeEvery, time.Second) }},
	{name: "stale_after", to: func(c *Config) any { return &c.StaleAfter }, check: func(c *Config) string { return notNegative(c.StaleAfter) }},
	{name: "splay", to: func(c *Config) any { return &c.Splay }, check: func(c *Config) string { return notNegative(c.Splay) }},
	{name: "listen", to: func(c *Config) any { return &c.Listen }, check: func(c *Config) string { return listen(c.Listen) }},
	{name: "report.dashboard", to: func(c *Config) any { return &c.Report.Dashboard }, check: func(c *Config) string { return segment(c.Report.Dashboard) }},
	{name: "bootstrap.checks", to: func(c *Config) any { return &c.Bootstrap.Checks }},
	{name: "bootstrap.on_ready", to: func(c *Config) any { return &c.Bootstrap.OnReady }},
	{name: "bootstrap.on_failed", to: func(c *Config) any { return &c.Bootstrap.OnFailed }},
	{name: "bootstrap.timeout", to: func(c *Config) any { return &c.Bootstrap.Timeout }, check: func(c *Config) string { return atLeast(c.Bootstrap.Timeout, time.Second) }},
}

// Validate says all that is wrong with the values, as strictyaml.Problems; it
// changes nothing.
func (c *Config) Validate() error { return c.problems().Err() }

func (c *Config) problems() strictyaml.Problems {
	var out strictyaml.Problems
	for _, p := range c.wrong() {
		out = append(out, p.Problem)
	}
	return out
}

// wrongValue is what is wrong with a key's value, or with one item of its list.
type wrongValue struct {
	strictyaml.Problem
	item int // -1: the whole
}

func (c *Config) wrong() (out []wrongValue) {
	for _, k := range table {
		if k.check != nil {
			if msg := k.check(c); msg != "" {
				out = append(out, wrongValue{strictyaml.Problem{Key: k.name, Msg: msg}, -1})
			}
		}
		if k.item == nil {
			continue
		}
		items := *k.to(c).(*[]string)
		for i := range items {
			if msg := k.item(items, i); msg != "" {
				out = append(out, wrongValue{strictyaml.Problem{Key: k.name, Msg: msg}, i})
			}
		}
	}
	return out
}
