package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// options are what the command line says.
type options struct {
	pairs  int
	dir    string        // takes everything that is deployed and served
	cache  string        // keeps the archives for the next time
	idle   time.Duration // before the agent's memory is read
	output string        // text or json
}

const usage = `usage: bench [flags]        or: make bench BENCH="flags"

Deploys a tree of real source and a large binary (about 300 MB, more than
10,000 files) again and again, by Gurney and by Stretcher's way, and compares.
It needs curl, sha256sum, tar, rsync, gzip and zstd. The archives are made
once, which takes some minutes, of them most for zstd's level 19.

`

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.pairs, "n", 7, "`PAIRS` of deploys that are timed")
	f.StringVar(&o.dir, "dir", "", "work below `DIR` (default: a tmpfs with 4 GiB to spare, else the directory for temporary files)")
	f.StringVar(&o.cache, "cache", "", "keep the archives in `DIR` (default: gurney-bench in the user's cache directory)")
	f.DurationVar(&o.idle, "idle", time.Minute, "read the agent's memory after `D` without work")
	f.StringVar(&o.output, "o", "text", "text or json")
	f.Usage = func() {
		_, _ = fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("%q: only flags are wanted", f.Arg(0))
	case o.output != "text" && o.output != "json":
		return o, fmt.Errorf("-o %q: text or json", o.output)
	case o.pairs < 1:
		return o, errors.New("-n: one pair at least")
	}
	if o.cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return o, err
		}
		o.cache = filepath.Join(base, "gurney-bench")
	}
	if o.dir == "" {
		o.dir = spacious()
	}
	return o, nil
}
