package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// options are what the command line says.
type options struct {
	dir    string // where the hosts are; "": a new one below os.TempDir
	bin    string // the directory of gurney and chef-solo-standin
	chef   string // "": found
	output string // text or json
	stay   bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.dir, "dir", "", "make the hosts in `DIR`, which must be empty or not there (default: a new directory for temporary files)")
	f.StringVar(&o.bin, "bin", "", "`DIR` of gurney and chef-solo-standin (default: bin beside the go.mod above the working directory)")
	f.StringVar(&o.chef, "chef", "", "converge with this `PROGRAM` (default: $CHEF_SOLO, chef-solo or cinc-solo where there is one, else the stand-in)")
	f.StringVar(&o.output, "o", "text", "text or json")
	f.BoolVar(&o.stay, "stay", false, "at the end keep the fleet up until Ctrl-C, to try things on it")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var err error
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("%q: only flags are wanted", f.Arg(0))
	case o.output != "text" && o.output != "json":
		err = fmt.Errorf("-o %q: text or json", o.output)
	case o.bin == "":
		o.bin, err = binDir()
	default:
		o.bin, err = filepath.Abs(o.bin)
	}
	return o, err
}

// binDir is where make puts programs: bin beside go.mod.
func binDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "bin"), nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working directory: say --bin DIR, or run it in Gurney's source")
		}
	}
}

// home makes the directory of the hosts. One that holds something is refused:
// the story tells of a fleet that has run nothing yet.
func (o options) home() (string, error) {
	if o.dir == "" {
		return os.MkdirTemp("", "gurney-demo-")
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("--dir %s: not empty", dir)
	}
	return dir, err
}
