package agent_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gurney/agent"
	"gurney/agent/state"
	"gurney/kv"
	"gurney/report"
)

// While Consul takes no writes the results wait on disk, across a restart of
// the agent; then each is written once, in its order.
func TestOutboxDuringAnOutage(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.wire.onTxn(func(*http.Request) bool { w.cluster.SetLeader(false); return false }) // from the first result on
	id := w.deploy("block")
	w.begins(1)
	w.eventually("a letter waits", func() bool { return len(w.letters()) == 1 })
	w.letGo()
	w.eventually("the result waits", func() bool { return len(w.letters()) == 2 })
	w.stop()
	w.wire.onTxn(nil)
	said := countLog(w, "results can't be reported yet")
	w.start()
	w.eventually("the new agent tries, too", func() bool { return countLog(w, "results can't be reported yet") > said })
	if got := w.wire.writes(); len(got) > 0 {
		t.Fatalf("written without a leader: %q", got)
	}
	w.cluster.SetLeader(true)
	w.comes(id, report.OK)
	w.eventually("the outbox is empty", func() bool { return len(w.letters()) == 0 })
	w.writesOnly(id, 2)
	w.ran(id + " 1")
}

// A result that is on its way when the agent ends is not lost: the next agent
// sends it.
func TestOutboxWhenTheAgentEnds(t *testing.T) {
	w := newWorld(t)
	w.start()
	sending := make(chan struct{}, 1)
	w.wire.onTxn(func(r *http.Request) bool {
		select {
		case sending <- struct{}{}:
		default:
		}
		<-r.Context().Done()
		return true
	})
	id := w.deploy("ok")
	<-sending
	w.stop()
	if refused, _ := filepath.Glob(filepath.Join(w.dir.Path(), "outbox", "*.refused")); len(refused) > 0 {
		t.Fatalf("put aside as if Consul had refused it: %q", refused)
	}
	w.wire.onTxn(nil)
	w.start()
	w.comes(id, report.OK)
	w.eventually("accepted came, too", func() bool { return len(w.wire.writes()) == 2 })
}

// A letter that Consul will never take is put aside, and holds up no other.
func TestOutboxPutsAsideWhatNobodyTakes(t *testing.T) {
	w := newWorld(t)
	must(t, w.dir.Post(state.Letter{Name: "chef@x@final", Ops: []kv.Op{{Verb: "no such verb", Key: "results/x"}}}))
	w.start()
	id := w.deploy("ok")
	w.comes(id, report.OK)
	refused, err := filepath.Glob(filepath.Join(w.dir.Path(), "outbox", "*chef@x@final.json.refused"))
	if err != nil || len(refused) != 1 {
		t.Errorf("%q, %v", refused, err)
	}
}

func TestOutboxOrderAndNames(t *testing.T) {
	dir, err := state.Open(t.TempDir())
	must(t, err)
	post := func(names ...string) {
		t.Helper()
		for _, n := range names {
			must(t, dir.Post(state.Letter{Name: n}))
		}
	}
	names := func() (out []string) {
		letters, err := dir.Outbox()
		must(t, err)
		for _, l := range letters {
			out = append(out, l.Name)
		}
		return out
	}
	post("chef@a@accepted0.0", "chef@a@accepted0.0") // the same again, after a crash
	post("chef@a@held", "chef@b@final", "chef@a@accepted0.0", "chef@a@accepted0.0")
	want := []string{"chef@a@accepted0.0", "chef@a@held", "chef@b@final", "chef@a@accepted0.0"}
	if got := names(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q: what came in between must not win", got, want)
	}
	letters, err := dir.Outbox()
	must(t, err)
	must(t, dir.Sent(letters[0]))
	must(t, dir.Sent(letters[0]))
	must(t, dir.Refuse(letters[2]))
	post("chef@c@final")
	if got := names(); !slices.Equal(got, []string{want[1], want[3], "chef@c@final"}) {
		t.Errorf("%q stay", got)
	}
}

// The row of consul-kv-dashboard goes in the same entry as the result.
func TestDashboardRow(t *testing.T) {
	w := newWorld(t, func(o *agent.Options) { o.Dashboard = "chef" })
	w.start()
	id := w.deploy("ok")
	w.comes(id, report.OK)
	w.eventually("the row is there", func() bool { return slices.Contains(w.wire.writes(), "set dashboard/chef/"+me+"/chef") })
	if n := w.wire.count("PUT /v1/txn"); n != 2 {
		t.Errorf("%d writing requests", n)
	}
	// An event that is turned away changes nothing of how the app stands.
	w.comes(w.fire("chef", "fake://x/fail"), report.Refused)
	rows := slices.DeleteFunc(w.wire.writes(), func(op string) bool { return !strings.HasPrefix(op, "set dashboard/") })
	if len(rows) != 1 {
		t.Errorf("%q", rows)
	}
}

// allTold waits until no letter is on its way: Consul shows a result before the
// agent has its answer, and one that ends in between sends it again.
func (w *world) allTold() {
	w.t.Helper()
	w.eventually("no letter waits", func() bool { return len(w.letters()) == 0 })
}

// letters are the files that wait in the outbox.
func (w *world) letters() (out []string) {
	entries, err := os.ReadDir(filepath.Join(w.dir.Path(), "outbox"))
	must(w.t, err)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			out = append(out, e.Name())
		}
	}
	return out
}
