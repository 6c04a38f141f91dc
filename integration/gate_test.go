package integration_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gurney/integration/fleet"
	"gurney/kv"
)

// startGate starts `gurney gate ARGS -- sh -c SCRIPT` on a host.
func (w *world) startGate(host, script string, args ...string) *fleet.Process {
	w.Helper()
	h := w.Hosts[host]
	argv := append([]string{h.Gurney, "-c", h.Config(), "gate"}, args...)
	p, err := fleet.Start(h.Dir, h.Env, append(argv, "--", "sh", "-c", script)...)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(p.Kill)
	return p
}

// In maintenance the gate says why, waits so that nobody spins, and exits 1.
// Otherwise it becomes the daemon, which maintenance does not stop.
func TestGateInMaintenance(t *testing.T) {
	w := newWorld(t, "web-1")
	daemon := w.startGate("web-1", "echo $$ up; exec sleep 60", "--unless-maint")
	w.until("the daemon is up", func() bool { return strings.Contains(daemon.Out.String(), "up") })
	if got := strings.Fields(daemon.Out.String())[0]; got != strconv.Itoa(daemon.Pid()) {
		t.Errorf("the gate %d did not become the daemon %s", daemon.Pid(), got)
	}
	w.maintenance("web-1", true, "fan+swap")
	began := time.Now()
	other := w.startGate("web-1", "echo up", "--unless-maint")
	status, err := other.Wait(20 * time.Second)
	if err != nil || status != 1 || strings.Contains(other.Out.String(), "up\n") {
		t.Errorf("in maintenance: %d, %v: %s", status, err, other.Out)
	}
	if took := time.Since(began); took < 10*time.Second {
		t.Errorf("it was gone after %s: a supervisor would spin", took)
	}
	if !strings.Contains(other.Out.String(), `maintenance: "fan swap"; not starting sh`) {
		t.Errorf("it does not say why: %s", other.Out)
	}
	if _, err := daemon.Wait(0); err == nil {
		t.Error("maintenance stopped the daemon that ran")
	}
}

func TestGateWithoutConsul(t *testing.T) {
	w := newWorld(t, "web-1")
	consul := w.Consul.Node("web-1")
	consul.Kill()
	run := w.startGate("web-1", "echo up", "--unless-maint")
	if status, err := run.Wait(20 * time.Second); err != nil || status != 0 || !strings.Contains(run.Out.String(), "starting all the same") {
		t.Errorf("by default: %d, %v: %s", status, err, run.Out)
	}
	unguarded := w.startGate("web-1", "echo up", "--lock", "cron", "--if-unreachable", "run")
	if status, err := unguarded.Wait(20 * time.Second); err != nil || status != 0 || !strings.Contains(unguarded.Out.String(), "WITHOUT") {
		t.Errorf("--lock with run: %d, %v: %s", status, err, unguarded.Out)
	}
	waits := map[string]*fleet.Process{
		"maintenance": w.startGate("web-1", "echo up", "--unless-maint", "--if-unreachable", "wait"),
		"lock":        w.startGate("web-1", "echo up", "--lock", "cron"),
	}
	for name, p := range waits {
		w.until(name+" waits", func() bool { return strings.Contains(p.Out.String(), "; waiting") })
	}
	if err := consul.Start(); err != nil {
		t.Fatal(err)
	}
	for name, p := range waits {
		if status, err := p.Wait(30 * time.Second); err != nil || status != 0 || !strings.Contains(p.Out.String(), "up\n") {
			t.Errorf("%s after Consul came back: %d, %v: %s", name, status, err, p.Out)
		}
	}
}

