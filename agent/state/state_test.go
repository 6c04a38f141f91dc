package state_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gurney/agent/state"
	"gurney/event"
	"gurney/report"
	"gurney/rollout"
)

func open(t *testing.T) state.Dir {
	t.Helper()
	d, err := state.Open(filepath.Join(t.TempDir(), "gurney"))
	must(t, err)
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What commands printed may tell secrets: all of it is the owner's alone.
func TestOnlyTheOwnerReads(t *testing.T) {
	d := open(t)
	must(t, d.SaveJournal(&state.Journal{App: "chef"}))
	must(t, d.SaveSeen(&event.Seen{}))
	must(t, d.Post(state.Letter{Name: "chef@a@final"}))
	r, err := d.NewRun(state.Spec{App: "chef", ID: "a", Attempt: 1})
	must(t, err)
	must(t, r.SaveStatus(state.Status{}))
	must(t, r.SaveEnding(state.Ending{}))
	files := 0
	must(t, filepath.WalkDir(d.Path(), func(path string, e os.DirEntry, err error) error {
		must(t, err)
		info, err := e.Info()
		must(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if !e.IsDir() {
			files++
		}
		return nil
	}))
	if files != 6 {
		t.Errorf("%d files", files)
	}
	if _, err := state.Open("relative"); err == nil || !strings.Contains(err.Error(), "an absolute path is wanted") {
		t.Errorf("a relative directory: %v", err)
	}
}

// Nothing of it goes through the directory for temporary files, on its way.
func TestNothingIsWrittenElsewhere(t *testing.T) {
	d := open(t)
	elsewhere := t.TempDir() // on the same file system
	t.Setenv("TMPDIR", elsewhere)
	long := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(elsewhere, long, long))
	must(t, d.SaveJournal(&state.Journal{App: "chef"}))
	info, err := os.Stat(elsewhere)
	must(t, err)
	if !info.ModTime().Equal(long) {
		t.Error("something was there")
	}
}

// What is read back is what was written, and what is not there is no error
// but for a run's order.
func TestReadBack(t *testing.T) {
	d := open(t)
	at := time.Date(2026, 11, 23, 14, 4, 9, 0, time.UTC)
	j, err := d.Journal("chef")
	if err != nil || !reflect.DeepEqual(j, &state.Journal{App: "chef"}) {
		t.Errorf("%+v, %v", j, err)
	}
	want := &state.Journal{
		App: "chef", Born: 7, Record: &rollout.Record{V: 1, Seq: 9, Current: &rollout.Ref{ID: "a", At: at}}, Touched: rollout.Touched{ID: "a", Verdict: "ok"},
		Event: &state.URLEvent{ID: "e", URL: "s3://b/m", At: at}, Past: []string{"a"}, Own: []string{"e"},
		Work: &state.Work{ID: "a", State: report.OK, Since: at, Start: at, Attempt: 2, Run: "chef@a@2", NotUntil: at},
	}
	must(t, d.SaveJournal(want))
	if j, err = d.Journal("chef"); err != nil || !reflect.DeepEqual(j, want) {
		t.Errorf("%+v, %v", j, err)
	}
	if apps, err := d.Apps(); err != nil || !reflect.DeepEqual(apps, []string{"chef"}) {
		t.Errorf("%q, %v", apps, err)
	}
	if _, fresh, err := d.Seen(); err != nil || !fresh {
		t.Errorf("events were seen before any: %v", err)
	}
	var seen event.Seen
	seen.Mark(event.Event{ID: "e"})
	must(t, d.SaveSeen(&seen))
	if s, fresh, err := d.Seen(); err != nil || fresh || !s.Has("e") {
		t.Errorf("%v, %v, %v", s, fresh, err)
	}
	if n, err := d.ConsulNode(); n != "" || err != nil {
		t.Errorf("%q, %v", n, err)
	}
	must(t, d.SaveConsulNode("web-1"))
	if n, err := d.ConsulNode(); n != "web-1" || err != nil {
		t.Errorf("%q, %v", n, err)
	}
	r := d.Run("chef@a@1")
	if s, err := r.Status(); s != nil || err != nil {
		t.Errorf("%v, %v", s, err)
	}
	if e, err := r.Ending(); e != nil || err != nil {
		t.Errorf("%v, %v", e, err)
	}
	if _, err := r.Spec(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a run without an order: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(d.Path(), "apps", "chef.json"), []byte("{"), 0o600))
	if _, err := d.Journal("chef"); err == nil || !strings.Contains(err.Error(), "chef.json") {
		t.Errorf("half a journal: %v", err)
	}
}

