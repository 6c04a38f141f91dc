package run

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"gurney/agent/state"
	"gurney/report"
)

// A log that has no room does not end the command that prints: that goes on, and
// the log says at its end that something is missing.
func TestLogWithoutRoom(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := &Log{file: full}
	f := newFixture(t)
	f.options = func(o *Options) { o.Out, o.Log = out, out.Logger() }
	if e := f.run(t.Context(), "r1", "commands: {pre: ['seq 1000000', NOTE pre1]}\n"); e.Result.State != report.OK {
		t.Errorf("%+v", e.Result)
	}
	f.order("pre1 sees")
	if err := out.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("at its end: %v", err)
	}
}

// A command that prints without end keeps the log's last part, and the one before
// it.
func TestLogIsBounded(t *testing.T) {
	f := newFixture(t)
	var dir state.RunDir
	f.options = func(o *Options) { o.Out.most, dir = 100<<10, o.Dir }
	e := f.run(t.Context(), "r1", "commands: {pre: ['seq 200000; echo the end'], success: ['tail -n 1000 | grep -q \"the end\"']}\n")
	if e.Result.State != report.OK {
		t.Errorf("%+v", e.Result)
	}
	for _, name := range []string{state.RunLog, state.RunLog + ".1"} {
		info, err := os.Stat(dir.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		if size := info.Size(); size > 200<<10 {
			t.Errorf("%s has %d bytes", name, size)
		}
	}
}