// The gate of a lock hands on signals and its daemon's end, and takes the
// daemon with it when it is killed.
func TestGateIsTransparent(t *testing.T) {
	w := newWorld(t, "web-1")
	for _, c := range []struct {
		script string
		signal syscall.Signal
		status int
	}{
		{"exit 7", 0, 7},
		{"trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done", syscall.SIGTERM, 9},
		{"trap 'echo reloaded; exit 0' HUP; echo up; while :; do sleep 0.05; done", syscall.SIGHUP, 0},
		{"trap 'exit 0' ALRM; echo up; while :; do sleep 0.05; done", syscall.SIGALRM, 0},
		{"echo up; kill -KILL $$", 0, 137},
		{"echo up; kill -STOP $$; exit 5", syscall.SIGTERM, 143}, // as one that reads from a terminal
	} {
		p := w.startGate("web-1", c.script, "--lock", "jobs/cron")
		if c.signal != 0 {
			w.until("the daemon is up", func() bool { return strings.Contains(p.Out.String(), "up\n") })
			p.Signal(c.signal)
		}
		if status, err := p.Wait(20 * time.Second); err != nil || status != c.status {
			t.Errorf("%s: %d, wanted %d, %v: %s", c.script, status, c.status, err, p.Out)
		}
		if pair, err := w.client().Get(t.Context(), "/jobs/cron", kv.Default); err != nil || pair != nil {
			t.Errorf("%s: the key stays: %+v, %v", c.script, pair, err)
		}
	}
	for i, script := range []string{
		"echo $$ up; while :; do sleep 0.05; done",
		"sh -c 'echo $$ up; while :; do sleep 0.05; done' & wait", // where a script starts the daemon
		"exec setsid sh -c 'echo $$ up; while :; do sleep 0.05; done'",
		"exec setsid sh -c 'sh -c \"echo \\$\\$ up; while :; do sleep 0.05; done\" & wait'",
	} {
		p := w.startGate("web-1", script, "--lock", fmt.Sprintf("jobs/%d", i))
		w.until("the daemon is up", func() bool { return strings.Contains(p.Out.String(), "up\n") })
		pid := 0
		for line := range strings.SplitSeq(p.Out.String(), "\n") {
			if n, ok := strings.CutSuffix(line, " up"); ok {
				pid, _ = strconv.Atoi(n)
			}
		}
		p.Kill()
		w.until("the daemon is gone with its gate", func() bool { return pid > 0 && syscall.Kill(pid, 0) != nil })
	}
}

// A gate that is killed in the moment in which its daemon starts takes what that
// has started with it, too: nobody watches the lock for it.
func TestGateKilledAtOnce(t *testing.T) {
	w := newWorld(t, "web-1")
	script := fmt.Sprintf(`sh -c ": %s; while :; do sleep 0.05; done" & kill -KILL $PPID; wait`, w.Dir)
	var gates []*fleet.Process
	for i := range 12 {
		gates = append(gates, w.startGate("web-1", script, "--lock", fmt.Sprintf("jobs/%d", i)))
	}
	for _, p := range gates {
		if status, err := p.Wait(time.Minute); err != nil || status != -1 {
			t.Errorf("the gate ended with %d, %v: %s", status, err, p.Out)
		}
	}
	w.until("no daemon is left", func() bool {
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(lines, func(path string) bool {
			line, _ := os.ReadFile(path) // gone meanwhile
			return bytes.HasPrefix(line, []byte("sh\x00-c\x00")) && bytes.Contains(line, []byte(w.Dir))
		})
	})
}

// What ends the session may be what cuts the holder off: its Consul agent
// leaves. It learns of the loss from its clock alone, and nobody else may have
// the lock before.
func TestGateThatIsCutOff(t *testing.T) {
	w := newWorld(t, "web-1", "web-2")
	script := fmt.Sprintf(`trap '' TERM; exec flock -n -E 77 %s/flock sh -c "echo up; while :; do sleep 0.05; done"`, w.Dir)
	first := w.startGate("web-1", script, "--lock", "jobs/cron", "--grace", "3s")
	w.until("the first is up", func() bool { return strings.Contains(first.Out.String(), "up\n") })
	pair, err := w.client().Get(t.Context(), "/jobs/cron", kv.Default)
	if err != nil || pair == nil {
		t.Fatalf("%+v, %v", pair, err)
	}
	w.Consul.Node("web-1").Kill()
	destroy(w, pair.Session)
	second := w.startGate("web-2", script, "--lock", "jobs/cron", "--grace", "3s")
	w.untilIn(time.Minute, "the second is up", func() bool {
		if status, err := second.Wait(0); err == nil {
			t.Fatalf("it ended with %d, for the first ran still: %s", status, second.Out)
		}
		return strings.Contains(second.Out.String(), "up\n")
	})
	if status, err := first.Wait(20 * time.Second); err != nil || status != 1 {
		t.Errorf("the first: %d, %v: %s", status, err, first.Out)
	}
}

