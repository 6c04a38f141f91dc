package integration_test

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gurney/kv"
	"gurney/report"
)

// meter stands between a host's agent and Consul, and counts what writes to
// the servers' store.
type meter struct {
	*httptest.Server
	reads  atomic.Int64 // of apps/chef
	mu     sync.Mutex
	writes []string
}

func newMeter(w *world, consul string) *meter {
	to, err := url.Parse("http://" + consul)
	if err != nil {
		w.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorLog = log.New(io.Discard, "", 0) // of queries that the agent's end cut off
	m := &meter{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && (strings.HasPrefix(r.URL.Path, "/v1/kv/") || r.URL.Path == "/v1/txn") {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			m.mu.Lock()
			m.writes = append(m.writes, r.Method+" "+r.URL.Path+" "+string(body))
			m.mu.Unlock()
		}
		defer func() {
			if strings.HasSuffix(r.URL.Path, "/apps/chef") {
				m.reads.Add(1)
			}
		}()
		proxy.ServeHTTP(rw, r)
	}))
	w.Cleanup(m.CloseClientConnections)
	return m
}

func (m *meter) count() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.writes...)
}

// A clean attempt costs a node two writing requests, each one entry in the
// servers' log, however much Chef prints; and idle nodes write nothing.
func TestADeploymentCostsTwoWritesPerNode(t *testing.T) {
	hosts := []string{"web-1", "web-2", "db-1"}
	w := newWorld(t, hosts...)
	meters := map[string]*meter{}
	for _, h := range hosts {
		m := newMeter(w, w.Consul.Node(h).Addr)
		meters[h] = m
		if err := w.Hosts[h].Set("consul", "{address: "+m.Listener.Addr().String()+"}"); err != nil {
			t.Fatal(err)
		}
	}
	w.startAgents(hosts...)
	loud := w.newRepo("loud",
		`execute "loud" do`,
		`  command "head -c 100000000 /dev/zero | tr '\\0' x | fold -w 100"`,
		`  live_stream true`,
		`end`)
	d := w.deploy(0, w.publish(loud, "chef"))
	if d.Counts["ok"] != 3 {
		t.Fatalf("%+v", d)
	}
	for _, h := range hosts {
		if got := meters[h].count(); len(got) != 2 {
			t.Errorf("%s wrote %d times: %q", h, len(got), got)
		}
		p, err := w.client().Get(t.Context(), report.Key("chef", d.ID, h), kv.Default)
		if err != nil || p == nil || len(p.Value) > report.MaxOK {
			t.Errorf("the result of %s: %v, %+v", h, err, p)
		}
		var kept int64
		for _, f := range []string{"chef.log", "chef.log.1"} {
			kept += size(w.Hosts[h].Path("state", "runs", "chef@"+d.ID+"@1", f))
		}
		if kept == 0 {
			t.Errorf("%s kept nothing of Chef's output", h)
		}
	}
	// Looking at the record again, as on the timer, writes nothing.
	for _, h := range hosts {
		reads := meters[h].reads.Load()
		w.wake(h)
		w.until(h+" reads the record", func() bool { return meters[h].reads.Load() > reads })
		if got := meters[h].count(); len(got) != 2 {
			t.Errorf("%s wrote while it was idle: %q", h, got)
		}
	}
	// A failure costs the same, and its marker is in the same request.
	bad := w.newRepo("bad",
		`execute "loud" do`,
		`  command "head -c 10000000 /dev/zero | tr '\\0' x | fold -w 100; exit 3"`,
		`  live_stream true`,
		`end`)
	d = w.deploy(1, w.publish(bad, "chef"))
	for _, h := range hosts {
		if got := meters[h].count(); len(got) != 4 {
			t.Errorf("%s wrote %d times for the failure: %q", h, len(got)-2, got[2:])
		}
		p, err := w.client().Get(t.Context(), report.Key("chef", d.ID, h), kv.Default)
		if err != nil || p == nil || len(p.Value) > report.MaxFailure {
			t.Errorf("the result of %s: %v, %d bytes", h, err, len(p.Value))
		}
	}
}
