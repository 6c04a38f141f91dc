package fleet

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Host is a machine of the fleet as gurney sees one: a configuration, a state
// directory, a place for releases, and an agent of Consul.
type Host struct {
	Name   string
	Dir    string   // holds all that is the host's own
	Gurney string   // the binary
	Env    []string // HOST among it: Dir, for manifests' templates
	Agent  *Process // nil while none runs

	keys map[string]string
}

// HostOptions say what a host is made of.
type HostOptions struct {
	Name   string
	Dir    string
	Consul string // address of its Consul agent; "": it has none
	S3     *S3    // nil: none
	Prefix string // its hostname prefix; "": it goes by its host name
	Chef   string // chef-solo; "": the stand-in
	Gurney string // the tool of that name; "": gurney
	Apps   []string
}

// NewHost makes the host's directories and its gurney.yml.
func NewHost(o HostOptions) (*Host, error) {
	if o.Gurney == "" {
		o.Gurney = "gurney"
	}
	bin, err := Tool(o.Gurney)
	if err != nil {
		return nil, err
	}
	h := &Host{Name: o.Name, Dir: filepath.Join(o.Dir, o.Name), Gurney: bin}
	for _, d := range []string{h.Dest(), h.State()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	if o.Chef == "" {
		if o.Chef, err = Tool("chef-solo-standin"); err != nil {
			return nil, err
		}
	}
	h.keys = map[string]string{
		"node": o.Name, "apps": list(o.Apps), "state_dir": h.State(), "dests": list([]string{h.Dest()}),
		"sources": `[s3://acme/, file:///, "http://127.0.0.1/"]`, "reconcile": "1m", "listen": `""`,
		"chef": "{command: " + o.Chef + ", hostname_prefix_file: " + h.Path("prefix") + ", license: accept-no-persist}",
	}
	if o.Consul != "" {
		h.keys["consul"] = "{address: " + o.Consul + "}"
	}
	if o.S3 != nil {
		h.Env = o.S3.Env()
	}
	// Whatever the machine that runs this has set is not the host's.
	h.Env = append(h.Env, "CONSUL_HTTP_ADDR=", "CONSUL_HTTP_TOKEN=", "HOSTNAME_PREFIX=", "HOME="+h.Dir, "NO_COLOR=1", "HOST="+h.Dir)
	if o.Prefix != "" {
		if err := os.WriteFile(h.Path("prefix"), fmt.Appendf(nil, "HOSTNAME_PREFIX=%q\n", o.Prefix), 0o644); err != nil {
			return nil, err
		}
	}
	return h, h.write()
}

func list(items []string) string {
	data, _ := json.Marshal(items) // of strings: never fails
	if items == nil {
		return "[]"
	}
	return string(data)
}

// Path joins parts to the host's directory.
func (h *Host) Path(parts ...string) string {
	return filepath.Join(append([]string{h.Dir}, parts...)...)
}

// Dest is the directory below which releases go.
func (h *Host) Dest() string { return h.Path("srv") }

// State is the state directory.
func (h *Host) State() string { return h.Path("state") }

// Config is the path of its gurney.yml.
func (h *Host) Config() string { return h.Path("gurney.yml") }

// Set changes one key of gurney.yml; value is YAML, "" takes the key away.
func (h *Host) Set(key, value string) error {
	h.keys[key] = value
	if value == "" {
		delete(h.keys, key)
	}
	return h.write()
}

func (h *Host) write() error {
	var b strings.Builder
	names := make([]string, 0, len(h.keys))
	for k := range h.keys {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		fmt.Fprintf(&b, "%s: %s\n", k, h.keys[k])
	}
	return os.WriteFile(h.Config(), []byte(b.String()), 0o600)
}

// StartAgent starts `gurney agent`.
func (h *Host) StartAgent(env ...string) error {
	p, err := Start(h.Dir, append(slices.Clone(h.Env), env...), h.Gurney, "-c", h.Config(), "agent")
	if err != nil {
		return fmt.Errorf("start the agent of %s: %w", h.Name, err)
	}
	h.Agent = p
	return nil
}

// Output is what a command printed and how it ended.
type Output struct {
	Stdout, Stderr string
	Status         int
}

// Run runs one gurney command on the host.
func (h *Host) Run(args ...string) (Output, error) {
	return h.RunIn(nil, nil, append([]string{"-c", h.Config()}, args...)...)
}

// RunIn runs the binary with exactly these arguments, with input on stdin and
// additions to the environment.
func (h *Host) RunIn(stdin io.Reader, env []string, args ...string) (Output, error) {
	cmd := exec.Command(h.Gurney, args...)
	cmd.Dir, cmd.Stdin = h.Dir, stdin
	cmd.Env = slices.Concat(os.Environ(), h.Env, env)
	var stdout, stderr Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	out := Output{stdout.String(), stderr.String(), -1}
	if cmd.ProcessState != nil {
		out.Status, err = cmd.ProcessState.ExitCode(), nil
	}
	return out, err
}
