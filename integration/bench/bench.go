package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// run measures everything and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "bench: %v\n", err)
		return 2
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := bench(ctx, o, func(format string, args ...any) { _, _ = fmt.Fprintf(stderr, "bench: "+format+"\n", args...) })
	if err == nil {
		err = r.write(stdout, o.output)
	}
	switch {
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	case !r.Met:
		return 1
	}
	return 0
}

func bench(ctx context.Context, o options, say func(string, ...any)) (*results, error) {
	for _, tool := range []string{"bash", "curl", "sha256sum", "tar", "rsync", "gzip", "zstd"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, err
		}
	}
	size, archives, err := archives(ctx, o.cache, say)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.dir, "gurney-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r := &results{Tree: size, Dir: dir, Memory: inMemory(dir), Load: load(), CPUs: runtime.NumCPU(), Runs: map[string]sample{}}
	say("working in %s (in memory: %t)", dir, r.Memory)
	if r.Load > float64(r.CPUs)/2 {
		say("this machine is busy (load %.1f, processors %d): the ratios will come out too small", r.Load, r.CPUs)
	}
	w, err := newWorld(ctx, dir, archives)
	defer w.close()
	if err != nil {
		return nil, err
	}
	gz, zst := archives[0], archives[1]
	// Once by each way before it counts: caches fill, connections open.
	warm := &results{Runs: map[string]sample{}}
	if err := w.pair(ctx, 0, gz, zst, size, warm); err != nil {
		return nil, err
	}
	for i := range o.pairs {
		if err := w.pair(ctx, i, gz, zst, size, r); err != nil {
			return nil, err
		}
		say("pair %d of %d: Stretcher's way %.2f s, gurney tar.gz %.2f s, tar.zst %.2f s",
			i+1, o.pairs, r.Stretcher[i], r.Gz[i], r.Zst[i])
	}
	for _, a := range archives {
		var peaks sample
		for range memoryRuns {
			run, agent, d, err := w.peak(ctx, a, size)
			if err != nil {
				return nil, err
			}
			r.reacted(d)
			peaks = append(peaks, mib(run+agent))
			say("%s: run %.1f MB and agent %.1f MB at their peaks", a.Label, mib(run), mib(agent))
		}
		r.Peaks = append(r.Peaks, peak{a.Label, peaks})
	}
	say("waiting for %s to see what the idle agent keeps", o.idle)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(o.idle):
	}
	idle, err := memory(w.host.Agent.Pid(), "VmRSS")
	r.Idle, r.IdleAfter = mib(idle), o.idle.String()
	r.judge()
	return r, err
}

// memoryRuns is how often each archive is deployed for its memory, which
// depends on who waits for whom.
const memoryRuns = 3

// mib is in units of 1,048,576 bytes.
func mib(n int64) float64 { return float64(n) / (1 << 20) }

// pair deploys once by each way. Who comes first changes from pair to pair.
func (w *world) pair(ctx context.Context, i int, gz, zst archive, size sizes, r *results) error {
	steps := []func() error{
		func() error {
			took, err := w.stretcher(ctx, gz, size)
			r.Stretcher = append(r.Stretcher, took.Seconds())
			return err
		},
		func() error {
			d, err := w.deploy(ctx, gz, size, nil)
			r.Gz = append(r.Gz, d.whole.Seconds())
			r.reacted(d)
			return err
		},
		func() error {
			d, err := w.deploy(ctx, zst, size, nil)
			r.Zst = append(r.Zst, d.whole.Seconds())
			r.reacted(d)
			return err
		},
		func() error { return w.alone(ctx, gz, size, r) },
		func() error { return w.alone(ctx, zst, size, r) },
	}
	for n := range steps {
		if i%2 == 1 {
			n = len(steps) - 1 - n
		}
		if err := steps[n](); err != nil {
			return err
		}
	}
	return nil
}

// alone times the run by itself: what the event, the agent and the report add
// is the difference.
func (w *world) alone(ctx context.Context, a archive, size sizes, r *results) error {
	took, err := w.apply(ctx, a, size)
	r.Runs[a.Label] = append(r.Runs[a.Label], took.Seconds())
	return err
}
