package integration_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gurney/integration/fleet"
	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

// liar stands between a host's agent and its Consul, and answers in its place
// where it is told to.
type liar struct {
	*meter
	front *httptest.Server
	mu    sync.Mutex
	lie   func(http.ResponseWriter, *http.Request) (answered bool)
	lies  int
}

// believe puts a liar before a host's agent, which does not run yet.
func (w *world) believe(host string) *liar {
	w.Helper()
	l := &liar{meter: newMeter(w, w.Consul.Node(host).Addr)}
	l.front = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		lie := l.lie
		l.mu.Unlock()
		if lie != nil && lie(rw, r) {
			l.mu.Lock()
			l.lies++
			l.mu.Unlock()
			return
		}
		l.Config.Handler.ServeHTTP(rw, r)
	}))
	w.Cleanup(l.front.CloseClientConnections)
	if err := w.Hosts[host].Set("consul", "{address: "+l.front.Listener.Addr().String()+"}"); err != nil {
		w.Fatal(err)
	}
	return l
}

func (l *liar) says(lie func(http.ResponseWriter, *http.Request) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lie, l.lies = lie, 0
}

func (l *liar) told() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lies
}

// ofRecord answers reads of chef's record so; body "" is 404, which is what
// Consul says where there is nothing.
func ofRecord(body string, staleOnly bool) func(http.ResponseWriter, *http.Request) bool {
	return func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/apps/chef") || staleOnly && !r.URL.Query().Has("stale") {
			return false
		}
		rw.Header().Set("X-Consul-Index", "7")
		if body == "" {
			rw.WriteHeader(http.StatusNotFound)
			return true
		}
		_, _ = io.WriteString(rw, body)
		return true
	}
}

// deaf keeps all events from the agent.
func deaf(rw http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/v1/event/list" {
		return false
	}
	select { // as a blocking query waits
	case <-r.Context().Done():
	case <-time.After(time.Second):
	}
	rw.Header().Set("X-Consul-Index", "1")
	_, _ = io.WriteString(rw, "[]")
	return true
}

// runs are the directories of the host's runs.
func (w *world) runs(host string) []string {
	w.Helper()
	paths, err := filepath.Glob(w.Hosts[host].Path("state", "runs", "chef@*"))
	if err != nil {
		w.Fatal(err)
	}
	return paths
}

// stale is gurney_stale_reads_total at a host's /metrics.
func (w *world) stale(addr string) int {
	w.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	m := regexp.MustCompile(`(?m)^gurney_stale_reads_total (\d+)$`).FindSubmatch(body)
	if err != nil || m == nil {
		w.Fatalf("no gurney_stale_reads_total in /metrics: %v", err)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		w.Fatal(err)
	}
	return n
}

// A node that was off while a deploy was made runs it within seconds of its
// start, long before its timer, though its Consul has forgotten the event.
func TestANodeThatWasOff(t *testing.T) {
	w := newWorld(t, "web-1", "db-1")
	l := w.believe("web-1")
	w.startAgents("web-1", "db-1")
	w.deploy(0, w.publish(w.newRepo("one"), "one"))
	h := w.Hosts["web-1"]
	h.Agent.Kill()
	l.says(deaf)
	w.gurney(w.ops(), 0, "deploy", "chef", w.publish(w.newRepo("two"), "two").Manifest, "--detach")
	id := w.record("chef").Current.ID
	w.awaitFinal("chef", id, "db-1")
	if r := w.result("chef", id, "web-1"); r.State != "" {
		t.Fatalf("web-1 is off and says %+v", r)
	}
	if err := h.StartAgent(); err != nil {
		t.Fatal(err)
	}
	stood, began := w.standstill(), time.Now()
	w.onceOK("web-1", id)
	if took := time.Since(began); took > 20*time.Second+stood() { // its timer has minutes
		t.Errorf("it took %s", took)
	}
	w.converged("web-1", "two green")
}

