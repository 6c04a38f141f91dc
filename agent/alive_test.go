package agent_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gurney/agent"
)

// manager is a service manager that hears what the agent says of itself.
type manager struct {
	mu   sync.Mutex
	told []string
}

func (m *manager) hear(state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, state)
}

func (m *manager) heard() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.told)
}

func (m *manager) beats() (n int) {
	for _, s := range m.heard() {
		if s == "WATCHDOG=1" {
			n++
		}
	}
	return n
}

// The loop says that it lives; while it is stuck nobody says it for it.
func TestTheWatchdogHearsTheLoop(t *testing.T) {
	const every = 200 * time.Millisecond
	m := &manager{}
	w := newWorld(t, func(o *agent.Options) { o.Notify, o.Watchdog = m.hear, every })
	w.start()
	w.eventually("it is ready and beats", func() bool { return m.beats() > 3 })
	if told := m.heard(); told[0] != "READY=1" || told[1] != "STATUS=at rest, apps: [chef]" {
		t.Errorf("it began with %q", told)
	}
	stuck, free := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.wire.onGet(func(r *http.Request) *http.Response {
		if strings.HasPrefix(r.URL.Path, "/v1/kv/") {
			once.Do(func() { close(stuck) })
			<-free
		}
		return nil
	})
	id := w.deploy("block")
	<-stuck
	before := m.beats()
	time.Sleep(5 * every) // the watchdog would have bitten
	if after := m.beats(); after != before {
		t.Errorf("%d beats of a loop that is stuck", after-before)
	}
	w.wire.onGet(nil)
	close(free)
	w.eventually("it beats again, and says what it does", func() bool {
		return m.beats() > before+3 && slices.Contains(m.heard(), "STATUS=chef: runs "+id+", attempt 1")
	})
	w.letGo()
	w.stop()
	if told := m.heard(); !slices.Contains(told, "STOPPING=1") {
		t.Errorf("it ended with %q", told[len(told)-1])
	}
}
