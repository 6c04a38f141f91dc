package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// host is one of the fleet: a directory that stands for its disks, a Consul
// agent, and a Gurney agent.
type host struct {
	name   string
	prefix string // picks the node JSON
	dir    string
	consul string // host:port of its Consul agent
	agent  *process
}

// fleet is who there is, and which role each has.
var fleet = []host{{name: "web-1", prefix: "web"}, {name: "web-2", prefix: "web"}, {name: "db-1", prefix: "db"}}

// held is the host that is in maintenance at the first deployment.
const held = "db-1"

func (h *host) path(parts ...string) string {
	return filepath.Join(append([]string{h.dir}, parts...)...)
}

// dest is where the release goes, as manifest.yml says.
func (h *host) dest() string { return h.path("srv", "chef") }

// config is the host's gurney.yml. chef.command is only there because the demo
// says beforehand what it converges with: an agent finds chef-solo by itself.
func (h *host) config(s3, chef string) string {
	return fmt.Sprintf(`# All that this host says. On a real one apps and sources are enough.
apps: [%s]
sources: [%s]
state_dir: %s
listen: ""
consul:
  address: %s
s3:
  endpoint: %s
  region: us-east-1
  path_style: true
chef:
  command: %s
  hostname_prefix_file: %s
  license: %s
`, app, target, quoted(h.path("state")), h.consul, s3, quoted(chef), quoted(h.path("hostname-prefix")), license())
}

// license is what the environment says to Chef's licence, or that it is
// accepted for these runs alone.
func license() string {
	switch v := os.Getenv("CHEF_LICENSE"); v {
	case "accept", "accept-silent":
		return v
	}
	return "accept-no-persist"
}

// quoted is s as a YAML string.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// prepare lays out the host's directory.
func (h *host) prepare(s3, chef string) error {
	if err := os.MkdirAll(h.path("srv"), 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"gurney.yml":      h.config(s3, chef),
		"hostname-prefix": fmt.Sprintf("HOSTNAME_PREFIX=%q\n", h.prefix),
	} {
		if err := os.WriteFile(h.path(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// start starts the agent, exactly as `$ gurney agent -c …` would in dir.
func (h *host) start(gurney, dir string, env []string) (err error) {
	h.agent, err = start(dir, append(slices.Clone(env), "HOST_ROOT="+h.dir), h.path("agent.log"), append([]string{gurney}, h.agentArgs()...)...)
	return err
}

func (h *host) agentArgs() []string { return []string{"agent", "-c", h.name + "/gurney.yml"} }

// stop ends the agent. It promises to be gone within two seconds.
func (h *host) stop() error {
	if h.agent == nil {
		return nil
	}
	return h.agent.stop(5 * time.Second)
}

// environment is that of all children: this process's, without what is meant
// for another Gurney, Consul or S3.
func environment(bin string) []string {
	var env []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		foreign := slices.ContainsFunc([]string{"GURNEY_", "CONSUL_", "AWS_"}, func(p string) bool { return strings.HasPrefix(name, p) })
		if !foreign && name != "HOSTNAME_PREFIX" && name != "PATH" {
			env = append(env, e)
		}
	}
	env = append(env, "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return append(env, credentials...)
}

// credentials are the operator's and the hosts' for S3, which takes any; what
// the user has for a real one is out of the way.
var credentials = []string{
	"AWS_ACCESS_KEY_ID=demo", "AWS_SECRET_ACCESS_KEY=demo", "AWS_EC2_METADATA_DISABLED=true",
	"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
}
