// Package standin does what Chef's chef-solo does, as far as a program that
// runs it can tell: arguments, the files it writes, lock, signals, output and
// exit codes. It is there for tests and the demo, on machines without Ruby.
//
//	flags ─► licence ─► config (or Gurney's wrapper around one) ─► lock
//	node file + -j ─► run list ─► roles ─► recipes ─► resources
//	─► node file, handler's report, summary line
//
// Recipes are Ruby's in their looks only: a handful of resources with literal
// properties. What is beyond it is an error that says so. It calls itself a
// stand-in in its version and in its output.
package standin

import (
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"time"
)

// run is one run.
type run struct {
	version
	*flags
	*config
	out     *output
	signals signals
	lock    *os.File // held until the process ends

	node        *node
	roles       []string
	list        []*resource
	began       time.Time
	id          string
	done        int // resources, of list
	updated     int
	rebootAfter *resource // asks for a reboot once all else is done
}

// Main is the program; its result is the exit code. Like Chef it has nothing
// to say on stderr.
func Main(args []string, stdout io.Writer) int {
	out := &output{w: stdout}
	v, e := thisVersion()
	if e != nil {
		out.printf("%v\n", e)
		return exitFailed
	}
	f, e := parseFlags(args)
	switch {
	case e != nil:
		out.printf("%s\n", e.message)
		return e.code()
	case f.version:
		out.printf("%s\n", v.line())
		return 0
	case f.help:
		out.printf("%s\n", v.line())
		for _, known := range f.known() {
			out.printf("    %2s %s\n", known.short, known.long)
		}
		return 0
	case !v.licensed(f.license):
		out.block("Chef License Acceptance", "Before you can continue, 1 product license must be accepted.\nSet CHEF_LICENSE to accept-no-persist, or pass --chef-license.")
		return exitLicense
	case f.fork:
		return forked(args, stdout)
	}
	boot()
	c := &run{version: v, flags: f, out: out, signals: trap()}
	if e := c.main(); e != nil {
		if e.class != "SystemExit" { // which was told of already
			out.log("FATAL", "%v", e)
		}
		if e.code() == exitConfig && v.major < 16 {
			return exitFailed
		}
		return e.code()
	}
	return 0
}

// main is one run, from the configuration to the summary.
func (c *run) main() (e *exception) {
	if c.config, e = loadConfig(c.flags, c.out, c.major); e != nil {
		return e
	}
	var attributes map[string]any
	if c.json != "" {
		if attributes, e = readAttributes(c.json); e != nil {
			return e
		}
	}
	if e := c.acquire(c.lockPath(), c.lockTimeout); e != nil {
		return e
	}
	c.began, c.id = time.Now(), rand.Text()
	c.banner()
	e = c.prepare(attributes)
	if e == nil {
		e = c.converge()
	}
	return c.finish(e)
}

func (c *run) banner() {
	c.out.printf("gurney's chef-solo stand-in: for tests and demos, no Chef.\n")
	if c.major >= 17 {
		c.out.printf("%s, version %s\nInfra Phase starting\n", c.client(), c.number)
	} else {
		c.out.printf("Starting %s, version %s\n", c.client(), c.number)
	}
	if c.major >= 18 {
		c.out.printf("No key detected\n")
	}
}

func (c *run) lockPath() string {
	if c.lockfile != "" {
		return c.lockfile
	}
	return c.beside("lockfile", filepath.Join("local-mode-cache", "cache", "chef-client-running.pid"))
}

func (c *run) nodeName() string {
	if c.flags.node != "" {
		return c.flags.node
	}
	if name := text(c.values["node_name"]); name != "" {
		return name
	}
	return "localhost"
}

func (c *run) nodesDir() string { return c.path("node_path", filepath.Join(c.repo(), "nodes")) }

func (c *run) nodePath() string { return filepath.Join(c.nodesDir(), c.nodeName()+".json") }
