package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gurney/kv"
	"gurney/rollout"
)

// operatorFile is the configuration of the operator's commands.
const operatorFile = "ops.yml"

func (d *demo) operatorConfig() string {
	return fmt.Sprintf(`# What the operator's commands need: where Consul and S3 are.
consul:
  address: %s
s3:
  endpoint: %s
  region: us-east-1
  path_style: true
`, d.consul.Addr(serverNode), d.s3)
}

// exports makes a shell one in which the operator's commands work.
func exports(bin string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "export PATH=%s:\"$PATH\"\n", shellLine([]string{bin}))
	for _, e := range credentials {
		fmt.Fprintf(&b, "export %s\n", e)
	}
	return b.String()
}

// gurney runs one of gurney's commands, and shows it.
func (d *demo) gurney(ctx context.Context, args ...string) error {
	return d.operator(ctx, append([]string{"gurney"}, args...)...)
}

// operator runs a command in the demo's directory as an operator would type
// it. It has the terminal to itself where there is one: what it shows there
// is what people will see. A status other than 0 is an error.
func (d *demo) operator(ctx context.Context, argv ...string) error {
	c := d.tell.command(argv...)
	path := argv[0]
	if path == "gurney" {
		path = filepath.Join(d.bin, path)
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Dir, cmd.Env = d.dir, d.env
	cmd.Stdout, cmd.Stderr = d.stdout, d.stderr
	var said bytes.Buffer
	if d.output == "json" {
		cmd.Stdout, cmd.Stderr = &said, &said
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	began := time.Now()
	err := cmd.Run()
	c.Seconds, c.Output = seconds(began), said.String()
	if cmd.ProcessState != nil {
		c.Exit = cmd.ProcessState.ExitCode()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(argv[:min(2, len(argv))], " "), err)
	}
	return nil
}

// deploy deploys what was published, follows it, and returns the id that the
// store says is now current.
func (d *demo) deploy(ctx context.Context, why string) (string, error) {
	err := d.gurney(ctx, "deploy", "-c", operatorFile, app, target+"manifest.yml", "-m", why)
	if err != nil {
		return "", err
	}
	d.tell.say("\n")
	r, _, err := rollout.ReadRecord(ctx, d.client, app, kv.Default)
	switch {
	case err != nil:
		return "", err
	case r == nil || r.Current == nil:
		return "", fmt.Errorf("%s was deployed, and nothing of it is current", why)
	case r.Rollout != nil:
		return "", fmt.Errorf("%s was deployed, and its rollout is still on", why)
	}
	d.ids = append(d.ids, r.Current.ID)
	return r.Current.ID, nil
}

// lastLine is what a log ends with, and where the rest is.
func lastLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	text := strings.TrimSpace(string(data))
	return fmt.Sprintf("%s (%s)", text[strings.LastIndexByte(text, '\n')+1:], path)
}

// await waits until ready says so; its channel, where it has one, is closed
// when asking again is worth it. An agent that ended is waited for in vain.
func (d *demo) await(ctx context.Context, what string, ready func() (bool, <-chan struct{})) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("waited %s in vain until %s", patience, what))
	defer cancel()
	for {
		ok, changed := ready()
		if ok {
			return nil
		}
		for _, h := range d.hosts {
			if how, gone := h.agent.ended(); gone {
				return fmt.Errorf("the agent of %s ended (%s): %s", h.name, how, lastLine(h.path("agent.log")))
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-time.After(50 * time.Millisecond):
		}
	}
}
