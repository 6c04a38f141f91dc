package run

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gurney/agent/state"
	"gurney/artifact"
	"gurney/chef"
	"gurney/config"
	"gurney/report"
)

// fixture is a machine on which manifests run: with an archive to fetch, and
// a chef-solo that notes that it ran.
type fixture struct {
	*testing.T
	dir     string
	home    state.Dir
	config  *config.Config
	options func(*Options)    // last word on a run's options
	spec    func(*state.Spec) // and on what it is to do
	status  []state.Status    // of the last run
	clock   time.Time         // of the archive's files
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, dir: t.TempDir(), clock: time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC), config: &config.Config{Maintenance: "hold"}}
	var err error
	f.home, err = state.Open(filepath.Join(f.dir, "state"))
	f.must(err)
	f.config.Dests = []string{f.dir}
	f.config.Chef.Command = f.write("chef-solo", "#!/bin/sh\necho chef $(pwd -P) sees $(cat version) >> "+f.path("order")+"\n. "+f.path("chef.sh")+"\n")
	f.must(os.Chmod(f.config.Chef.Command, 0o755))
	f.write("chef.sh", "echo 'Infra Phase complete, 3/60 resources updated in 01 seconds'")
	f.archive("one")
	return f
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) path(name string) string { return filepath.Join(f.dir, name) }

func (f *fixture) write(name, text string) string {
	f.Helper()
	f.must(os.WriteFile(f.path(name), []byte(text), 0o600))
	return f.path(name)
}

func (f *fixture) read(name string) string {
	data, _ := os.ReadFile(f.path(name))
	return string(data)
}

// archive packs a release whose file version says which it is.
func (f *fixture) archive(version string) {
	f.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	f.clock = f.clock.Add(time.Minute) // else rsync takes files of one size for the same
	for _, e := range []struct{ name, text string }{{"version", version + "\n"}, {"solo.rb", "\n"}, {"nodes/web.json", "{}\n"}} {
		f.must(w.WriteHeader(&tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.text)), ModTime: f.clock}))
		_, err := w.Write([]byte(e.text))
		f.must(err)
	}
	f.must(w.Close())
	f.write("src.tar", b.String())
}

// run carries a manifest out as deployment id. In the manifest DIR is the
// fixture's directory, SRC and SUM are the archive, and NOTE word is a command
// that notes the word and what dest shows.
func (f *fixture) run(ctx context.Context, id, text string) state.Ending {
	f.Helper()
	sum := sha256.Sum256([]byte(f.read("src.tar")))
	note := func(word string) string {
		return fmt.Sprintf("echo %s sees $(cat %s/version 2>/dev/null) >> %s", word, f.path("dest"), f.path("order"))
	}
	for _, w := range []string{"pre1", "pre2", "post1", "post2", "success", "failure"} {
		text = strings.ReplaceAll(text, "NOTE "+w, note(w))
	}
	text = strings.NewReplacer("DIR", f.dir, "SRC", "file://"+f.path("src.tar"), "SUM", hex.EncodeToString(sum[:])).Replace(text)
	spec := state.Spec{App: "chef", ID: id, Node: "web-1", Manifest: []byte(text), Attempt: 1}
	if f.spec != nil {
		f.spec(&spec)
	}
	dir, err := f.home.NewRun(spec)
	f.must(err)
	out, err := OpenLog(dir, nil)
	f.must(err)
	defer func() { f.must(out.Close()) }()
	f.status = nil
	o := Options{
		Config: f.config, Allow: artifact.AllowAll(), Dir: dir, Chef: f.home.Chef(), Host: chef.Host{Name: "web-1"},
		Env: os.LookupEnv, Version: "1.0", Log: out.Logger(), Out: out,
		Fetcher:  &artifact.Fetcher{Sources: map[string]artifact.Source{"file": artifact.File{}}, Retries: 1, Log: out.Logger()},
		OnStatus: func(s state.Status) { f.status = append(f.status, s) },
	}
	if f.options != nil {
		f.options(&o)
	}
	e := Run(ctx, spec, o)
	saved, err := dir.Ending()
	f.must(err)
	if saved == nil || saved.Result.State != e.Result.State || saved.Result.Error != e.Result.Error {
		f.Errorf("it left %+v, and returned %+v", saved, e)
	}
	return e
}

// ok is run, of what must go well.
func (f *fixture) ok(id, text string) state.Ending {
	f.Helper()
	e := f.run(f.Context(), id, text)
	if e.Result.State != report.OK {
		f.Fatalf("%+v\n%s", e, f.log(id))
	}
	return e
}

// fails is run, of what must fail in a phase by the release's fault.
func (f *fixture) fails(id string, phase report.Phase, text string) report.Result {
	f.Helper()
	e := f.run(f.Context(), id, text)
	if r := e.Result; r.State != report.Failed || r.Phase != phase || !r.Release || e.Wait {
		f.Fatalf("%+v, want a failure in phase %s\n%s", e, phase, f.log(id))
	}
	return e.Result
}

func (f *fixture) log(id string) string {
	data, _ := os.ReadFile(f.home.Run("chef@" + id + "@1").Path(state.RunLog))
	return string(data)
}

// order compares what ran with want, and forgets it.
func (f *fixture) order(want ...string) {
	f.Helper()
	got := strings.TrimSpace(f.read("order"))
	if exp := strings.ReplaceAll(strings.Join(want, "\n"), "DIR", f.dir); got != exp {
		f.Errorf("it ran\n%s\nwant\n%s", got, exp)
	}
	_ = os.Remove(f.path("order"))
}

// live is the version that dest shows.
func (f *fixture) live() string { return strings.TrimSpace(f.read("dest/version")) }
