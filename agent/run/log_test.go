package run

import (
	"errors"
	"os"
	"syscall"
	"testing"

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
