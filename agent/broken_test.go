package agent_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gurney/agent/state"
	"gurney/kv"
	"gurney/report"
)

// A file of the state directory that a power cut left in half costs what it
// held, and nothing more: the agent starts, and every app goes on.
func TestBrokenStateIsPutAside(t *testing.T) {
	for file, holds := range map[string]string{
		"apps/chef.json":                        `{"app": "chef", "rec`,
		"apps/other.json":                       "",
		"seen.json":                             "\x00\x00\x00",
		"roles.json":                            `["chef"]`,
		"life.json":                             "{",
		"consul.json":                           "[]",
		"ready.json":                            `{"at": "yesterday"}`,
		"outbox/000000001-chef@x@final0.0.json": `{"name": "chef@x@fi`,
	} {
		t.Run(file, func(t *testing.T) {
			w := newWorld(t)
			w.start()
			w.comes(w.deploy("ok"), report.OK)
			w.allTold()
			w.stop()
			path := filepath.Join(w.dir.Path(), file)
			must(t, os.WriteFile(path, []byte(holds), 0o600))
			w.start()
			w.comes(w.deploy("ok"), report.OK)
			aside, err := os.ReadFile(path + ".broken")
			if err != nil || string(aside) != holds {
				t.Errorf("%q, %v", aside, err)
			}
			if !strings.Contains(w.log.String(), path+".broken") {
				t.Errorf("the log does not name it")
			}
		})
	}
}

// A letter that broke in the outbox while the agent runs holds back none of
// those behind it, and what it told is told again.
func TestBrokenLetterIsToldAgain(t *testing.T) {
	w := newWorld(t)
	w.start()
	first := w.deploy("ok")
	w.comes(first, report.OK)
	w.allTold()
	w.wire.onTxn(func(*http.Request) bool { w.cluster.SetLeader(false); return false }) // from the first result on
	id := w.deploy("ok")
	var letters []string
	w.eventually("the final result waits", func() bool {
		letters, _ = filepath.Glob(filepath.Join(w.dir.Path(), "outbox", "*"+id+"@final*.json"))
		return len(letters) == 1
	})
	must(t, w.dir.Post(state.Letter{Name: "chef@behind@final", Ops: []kv.Op{{Verb: kv.Set, Key: "results/behind", Value: []byte("x")}}}))
	must(t, os.WriteFile(letters[0], []byte("{"), 0o600))
	w.wire.onTxn(nil)
	w.cluster.SetLeader(true)
	w.comes(id, report.OK)
	w.eventually("the letter behind it came", func() bool {
		p, err := w.client.Get(t.Context(), "results/behind", kv.Default)
		return err == nil && p != nil
	})
	w.ran(first+" 1", id+" 1")
}
