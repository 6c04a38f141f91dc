package run

import (
	"strings"
	"testing"

	"gurney/report"
)

// A dry run says what would change: no command runs, and dest stays as it is.
func TestWhyRunChangesNothing(t *testing.T) {
	for _, strategy := range []string{"release", "rsync"} {
		t.Run(strategy, func(t *testing.T) {
			f := newFixture(t)
			const archive = "src: SRC\nchecksum: SUM\ndest: DIR/dest\n"
			f.archive("one")
			f.ok("r1", archive+"sync_strategy: "+strategy+"\nchef: {}\ncommands: {post: [NOTE post1]}\n")
			f.archive("two")
			e := f.ok("r2", archive+"sync_strategy: "+strategy+"\nchef: {why_run: true}\ncommands: {pre: [NOTE pre2], post: [NOTE post2], success: [NOTE success], failure: [NOTE failure]}\n")
			if e.Result.Updated != 0 || f.live() != "one" {
				t.Errorf("%s is live, %+v", f.live(), e.Result)
			}
			if ran := f.read("order"); strings.Contains(ran, "pre2") || strings.Contains(ran, "post2") || strings.Contains(ran, "success") || strings.Contains(ran, "failure") || !strings.Contains(ran, "sees two") {
				t.Errorf("it ran\n%s", ran)
			}
		})
	}
}

// What a release would replace or mirror away must not be the journals.
func TestDestApartFromTheStateDirectory(t *testing.T) {
	f := newFixture(t)
	f.config.StateDir = f.path("state")
	f.archive("one")
	for _, dest := range []string{"DIR/state", "DIR/state/app", "DIR"} {
		r := f.run(t.Context(), "r1", "src: SRC\nchecksum: SUM\ndest: "+dest+"\nsync_strategy: rsync\n").Result
		if r.State != report.Failed && r.State != report.Refused || !strings.Contains(r.Error, "neither may stand in the other") {
			t.Errorf("%s: %+v", dest, r)
		}
	}
	f.ok("r2", "src: SRC\nchecksum: SUM\ndest: DIR/state-of-the-art\n")
}