func TestRunsAreKeptInTheirOrder(t *testing.T) {
	d := open(t)
	began := time.Now().Add(-time.Hour)
	run := func(app, id string, minutes int) state.RunDir {
		r, err := d.NewRun(state.Spec{App: app, ID: id, Attempt: 1})
		must(t, err)
		at := began.Add(time.Duration(minutes) * time.Minute)
		must(t, os.Chtimes(r.Path("spec.json"), at, at))
		return r
	}
	names := func(app string) (out []string) {
		runs, err := d.Runs(app)
		must(t, err)
		for _, r := range runs {
			out = append(out, r.Name)
		}
		return out
	}
	oldest := run("chef", "z", 0)
	for i := range 12 {
		run("chef", fmt.Sprintf("a%02d", 12-i), i+1)
	}
	other := run("chef2", "a", 0)
	must(t, d.PruneRuns("chef", oldest.Name))
	got := names("chef")
	if len(got) != 11 || got[0] != oldest.Name || got[1] != "chef@a10@1" || got[10] != "chef@a01@1" {
		t.Errorf("%q stay", got)
	}
	if all := names(""); len(all) != 12 || names("chef2")[0] != other.Name {
		t.Errorf("%q", all)
	}
	// A second order for the same attempt begins anew.
	must(t, oldest.SaveEnding(state.Ending{Result: report.Result{State: report.OK}}))
	if e, err := run("chef", "z", 20).Ending(); e != nil || err != nil {
		t.Errorf("the end of before stands in a new run: %+v, %v", e, err)
	}
	must(t, os.WriteFile(oldest.Path(state.Stderr), []byte(strings.Repeat("x", 5000)+"\nlast words\n"), 0o600))
	if w := oldest.LastWords(); len(w) > 1024 || !strings.HasSuffix(w, "x\nlast words") {
		t.Errorf("%d bytes: …%s", len(w), w[max(0, len(w)-20):])
	}
}

func TestJournalsForget(t *testing.T) {
	var j state.Journal
	for i := range 60 {
		j.Note(fmt.Sprint(i))
		j.Note(fmt.Sprint(i))
	}
	if len(j.Past) != 50 || j.Knows("9") || !j.Knows("10") || !j.Knows("59") {
		t.Errorf("%q", j.Past)
	}
	var gone []string
	for i := range 8 {
		gone = append(gone, j.Remember(fmt.Sprint(i), 5)...)
		gone = append(gone, j.Remember(fmt.Sprint(i), 5)...)
	}
	if !reflect.DeepEqual(gone, []string{"0", "1", "2"}) || len(j.Own) != 5 {
		t.Errorf("%q are forgotten, %q stay", gone, j.Own)
	}
}

// The lock is the run's as long as the run lives, whatever becomes of who
// started it.
func TestLockGoesWithTheRun(t *testing.T) {
	d := open(t)
	l, err := d.LockRun("chef a")
	must(t, err)
	var busy *state.BusyError
	if _, err := d.LockRun("gurney apply"); !errors.As(err, &busy) || busy.By != "chef a" {
		t.Fatalf("taken twice: %v", err)
	}
	run := exec.Command("sleep", "300")
	run.ExtraFiles = []*os.File{l.File()}
	must(t, run.Start())
	defer func() { _ = run.Process.Kill() }()
	l.Release()
	l.Release()
	if _, err := d.LockRun("gurney apply"); !errors.As(err, &busy) {
		t.Fatalf("the run goes on, and the lock is free: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	told := 0
	if _, err := d.WaitRun(short, "gurney apply", func(*state.BusyError) { told++ }); !errors.Is(err, context.DeadlineExceeded) || told != 1 {
		t.Errorf("%v, told %d times", err, told)
	}
	must(t, run.Process.Kill())
	_ = run.Wait()
	l, err = d.WaitRun(t.Context(), "gurney apply", nil)
	must(t, err)
	l.Release()
}

// A run's own children don't hold the lock: a service that Chef starts must
// not keep the next run out.
func TestAdoptedLockIsNotInherited(t *testing.T) {
	d := open(t)
	l, err := d.LockRun("chef a")
	must(t, err)
	fd, err := unix.Dup(int(l.File().Fd())) // as a child gets it: open across exec
	must(t, err)
	l.Release()
	adopted, err := state.Adopt(uintptr(fd))
	must(t, err)
	child := exec.Command("sleep", "300")
	must(t, child.Start())
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	adopted.Release()
	again, err := d.LockRun("chef b")
	if err != nil {
		t.Fatalf("a child holds it: %v", err)
	}
	again.Release()
	if _, err := state.Adopt(9999); err == nil {
		t.Error("a descriptor that is none is a lock")
	}
}

// A writer that was killed leaves its file on its way: it is removed, and
// nothing else is.
func TestTidy(t *testing.T) {
	d := open(t)
	must(t, d.SaveJournal(&state.Journal{App: "chef"}))
	r, err := d.NewRun(state.Spec{App: "chef", ID: "a", Attempt: 1})
	must(t, err)
	var left []string
	for _, path := range []string{d.Path(), filepath.Join(d.Path(), "apps"), filepath.Join(d.Path(), "outbox"), r.Path("")} {
		path = filepath.Join(path, ".chef.json7450710637157675992")
		must(t, os.WriteFile(path, nil, 0o600))
		left = append(left, path)
	}
	unborn := d.Run("chef@b@1").Path(".spec.json1203") // killed before it was a run
	must(t, os.MkdirAll(filepath.Dir(unborn), 0o700))
	must(t, os.WriteFile(unborn, nil, 0o600))
	lock, err := d.LockRun("gurney apply")
	must(t, err)
	must(t, d.Tidy())
	if _, err := os.Lstat(unborn); err != nil {
		t.Error("a run that somebody may be making was removed")
	}
	lock.Release()
	left = append(left, unborn, filepath.Dir(unborn))
	must(t, d.Tidy())
	must(t, r.Tidy())
	for _, path := range left {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if _, err := r.Spec(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(d.Path(), "apps", "chef.json")); err != nil {
		t.Error(err)
	}
}
