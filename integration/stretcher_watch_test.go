package integration_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gurney/integration/fleet"
)

// watch starts the real `consul watch -type event -name deploy_… HANDLER`, with
// the handler as teams write it.
func (y *yard) watch(handler string) *fleet.Process {
	y.Helper()
	bin, err := fleet.Tool("consul")
	if err != nil {
		y.Fatal(err)
	}
	env := append(y.Host.Env, "GURNEY_STATE_DIR="+y.stateDir(), "PATH="+y.Host.Dir+":"+filepath.Dir(y.Host.Gurney)+":"+os.Getenv("PATH"))
	p, err := fleet.Start(y.Host.Dir, env, bin, "watch", "-http-addr=http://"+y.Consul.Nodes[0].Addr,
		"-type", "event", "-name", stretcherEvent, handler)
	if err != nil {
		y.Fatal(err)
	}
	y.Cleanup(func() {
		p.Stop(5 * time.Second)
		if y.Failed() {
			y.Logf("consul watch %s:\n%s", handler, p.Out)
		}
	})
	y.until("the watch has handed over the list that is", func() bool { return exists(filepath.Join(y.stateDir(), "seen.json")) })
	return p
}

// counting is a manifest whose commands write word into a file of y.Root, where
// ran counts them.
func (y *yard) counting(word, more string) string {
	y.Helper()
	key := "app/" + word + ".yml"
	y.upload(key, []byte("commands:\n  pre:\n  - echo "+word+" >> "+y.Root+"/ran\n"+more))
	return "s3://acme/" + key
}

func (y *yard) ran() string {
	data, _ := os.ReadFile(filepath.Join(y.Root, "ran"))
	return strings.Join(strings.Fields(string(data)), " ")
}

// The watch of a fleet that runs Stretcher goes on unchanged, also over a
// deploy that fails: a handler whose exit status is not 0 would end it.
func TestStretcherUnderConsulWatch(t *testing.T) {
	all := newYard(t)
	for way, handler := range map[string]string{"stretcher": "stretcher --timeout=1m", "apply": "gurney -c gurney.yml apply -"} {
		t.Run(way, func(t *testing.T) {
			y, w := all.by(way), *all.world
			w.T, y.world = t, &w
			p := y.watch(handler)
			y.fire(stretcherEvent, y.counting("one", "")+"\n")
			y.until("the first has run", func() bool { return y.ran() == "one" })
			y.fire(stretcherEvent, y.counting("bad", "  - exit 3\n"))
			y.fire(stretcherEvent, "s3://acme/app/none.yml")
			y.until("the failures were told", func() bool { return strings.Contains(p.Out.String(), "NoSuchKey") })
			y.fire(stretcherEvent, y.counting("two", ""))
			y.until("the watch goes on", func() bool { return strings.HasSuffix(y.ran(), "two") })
			select {
			case <-p.Done():
				t.Error("the watch has ended")
			default:
			}
		})
	}
}

// A restart of the watch hands the whole ring over again: the last deploy does
// not run again, and what came while nobody watched does, the newest.
func TestStretcherWatchRestarts(t *testing.T) {
	y := newYard(t).by("stretcher")
	const handler = "stretcher; echo handled $?"
	p := y.watch(handler)
	y.fire(stretcherEvent, y.counting("one", ""))
	y.until("the first has run", func() bool { return y.ran() == "one" })
	p.Stop(5 * time.Second)
	p = y.watch(handler)
	y.until("the ring was handed over again", func() bool { return strings.Contains(p.Out.String(), "handled 0") })
	p.Stop(5 * time.Second)
	if got := y.ran(); got != "one" {
		t.Errorf("ran %s", got)
	}
	y.fire(stretcherEvent, y.counting("missed", ""))
	y.fire(stretcherEvent, y.counting("two", ""))
	p = y.watch(handler)
	y.until("the newest has run", func() bool { return y.ran() == "one two" })
	y.until("the other is reported", func() bool { return strings.Contains(p.Out.String(), "superseded") })
	y.fire(stretcherEvent, y.counting("three", ""))
	y.until("the next has run, and nothing twice", func() bool { return strings.HasSuffix(y.ran(), "three") })
	if got := y.ran(); got != "one two three" {
		t.Errorf("ran %s", got)
	}
}

