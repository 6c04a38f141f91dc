package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gurney/strictyaml"
)

// verbosity is what may follow --rsync-verbose as a word of its own.
var verbosity = regexp.MustCompile(`^-?(v+|q)$`)

// runStretcher is what gurney does when called by the name stretcher: it is
// `gurney apply -` with the flags of that program, which takes one dash or two
// and exits 0 or 1.
func runStretcher(p process) int {
	var (
		cmd   applyCmd
		retry int
		show  bool
	)
	flags := flag.NewFlagSet("stretcher", flag.ContinueOnError)
	flags.SetOutput(p.Stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprintln(p.Stderr, "stretcher is gurney here. It reads an event or a URL on standard input:\n"+
			"  --timeout D        bound on the whole, 10m or seconds (default: the manifest's)\n"+
			"  --retry N          times that a broken download is tried again\n"+
			"  --retry-wait D     the wait before the first of them\n"+
			"  --random-delay D   sleep a random part of D first\n"+
			"  --max-band-width B bytes a second for the download, as 10MB\n"+
			"  --rsync-verbose    name every file that the mirror changes\n"+
			"  --version\n"+
			"See gurney apply --help for more.")
	}
	flags.Var((*looseDuration)(&cmd.Timeout), "timeout", "")
	flags.IntVar(&retry, "retry", 0, "") // which is its default, and Gurney's then
	flags.Var((*looseDuration)(&cmd.RetryWait), "retry-wait", "")
	flags.Var((*looseDuration)(&cmd.RandomDelay), "random-delay", "")
	flags.Var(&cmd.MaxBandWidth, "max-band-width", "")
	flags.Var(&cmd.MaxBandWidth, "max-bandwidth", "") // its name before 2025
	flags.Var((*verboseFlag)(&cmd.RsyncVerbose), "rsync-verbose", "")
	flags.BoolVar(&show, "version", false, "")
	flags.BoolVar(&show, "v", false, "")

	switch err := flags.Parse(joinVerbose(p.Args)); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil && underConsul(&p):
		return exitOK // it has been told, and the watch must go on
	case err != nil:
		return exitFailed
	case show:
		_, _ = fmt.Fprintln(p.Stdout, "version:", version)
		return exitOK
	}
	if retry > 0 {
		n := uint(retry)
		cmd.Retry = &n
	}
	cmd.From = "-"
	return runOne(p, &cmd)
}

// joinVerbose makes "--rsync-verbose -vv" one word: the flag's value looks
// like a flag of its own.
func joinVerbose(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		if strings.TrimLeft(args[i], "-") == "rsync-verbose" && i+1 < len(args) && verbosity.MatchString(args[i+1]) {
			out = append(out, args[i]+"="+args[i+1])
			i++
			continue
		}
		out = append(out, args[i])
	}
	return out
}

// looseDuration reads Go's durations, and bare numbers as seconds, which is
// what Stretcher's older flags took.
type looseDuration time.Duration

func (d *looseDuration) String() string { return time.Duration(*d).String() }

func (d *looseDuration) Set(s string) error {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		if seconds < 0 || seconds > math.MaxInt64/float64(time.Second) {
			return errors.New("a time that is not negative is wanted")
		}
		*d = looseDuration(seconds * float64(time.Second))
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return errors.New("a duration is wanted, as 90s or 10m, or seconds")
	}
	*d = looseDuration(v)
	return nil
}

// byteSize is a number of bytes: 10485760, 10MB, 10MiB.
type byteSize int64

func (b *byteSize) String() string { return strconv.FormatInt(int64(*b), 10) }

func (b *byteSize) Set(s string) error {
	n, err := strictyaml.ParseSize(s)
	if err != nil {
		return err
	}
	*b = byteSize(n)
	return nil
}

// UnmarshalText makes it a flag's type for kong too.
func (b *byteSize) UnmarshalText(text []byte) error { return b.Set(string(text)) }

// verboseFlag is set by its name alone, and by rsync's -v or -vv as a value.
type verboseFlag bool

func (v *verboseFlag) String() string   { return strconv.FormatBool(bool(*v)) }
func (v *verboseFlag) IsBoolFlag() bool { return true }

func (v *verboseFlag) Set(s string) error {
	*v = verboseFlag(s == "true" || strings.Contains(s, "v"))
	return nil
}
