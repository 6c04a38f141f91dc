package run

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"gurney/agent/state"
	"gurney/release"
	"gurney/report"
)

const commands = `
commands:
  pre: ["NOTE pre1", "NOTE pre2"]
  post: ["NOTE post1", "NOTE post2"]
  success: ["NOTE success"]
  failure: ["NOTE failure"]
`

func manifestOf(strategy string) string {
	return "src: SRC\nchecksum: SUM\ndest: DIR/dest\nsync_strategy: " + strategy + "\nchef: {}" + commands
}

// Each strategy's order, and what dest shows at each step.
func TestOrder(t *testing.T) {
	f := newFixture(t)
	f.ok("r1", manifestOf("release"))
	f.order("pre1 sees", "pre2 sees", "chef DIR/dest.releases/r1 sees one", "post1 sees one", "post2 sees one", "success sees one")
	f.archive("two")
	e := f.ok("r2", manifestOf("release"))
	f.order("pre1 sees one", "pre2 sees one", "chef DIR/dest.releases/r2 sees two", "post1 sees two", "post2 sees two", "success sees two")
	if r := e.Result; r.Updated != 3 || r.Total != 60 || r.NodeJSON != "web" || r.Attempt != 1 || r.Agent != "1.0" || r.Phase != "" || r.End < r.Start {
		t.Errorf("%+v", r)
	}
	f.phases(report.PhaseAccepted, report.PhaseManifest, report.PhaseFetch, report.PhasePre, report.PhaseChef, report.PhaseActivate, report.PhasePost)

	f = newFixture(t)
	f.ok("r1", manifestOf("rsync"))
	f.archive("two")
	f.order("pre1 sees", "pre2 sees", "chef DIR/dest sees one", "post1 sees one", "post2 sees one", "success sees one")
	f.ok("r2", manifestOf("rsync"))
	f.order("pre1 sees one", "pre2 sees one", "chef DIR/dest sees two", "post1 sees two", "post2 sees two", "success sees two")
	f.phases(report.PhaseAccepted, report.PhaseManifest, report.PhaseFetch, report.PhasePre, report.PhaseFetch, report.PhaseSync, report.PhaseChef, report.PhasePost)

	f = newFixture(t)
	f.ok("r1", manifestOf("mv"))
	f.order("pre1 sees", "pre2 sees", "chef DIR/dest sees one", "post1 sees one", "post2 sees one", "success sees one")

	f = newFixture(t)
	f.ok("r1", commands)
	f.order("pre1 sees", "pre2 sees", "post1 sees", "post2 sees", "success sees")
	f.phases(report.PhaseAccepted, report.PhaseManifest, report.PhasePre, report.PhasePost)
}

// phases compares the phases of the last run, and says from where on it had
// touched the node: never before pre, sync or chef.
func (f *fixture) phases(want ...report.Phase) {
	f.Helper()
	var got []report.Phase
	for _, s := range f.status {
		if len(got) == 0 || got[len(got)-1] != s.Phase {
			got = append(got, s.Phase)
		}
		early := s.Phase == report.PhaseAccepted || s.Phase == report.PhaseManifest || s.Phase == report.PhaseFetch && !slices.Contains(got, report.PhasePre)
		if s.Touched == early {
			f.Errorf("in phase %s touched is %v", s.Phase, s.Touched)
		}
	}
	if !slices.Equal(got, want) {
		f.Errorf("phases %v, want %v", got, want)
	}
}

// What fails before the flip leaves the old release live, and what fails
// after it gives it back.
func TestFailureLeavesTheOldReleaseLive(t *testing.T) {
	f := newFixture(t)
	f.ok("r1", manifestOf("release"))
	f.order("pre1 sees", "pre2 sees", "chef DIR/dest.releases/r1 sees one", "post1 sees one", "post2 sees one", "success sees one")
	f.archive("two")

	r := f.fails("r2", report.PhasePre, strings.Replace(manifestOf("release"), `"NOTE pre2"`, `"echo the reason >&2; exit 3", "NOTE pre2"`, 1))
	if r.Exit != 3 || r.Tail != "the reason\n" || r.Error != "pre command 2 of 3 (echo the reason >&2; exit 3): exit status 3" {
		t.Errorf("%+v", r)
	}
	f.order("pre1 sees one", "failure sees one")

	f.write("chef.sh", "echo 'FATAL: RuntimeError: no such thing'; exit 1")
	r = f.fails("r3", report.PhaseChef, manifestOf("release"))
	if r.Exit != 1 || !strings.Contains(r.Error, "no such thing") {
		t.Errorf("%+v", r)
	}
	f.order("pre1 sees one", "pre2 sees one", "chef DIR/dest.releases/r3 sees two", "failure sees one")
	f.write("chef.sh", "true")

	f.fails("r4", report.PhasePost, strings.Replace(manifestOf("release"), `"NOTE post2"`, `"kill -9 $$"`, 1))
	f.order("pre1 sees one", "pre2 sees one", "chef DIR/dest.releases/r4 sees two", "post1 sees two", "failure sees one")
	if f.live() != "one" {
		t.Errorf("%s is live", f.live())
	}
}