// What a daemon has started has as long to end as the daemon, which may be gone
// at once; and what has left its group goes too.
func TestGateGivesGraceToAll(t *testing.T) {
	w := newWorld(t, "web-1")
	child := `trap 'sleep 0.3; echo bye > %s; exit' TERM; echo up; while :; do sleep 0.05; done`
	for name, script := range map[string]string{
		"child":   `sh -c "%s" & wait`,
		"session": `exec setsid sh -c "%s"`,
		"stopped": `trap "" CONT; sh -c "%s" & kill -STOP $$; wait`,
	} {
		said := filepath.Join(w.Dir, name)
		p := w.startGate("web-1", fmt.Sprintf(script, fmt.Sprintf(child, said)), "--lock", "jobs/"+name, "--grace", "20s")
		w.until("the daemon is up", func() bool { return strings.Contains(p.Out.String(), "up\n") })
		pair, err := w.client().Get(t.Context(), "/jobs/"+name, kv.Default)
		if err != nil || pair == nil {
			t.Fatalf("%s: %+v, %v", name, pair, err)
		}
		destroy(w, pair.Session)
		if status, err := p.Wait(15 * time.Second); err != nil || status != 1 || !exists(said) {
			t.Errorf("%s: it ended with %d, %v, said bye: %v: %s", name, status, err, exists(said), p.Out)
		}
	}
}

// Two nodes race for one lock whose session is destroyed again and again:
// never do both run. flock sees it, for it is held until all of the daemon is
// gone.
func TestGateNeverRunsTwice(t *testing.T) {
	locks, times := 5, 2
	if os.Getenv("GURNEY_SOAK") != "" {
		locks, times = 10, 10
	}
	w := newWorld(t, "web-1", "web-2")
	type race struct {
		key, flock string
		gates      map[string]*fleet.Process
	}
	races := make([]*race, locks)
	for i := range races {
		r := &race{key: fmt.Sprintf("jobs/%d", i), flock: fmt.Sprintf("%s/flock-%d", w.Dir, i), gates: map[string]*fleet.Process{}}
		races[i] = r
		// Every second daemon does not obey TERM, nor does its flock: it has to
		// be killed.
		trap := []string{"", "trap '' TERM;"}[i%2]
		script := fmt.Sprintf(`%s exec flock -n -E 77 %s sh -c "echo up; while :; do sleep 0.05; done"`, trap, r.flock)
		for _, h := range []string{"web-1", "web-2"} {
			r.gates[h] = w.startGate(h, script, "--lock", r.key, "--grace", "200ms")
		}
	}
	// holder is the node that has the lock, with its session.
	holder := func(r *race) (node, session string) {
		p, err := w.client().Get(t.Context(), "/"+r.key, kv.Default)
		if err != nil || p == nil {
			return "", ""
		}
		return string(p.Value), p.Session
	}
	handed := 0
	for range times {
		last := make([]string, locks)
		for i, r := range races {
			w.until("somebody runs "+r.key, func() bool {
				node, session := holder(r)
				last[i] = session
				return session != "" && strings.Contains(r.gates[node].Out.String(), "up\n")
			})
			destroy(w, last[i])
		}
		for i, r := range races {
			old := r.gates
			w.untilIn(time.Minute, "hand-over of "+r.key, func() bool {
				// As a supervisor does, a gate that ended is started again.
				for h, p := range old {
					if status, err := p.Wait(0); err == nil {
						if status != 1 { // 77: the other ran too
							t.Errorf("%s on %s ended with %d: %s", r.key, h, status, p.Out)
						}
						script := p.Cmd.Args[len(p.Cmd.Args)-1]
						r.gates[h] = w.startGate(h, script, "--lock", r.key, "--grace", "200ms")
					}
				}
				_, session := holder(r)
				return session != "" && session != last[i]
			})
			handed++
		}
	}
	for _, r := range races {
		for h, p := range r.gates {
			if status, err := p.Wait(0); err == nil && status != 1 {
				t.Errorf("%s on %s ended with %d: %s", r.key, h, status, p.Out)
			}
		}
	}
	if handed != locks*times {
		t.Errorf("%d hand-overs", handed)
	}
	fmt.Printf("gate: %d forced hand-overs, no daemon ran twice\n", handed)
}

func destroy(w *world, session string) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodPut, "http://"+w.Consul.Nodes[0].Addr+"/v1/session/destroy/"+session, bytes.NewReader(nil))
	if err != nil {
		w.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.Fatalf("destroy %s: %v", session, err)
	}
	_ = resp.Body.Close()
}
