package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long until and ended wait for what must come.
const patience = 30 * time.Second

// exits N COMMAND ARG… runs a command that has to end with status N, and
// without a panic.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND ARG…")
	}
	if got := statusOf(ts, args[1:]); strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, wanted %s", got, args[0])
	}
}

// statusOf is a command's exit status; its output is the script's.
func statusOf(ts *testscript.TestScript, argv []string) int {
	err := ts.Exec(argv[0], argv[1:]...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%s: %v", argv[0], err)
	}
	for _, out := range []string{"stdout", "stderr"} {
		noPanic(ts, ts.ReadFile(out))
	}
	if err == nil {
		return 0
	}
	return exit.ExitCode()
}

func noPanic(ts *testscript.TestScript, text string) {
	if strings.Contains(text, "panic: ") || strings.Contains(text, "goroutine ") {
		ts.Fatalf("a panic came out:\n%s", text)
	}
}

// until REGEXP COMMAND ARG… runs a command until what it prints matches, or,
// with !, does not.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] until REGEXP COMMAND ARG…")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	env, out := environ(ts), []byte(nil)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		cmd := exec.Command(path, args[2:]...)
		cmd.Args[0], cmd.Dir, cmd.Env = args[1], ts.MkAbs("."), env
		out, _ = cmd.CombinedOutput() // its status is no matter until it matches
		noPanic(ts, string(out))
		if want.Match(out) != neg {
			return
		}
	}
	ts.Fatalf("not within %s; at last:\n%s", patience, out)
}

// json FILE reads a file (stdout too) as JSON, and json FILE PATH WANT looks
// at a part of it; len at a path's end counts. [!] json FILE PATH: is it there?
func jsonField(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || len(args) > 3 {
		ts.Fatalf("usage: [!] json FILE [PATH [WANT]]")
	}
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || dec.More() {
		ts.Fatalf("%s is not one JSON value: %v", args[0], err)
	}
	if len(args) == 1 {
		return
	}
	found := true
	for part := range strings.SplitSeq(args[1], ".") {
		v, found = into(v, part)
	}
	switch {
	case len(args) == 2 && found == neg:
		ts.Fatalf("%s: is there: %t", args[1], found)
	case len(args) == 3 && (fmt.Sprint(v) == args[2]) == neg:
		ts.Fatalf("%s is %v, wanted %s", args[1], v, args[2])
	}
}

func into(v any, part string) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		if part == "len" {
			return len(v), true
		}
		sub, ok := v[part]
		return sub, ok
	case []any:
		if part == "len" {
			return len(v), true
		}
		if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(v) {
			return v[i], true
		}
	}
	return nil, false
}

// background is a process that start started.
type background struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// start NAME COMMAND ARG… leaves a command running; its output goes to
// NAME.out and NAME.err.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME COMMAND ARG…")
	}
	launch(ts, args[0], environ(ts), args[1:])
}

func launch(ts *testscript.TestScript, name string, env, argv []string) {
	path, err := exec.LookPath(argv[0])
	ts.Check(err)
	out, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	defer func() { _ = out.Close() }()
	errs, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	defer func() { _ = errs.Close() }()
	cmd := exec.Command(path, argv[1:]...)
	cmd.Args[0], cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = argv[0], ts.MkAbs("."), env, out, errs
	ts.Check(cmd.Start())
	b := &background{cmd, make(chan struct{})}
	go func() { _ = cmd.Wait(); close(b.done) }()
	worldOf(ts).processes[name] = b
	ts.Defer(b.end)
}

// end asks it to go, and makes it.
func (b *background) end() {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.done:
	case <-time.After(5 * time.Second):
		_ = b.cmd.Process.Kill()
		<-b.done
	}
}

var signals = map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}

// signal NAME INT|TERM|KILL
func signalTo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || signals[args[1]] == 0 || worldOf(ts).processes[args[0]] == nil {
		ts.Fatalf("usage: signal NAME INT|TERM|KILL")
	}
	ts.Check(worldOf(ts).processes[args[0]].cmd.Process.Signal(signals[args[1]]))
}

// ended NAME STATUS waits until a command ended, with that status.
func ended(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || worldOf(ts).processes[args[0]] == nil {
		ts.Fatalf("usage: ended NAME STATUS")
	}
	b := worldOf(ts).processes[args[0]]
	select {
	case <-b.done:
	case <-time.After(patience):
		ts.Fatalf("%s goes on after %s", args[0], patience)
	}
	out, errs := ts.ReadFile(args[0]+".out"), ts.ReadFile(args[0]+".err")
	ts.Logf("[%s.out]\n%s[%s.err]\n%s", args[0], out, args[0], errs)
	noPanic(ts, out+errs)
	if got := b.cmd.ProcessState.ExitCode(); strconv.Itoa(got) != args[1] {
		ts.Fatalf("exit status %d, wanted %s", got, args[1])
	}
}