// A reload in mid-run hands the list to a second handler: it waits, and starts
// no run beside the first.
func TestStretcherWatchReloads(t *testing.T) {
	y := newYard(t).by("stretcher")
	first := y.watch("stretcher")
	y.fire(stretcherEvent, y.counting("slow", "  - until test -e "+y.Root+"/go; do sleep 0.05; done; echo slow-ends >> "+y.Root+"/ran\n"))
	y.until("the first is in the middle", func() bool { return y.ran() == "slow" })
	second := y.watch("stretcher")
	y.until("the second waits", func() bool { return strings.Contains(second.Out.String(), "waiting for it") })
	first.Signal(syscall.SIGHUP)
	y.fire(stretcherEvent, y.counting("next", ""))
	y.write(y.Root, "go", "")
	y.until("the newer one runs", func() bool { return strings.Contains(y.ran(), "next") })
	// Until both handlers have gone: then nothing more can come.
	y.until("nobody runs", func() bool { return !strings.Contains(children(second.Pid()), "stretcher") })
	if got := y.ran(); got != "slow slow-ends next" {
		t.Errorf("ran %s", got)
	}
}

// children are the command lines of the processes whose parent pid is.
func children(pid int) string {
	var out []string
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == fmt.Sprint(pid) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			out = append(out, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return strings.Join(out, "\n")
}

// list is what consul watch writes to its handler: payloads are base64.
func list(events ...[3]string) string {
	type item struct {
		ID, Name, Payload string
		Version, LTime    int
	}
	items := []item{}
	for i, e := range events {
		items = append(items, item{e[0], e[1], base64.StdEncoding.EncodeToString([]byte(e[2])), 1, i + 1})
	}
	data, _ := json.Marshal(items) // of strings: never fails
	return string(data)
}

// The list as a file, as scripts hand it over: null and empty at the start, a
// failure of one app leaves the others alone, a name that is no app's, or no
// name for a directory, runs too.
func TestStretcherStandardInput(t *testing.T) {
	byHand(t, func(y *yard) {
		under := []string{"CONSUL_INDEX=1"}
		for _, empty := range []string{"", "null", "[]\n"} {
			if out := y.command(empty, under); out.Status != 0 {
				y.Errorf("%q: %+v", empty, out)
			}
		}
		if out := y.command("g1 20261125-0240-7a0f 12\n", nil); out.Status != 1 || !strings.Contains(out.Stderr, "gurney agent") {
			y.Errorf("a hint: %+v", out)
		}
		id := func(n int) string { return y.way + fmt.Sprint(n) }
		events := list(
			[3]string{id(1), "deploy_app_production", y.counting("lost", "")},
			[3]string{id(2), "deploy_app_production", y.counting("bad", "  - false\n")},
			[3]string{id(3), "deploy_db_production", y.counting("db", "") + "\n"},
			[3]string{id(4), "../../../escaped", y.counting("odd", "")},
			[3]string{"../../" + id(5), "deploy:web", y.counting("colon", "")},
		)
		if out := y.command(events, nil); out.Status != 1 || !strings.Contains(out.Stderr, id(1)+": superseded") {
			y.Errorf("without consul watch: %+v", out)
		}
		if got := y.ran(); got != "bad db odd colon" {
			y.Errorf("ran %s", got)
		}
		for _, dir := range []string{y.Dir, filepath.Dir(y.Host.Dir), y.Host.Dir} {
			if paths, _ := filepath.Glob(filepath.Join(dir, "*escaped*")); len(paths) > 0 {
				y.Errorf("an event's name led to %s", paths)
			}
		}
		if out := y.command(events, under); out.Status != 0 || y.ran() != "bad db odd colon" {
			y.Errorf("the same list again: %+v, ran %s", out, y.ran())
		}
	})
}
