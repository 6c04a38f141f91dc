package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/mattn/go-isatty"

	"gurney/chef"
)

// Exit statuses, the same as gurney's.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// run plays the demo and tears it down, whatever came of it.
func run(ctx context.Context, args []string, stdout, stderr *os.File) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "demo: %v\n", err)
		return exitUsage
	}
	d, err := newDemo(ctx, o, stdout, stderr)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "demo: %v\n", err)
		return exitFailed
	}
	err = d.story(ctx)
	d.tell.end()
	d.doc.Seconds = seconds(d.began)
	if err == nil && o.stay {
		d.stay(ctx)
	}
	interrupted := ctx.Err() != nil && !d.done
	if !d.done {
		err = errors.Join(err, d.collect(context.WithoutCancel(ctx)))
	}
	err = errors.Join(err, d.teardown())
	d.conclude(err, interrupted)
	if o.output == "json" {
		err = errors.Join(err, writeDocument(stdout, d.doc))
	}
	d.farewell(stderr, err, interrupted)
	switch {
	case interrupted:
		return exitInterrupted
	case err != nil || !d.doc.OK:
		return exitFailed
	}
	return exitOK
}

// demo is a fleet while it is up.
type demo struct {
	options
	began          time.Time
	tell           *teller
	doc            *document
	env            []string
	stdout, stderr *os.File
	done           bool // the story was told to its end
	hosts          []*host
	ids            []string // of the deployments, in order
	*servers
	*history
	teardowns []teardown
}

// teardown is the end of something that was started; the last is ended first.
type teardown struct {
	what string
	end  func() error
}

func newDemo(ctx context.Context, o options, stdout, stderr *os.File) (*demo, error) {
	if _, err := os.Stat(filepath.Join(o.bin, "gurney")); err != nil {
		return nil, fmt.Errorf("%w: run make build first, or say --bin DIR", err)
	}
	solo, err := findChef(ctx, o)
	if err != nil {
		return nil, err
	}
	if o.dir, err = o.home(); err != nil {
		return nil, err
	}
	// Where the directory really is: what is picked and unpacked below is
	// compared with it.
	if o.dir, err = filepath.EvalSymlinks(o.dir); err != nil {
		return nil, err
	}
	d := &demo{
		options: o, began: time.Now(), tell: &teller{out: stdout}, env: environment(o.bin), stdout: stdout, stderr: stderr,
		doc: &document{Chef: solo, Dir: o.dir, Nodes: []node{}, Results: []result{}, Keys: []key{}},
	}
	if o.output == "json" {
		d.tell.out = io.Discard
	}
	d.tell.colour = isatty.IsTerminal(stdout.Fd()) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return d, nil
}

// findChef looks for a real chef-solo where an agent would, and takes the
// stand-in where there is none.
func findChef(ctx context.Context, o options) (chefUsed, error) {
	path, err := chef.Find(o.chef)
	if err != nil {
		if o.chef != "" || os.Getenv("CHEF_SOLO") != "" {
			return chefUsed{}, err
		}
		if path, err = chef.Find(filepath.Join(o.bin, "chef-solo-standin")); err != nil {
			return chefUsed{}, fmt.Errorf("no chef-solo on PATH, and no stand-in: run make bin/chef-solo-standin first, or say --bin DIR: %w", err)
		}
	}
	if path, err = filepath.Abs(path); err != nil {
		return chefUsed{}, err
	}
	used := chefUsed{Path: path, Version: "unknown version"}
	if v, err := chef.GetVersion(ctx, path); err == nil {
		used.Version, used.StandIn = v.Product+" "+v.Number, v.StandIn
	}
	return used, nil
}

// later has end called at the teardown.
func (d *demo) later(what string, end func() error) {
	d.teardowns = append(d.teardowns, teardown{what, end})
}

// teardown ends all that was started, the last first. Nothing of it hangs on
// the story's context.
func (d *demo) teardown() error {
	var errs []error
	for i := len(d.teardowns) - 1; i >= 0; i-- {
		if err := d.teardowns[i].end(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", d.teardowns[i].what, err))
		}
	}
	d.teardowns = nil
	return errors.Join(errs...)
}

// stay keeps the fleet up until the user ends it.
func (d *demo) stay(ctx context.Context) {
	d.tell.say("\nThe fleet stays up until Ctrl-C. In another shell:\n\n$ cd %s && . ./env\n$ gurney -c %s status\n", d.dir, operatorFile)
	<-ctx.Done()
}