// A release that is still on disk need not be fetched, but for another try of
// what failed it is.
func TestFailuresDontFillTheDisk(t *testing.T) {
	f := newFixture(t)
	kept := strings.Replace(manifestOf("release"), "dest:", "keep: 3\ndest:", 1)
	f.ok("r1", kept)
	f.ok("r2", kept)
	f.write("chef.sh", "exit 1")
	for i := range 4 {
		f.archive(fmt.Sprintf("bad%d", i))
		f.fails(fmt.Sprintf("f%d", i), report.PhaseChef, kept)
	}
	all, err := release.List(f.path("dest"))
	f.must(err)
	var ids []string
	for _, r := range all {
		ids = append(ids, r.ID)
	}
	// What is live, what was before it, and the newest failure.
	if got := strings.Join(ids, " "); got != "r1 r2 f3" {
		t.Errorf("%s are kept", got)
	}
}

func TestReleaseThatIsStillHere(t *testing.T) {
	f := newFixture(t)
	text := strings.ReplaceAll(manifestOf("release"), "SUM", sum(f.read("src.tar")))
	f.ok("r1", text)
	f.archive("two")
	f.ok("r2", manifestOf("release"))
	f.must(os.Remove(f.path("src.tar")))
	f.ok("r1", text)
	if f.live() != "one" || !strings.Contains(f.log("r1"), "nothing to fetch") {
		t.Errorf("%s is live\n%s", f.live(), f.log("r1"))
	}
	f.spec = func(s *state.Spec) { s.Attempt = 2 }
	if r := f.fails("r1", report.PhaseFetch, text); !strings.Contains(r.Error, "no such file") {
		t.Errorf("%+v", r)
	}
}

// success and failure read the whole log on standard input, and change
// nothing about the result.
func TestOutcomeCommandsReadTheLog(t *testing.T) {
	f := newFixture(t)
	f.ok("r1", "commands: {pre: [echo from pre], success: ['cat > DIR/told', 'exit 1', 'touch DIR/no']}")
	if told := f.read("told"); !strings.Contains(told, "from pre\n") || !strings.Contains(told, "pre 1 of 1") {
		t.Errorf("success was told %q", told)
	}
	f.fails("r2", report.PhasePre, "commands: {pre: ['echo from pre; exit 1'], failure: ['cat > DIR/told', 'exit 1']}")
	if told := f.read("told"); !strings.Contains(told, "from pre\n") || !strings.Contains(told, "exit status 1") {
		t.Errorf("failure was told %q", told)
	}
	if f.read("no") != "" || !strings.Contains(f.log("r1"), "the result stays as it is") {
		t.Errorf("a failed success command is passed over:\n%s", f.log("r1"))
	}
}

// What they print goes into the log that they read: it ends where they began.
func TestOutcomeCommandsThatPrintTheLog(t *testing.T) {
	f := newFixture(t)
	f.ok("r1", "commands: {pre: ['seq 1 100000'], success: ['cat | head -c 20000000', 'tee DIR/told | head -c 20000000']}")
	once := len(f.read("told")) // the log, with what cat added
	if total := len(f.log("r1")); once < 1<<20 || once > 2<<20 || total > 2*once+1<<10 {
		t.Errorf("the second command read %d bytes, and the log has %d", once, total)
	}
}

// mv replaces nothing, but knows what it brought: another attempt, or going back
// to it, does what comes after.
func TestMvKnowsItsOwn(t *testing.T) {
	f := newFixture(t)
	const text = "src: SRC\nchecksum: SUM\ndest: DIR/dest\nsync_strategy: mv\nchef: {}\ncommands: {pre: [NOTE pre1], post: [NOTE post1, 'test -e DIR/fixed']}\n"
	f.fails("r1", report.PhasePost, text)
	f.order("pre1 sees", "chef DIR/dest sees one", "post1 sees one")
	f.write("fixed", "")
	f.write("src.tar", "gone") // nothing is fetched
	f.ok("r1", text)
	f.order("chef DIR/dest sees one", "post1 sees one")
	f.archive("two")
	if r := f.fails("r2", report.PhaseManifest, text); !strings.Contains(r.Error, "mv replaces nothing") {
		t.Errorf("%+v", r)
	}
}

// What excludes names is not in a release either.
func TestReleaseWithExcludes(t *testing.T) {
	f := newFixture(t)
	f.ok("r1", "src: SRC\nchecksum: SUM\ndest: DIR/dest\nsync_strategy: release\nexcludes: ['solo.*', nodes/]\n")
	left, err := os.ReadDir(f.path("dest") + "/")
	if err != nil || len(left) != 1 || f.live() != "one" {
		t.Errorf("%v, %v", left, err)
	}
}
