package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// process is what main takes from the operating system.
type process struct {
	Args           []string
	Stdin          *os.File
	Stdout, Stderr *os.File
	Env            func(string) (string, bool)
}

func (p process) getenv(name string) string {
	v, _ := p.Env(name)
	return v
}

// cli is every command and flag, as kong reads them.
type cli struct {
	Config  string           `short:"c" placeholder:"FILE" help:"Configuration file (default ${config}, where it exists)."`
	Version kong.VersionFlag `help:"Print the version and exit."`

	Agent      agentCmd      `cmd:"" group:"node" help:"Obey the deployments of this node's apps: what every node runs."`
	Apply      applyCmd      `cmd:"" group:"node" help:"Run one manifest on this machine, now; no Consul needed."`
	Gate       gateCmd       `cmd:"" group:"node" help:"Start a daemon: not in maintenance, or on one node of the fleet only."`
	Maint      maintCmd      `cmd:"" group:"node" help:"This node's maintenance: who leaves it converges first, and serves then."`
	Bootstrap  bootstrapCmd  `cmd:"" group:"node" help:"First boot: converge to what is current, and serve then."`
	Bake       bakeCmd       `cmd:"" group:"node" help:"Make an image: converge in maintenance, and strip what must not be cloned."`
	Check      checkCmd      `cmd:"" group:"node" help:"Say line by line what on this node would make a deployment fail."`
	Logs       logsCmd       `cmd:"" group:"node" help:"Show the output of a run: whole on its node, its tail from elsewhere."`
	Nodes      nodesCmd      `cmd:"" group:"node" help:"Show the fleet's nodes, or which node JSON a host would take."`
	Deploy     deployCmd     `cmd:"" group:"fleet" help:"Deploy a manifest to every node that obeys an app, and follow it."`
	Status     statusCmd     `cmd:"" group:"fleet" help:"Show what each app's record says and how its nodes stand."`
	Retry      retryCmd      `cmd:"" group:"fleet" help:"Ask failed nodes to run the deployment again."`
	Promote    promoteCmd    `cmd:"" group:"fleet" help:"Make the rollout that is on the app's current deployment."`
	Abort      abortCmd      `cmd:"" group:"fleet" help:"End the rollout that is on: touched nodes go back to current."`
	Publish    publishCmd    `cmd:"" group:"release" help:"Pack a directory, upload it, and write its manifest."`
	Validate   validateCmd   `cmd:"" group:"release" help:"Say everything that is wrong with a manifest."`
	Completion completionCmd `cmd:"" group:"other" help:"Print the completion script for bash, zsh or fish."`
	Run        runCmd        `cmd:"" hidden:"" help:"Carry out one run (the agent starts this)."`
}

var groups = []kong.Group{
	{Key: "node", Title: "On a node"},
	{Key: "fleet", Title: "The fleet, from anywhere"},
	{Key: "release", Title: "Releases"},
	{Key: "other", Title: "Other"},
}

// Exit statuses, as docs/commands.md tells them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3
	exitUnreachable = 4
	exitInterrupted = 130
)

// exitError is an error that knows its exit status. One with a nil Err says
// nothing more: the command has told already.
type exitError struct {
	Code int
	Err  error
}

func (e *exitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}

func (e *exitError) Unwrap() error { return e.Err }

// told ends a command with a status after its output has said why.
func told(code int) error {
	if code == exitOK {
		return nil
	}
	return &exitError{Code: code}
}

func usageError(format string, args ...any) error {
	return &exitError{Code: exitUsage, Err: fmt.Errorf(format, args...)}
}

// leave carries kong's wish to exit (after --help, --version) out of Parse.
type leave int

func newParser(c *cli, stdout, stderr io.Writer) *kong.Kong {
	return kong.Must(c,
		kong.Name("gurney"),
		kong.Description("Carries a release to every node of a Consul fleet, runs chef-solo there, and tells what became of it."),
		kong.Vars{"version": "gurney " + version, "config": defaultConfigFile},
		kong.ExplicitGroups(groups),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(duration)),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(leave(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 80}),
		kong.UsageOnError(),
	)
}

// runCLI parses the arguments, runs the command and returns the exit status.
func runCLI(p process) (code int) {
	defer func() {
		if r := recover(); r != nil {
			l, ok := r.(leave)
			if !ok {
				panic(r)
			}
			code = int(l)
		}
	}()
	var c cli
	parser := newParser(&c, p.Stdout, p.Stderr)
	complete(parser, p)
	args := p.Args
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		code := misused(p.Stderr, err)
		if underConsul(&p) && slices.Contains(args, "apply") {
			code = exitOK // as apply's own: another status ends the watch
		}
		return code
	}
	ctx, stop := untilSignal()
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(&p, &c)
	return conclude(p.Stderr, ctx, err)
}

// misused says what is wrong with the arguments, and whose help to read.
// Kong's own exit status for that, 80, is nobody else's.
func misused(stderr io.Writer, err error) int {
	command := "gurney"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context.Selected() != nil {
		command = parse.Context.Selected().FullPath()
	}
	msg := strings.ReplaceAll(err.Error(), ` but got "EOL" (<EOL>)`, ", but nothing follows")
	_, _ = fmt.Fprintf(stderr, "gurney: %s\nTry: %s --help\n", msg, command)
	return exitUsage
}

// conclude prints err as one line where it has something to say, and turns it
// into the exit status.
func conclude(stderr io.Writer, ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitStatus(err)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		_, _ = fmt.Fprintln(stderr, "gurney: interrupted")
		return exitInterrupted
	}
	var e *exitError
	if errors.As(err, &e) && e.Err == nil {
		return code
	}
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		_, _ = fmt.Fprintf(stderr, "gurney: %s\n", line)
	}
	return code
}

// command is what kong runs, for callers that choose it themselves.
type command interface {
	Run(ctx context.Context, p *process, c *cli) error
}

// untilSignal ends with the first signal, which asks the command to end in order.
// Once it has been taken the handler is gone, so that a second one ends the
// process.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// unwatched lets a command that drives a fleet go on when the one who read what
// it prints has gone, as head does: SIGPIPE would end it with its lock held and
// its deployment half driven.
func unwatched() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// runOne runs one command without kong.
func runOne(p process, cmd command) int {
	ctx, stop := untilSignal()
	defer stop()
	return conclude(p.Stderr, ctx, cmd.Run(ctx, &p, &cli{}))
}