// A node that no event reaches finds a deployment within an interval; one that
// is already right does nothing, and writes nothing, however often it looks.
func TestANodeThatNeverHeard(t *testing.T) {
	w := newWorld(t, "web-1")
	l := w.believe("web-1")
	l.says(deaf)
	if err := w.Hosts["web-1"].Set("reconcile", "2s"); err != nil {
		t.Fatal(err)
	}
	w.startAgents("web-1")
	// At its start, and with the first answer about events: there is no record.
	w.until("it has looked for the record", func() bool { return l.told() >= 2 && l.reads.Load() >= 2 })
	p := w.publish(w.newRepo("one"), "one")
	stood, began := w.standstill(), time.Now()
	w.gurney(w.ops(), 0, "deploy", "chef", p.Manifest, "--detach")
	id := w.record("chef").Current.ID
	w.until("it has heard of it", func() bool { return w.result("chef", id, "web-1").State != "" })
	if took := time.Since(began); took > 10*time.Second+stood() {
		t.Errorf("it took %s", took)
	}
	w.onceOK("web-1", id)
	w.until("its results are written", func() bool { return len(l.count()) >= 2 })
	reads, runs := l.reads.Load(), len(w.runs("web-1"))
	w.until("four more looks", func() bool { return l.reads.Load() >= reads+4 })
	if got := l.count(); len(got) != 2 {
		t.Errorf("it wrote %q", got[2:])
	}
	if n := len(w.runs("web-1")); n != runs {
		t.Errorf("%d runs, before %d", n, runs)
	}
}

// What a server says that lags, is empty, or goes backward changes nothing,
// and is counted; a deployment is found though all but the leader lag.
func TestServersThatLie(t *testing.T) {
	w := newWorld(t, "web-1")
	l := w.believe("web-1")
	h := w.Hosts["web-1"]
	metrics, err := fleet.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"reconcile": "1s", "listen": strconv.Quote(metrics)} {
		if err := h.Set(k, v); err != nil {
			t.Fatal(err)
		}
	}
	w.startAgents("web-1")
	one := w.deploy(0, w.publish(w.newRepo("one"), "one"))
	old := w.raw("apps/chef")
	two := w.deploy(0, w.publish(w.newRepo("two"), "two"))
	record := w.record("chef")
	w.until("it knows of the promotion", func() bool {
		return strings.Contains(w.read(h.Path("state", "apps", "chef.json")), fmt.Sprint(`"seq": `, record.Seq)) ||
			strings.Contains(w.read(h.Path("state", "apps", "chef.json")), fmt.Sprint(`"seq":`, record.Seq))
	})
	writes, runs := l.count(), w.runs("web-1")
	for _, c := range []struct{ name, body string }{
		{"one that lags", old},
		{"one that has nothing", ""},
		{"one that goes backward", wire(rollout.AppKey("chef"), fmt.Sprintf(
			`{"v":1,"seq":%d,"current":{"id":%q,"at":"2026-01-01T00:00:00Z","by":"eve"}}`, record.Seq-1, one.ID))},
	} {
		before := w.stale(metrics)
		l.says(ofRecord(c.body, false))
		w.until(c.name+" is believed three times", func() bool { return l.told() >= 3 })
		w.until("each of them is counted", func() bool { return w.stale(metrics)-before >= 3 })
		l.says(nil)
		if got := l.count(); len(got) != len(writes) {
			t.Errorf("%s made it write %q", c.name, got[len(writes):])
		}
		if got := w.runs("web-1"); len(got) != len(runs) || w.live("web-1") != "two" {
			t.Errorf("%s made it run: %q, %s is live", c.name, got, w.live("web-1"))
		}
	}
	// The event says how new the record must be: the leader is asked.
	l.says(ofRecord(old, true))
	three := w.deploy(0, w.publish(w.newRepo("three"), "three"))
	if l.told() == 0 {
		t.Error("no server lagged")
	}
	w.onceOK("web-1", three.ID)
	if r := w.result("chef", two.ID, "web-1"); r.State != report.OK {
		t.Errorf("the result of two is %+v", r)
	}
}

// raw is what Consul's HTTP API answers for a key of Gurney's.
func (w *world) raw(key string) string {
	w.Helper()
	p, err := w.client().Get(w.Context(), key, kv.Default)
	if err != nil || p == nil {
		w.Fatalf("%s: %v, %v", key, p, err)
	}
	return wire(key, string(p.Value))
}

// wire is a key's value as Consul's HTTP API answers it.
func wire(key, value string) string {
	return fmt.Sprintf(`[{"LockIndex":0,"Key":"gurney/%s","Flags":0,"Value":%q,"CreateIndex":5,"ModifyIndex":7}]`, key, base64.StdEncoding.EncodeToString([]byte(value)))
}
