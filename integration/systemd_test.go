package integration_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"gurney/config"
	"gurney/integration/fleet"
	"gurney/report"
)

// newerThan252 are directives that an older systemd says it does not know; the
// units say what becomes of them there.
var newerThan252 = regexp.MustCompile(`Unknown key (name )?'(RestartSteps|RestartMaxDelaySec)' in section`)

// The units that ship are what systemd understands, without a word from it.
func TestUnits(t *testing.T) {
	version, err := exec.Command("systemd-analyze", "--version").Output()
	if err != nil {
		t.Fatalf("%v: apt-get install systemd", err)
	}
	name, _, _ := strings.Cut(string(version), "\n")
	fmt.Println("systemd: units verified by", name)
	top, err := fleet.Root()
	if err != nil {
		t.Fatal(err)
	}
	units, err := filepath.Glob(filepath.Join(top, "examples", "systemd", "*"))
	if err != nil || len(units) < 4 {
		t.Fatalf("%v, %v", units, err)
	}
	for _, broken := range []string{"", "KillMod=process", "Delegate=maybe", "ExecStart=relative"} {
		t.Run("broken by "+broken, func(t *testing.T) {
			dir := t.TempDir()
			// What the units name and the machine need not have.
			extra := map[string]string{"consul.service": "[Unit]\nDescription=Consul\n[Service]\nExecStart=/bin/true\n"}
			for _, u := range units {
				data, err := os.ReadFile(u)
				if err != nil {
					t.Fatal(err)
				}
				text := strings.NewReplacer("/usr/local/bin/gurney ", filepath.Join(top, "bin", "gurney")+" ", "/bin/systemctl ", "/bin/true ").Replace(string(data))
				if broken != "" {
					text = strings.Replace(text, "[Service]\n", "[Service]\n"+broken+"\n", 1)
				}
				extra[filepath.Base(u)] = text
			}
			args := []string{"verify", "--man=no"}
			for name, text := range extra {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				args = append(args, path)
			}
			cmd := exec.Command("systemd-analyze", args...)
			cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
			out, err := cmd.CombinedOutput()
			said := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(out)), "\n"), func(l string) bool {
				return l == "" || newerThan252.MatchString(l) || !strings.Contains(l, dir) && !strings.Contains(l, "gurney")
			})
			if (len(said) > 0) != (broken != "") || err != nil && broken == "" {
				t.Errorf("systemd-analyze: %v\n%s", err, out)
			}
		})
	}
}

// What the units' text must say, beyond what systemd can check.
func TestUnitsSayWhatRunsNeed(t *testing.T) {
	top, err := fleet.Root()
	if err != nil {
		t.Fatal(err)
	}
	for unit, lines := range map[string][]string{
		"gurney.service":           {"Type=notify", "KillMode=process", "OOMPolicy=continue", "Delegate=yes", "WatchdogSec=5min", "Restart=always", "StateDirectory=gurney"},
		"gurney-bootstrap.service": {"Type=oneshot", "KillMode=process", "OOMPolicy=continue", "Delegate=yes", "Restart=on-failure", "Before=gurney.service gurney-ready.target"},
	} {
		data, err := os.ReadFile(filepath.Join(top, "examples", "systemd", unit))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			if !slices.Contains(strings.Split(string(data), "\n"), l) {
				t.Errorf("%s does not say %s", unit, l)
			}
		}
	}
}

// The scripts of supervisors are sh, and the first boot's configuration is one.
func TestExamplesOfTheFirstBoot(t *testing.T) {
	top, err := fleet.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{"daemontools/run", "runit/run"} {
		path := filepath.Join(top, "examples", script)
		if out, err := exec.Command("sh", "-n", path).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s can't be executed: %v", script, err)
		}
	}
	data, err := os.ReadFile(filepath.Join(top, "examples/cloud-init/user-data.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var user struct {
		Files []struct{ Path, Permissions, Content string } `yaml:"write_files"`
		Run   [][]string                                    `yaml:"runcmd"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&user); err != nil || !strings.HasPrefix(string(data), "#cloud-config\n") || len(user.Run) == 0 {
		t.Fatalf("%v: %+v", err, user)
	}
	configured := false
	for _, f := range user.Files {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(f.Content), 0o600); err != nil {
			t.Fatal(err)
		}
		switch {
		case f.Path == "/etc/gurney/gurney.yml":
			configured = true
			cfg, err := config.Load(path, nil)
			if err != nil || len(cfg.Apps) == 0 || len(cfg.Bootstrap.OnFailed) == 0 {
				t.Errorf("%v: %+v", err, cfg)
			}
		case strings.HasPrefix(f.Content, "#!/bin/sh\n"):
			if out, err := exec.Command("sh", "-n", path).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}
	}
	if !configured {
		t.Error("no gurney.yml is written")
	}
}

// manager is a service manager's socket.
type manager struct {
	*world
	path string
	mu   sync.Mutex
	told []string
	at   []time.Time
}

func (w *world) newManager() *manager {
	w.Helper()
	dir, err := os.MkdirTemp("", "notify") // short: it holds a socket
	if err != nil {
		w.Fatal(err)
	}
	m := &manager{world: w, path: filepath.Join(dir, "s")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		w.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 4096); ; {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.told, m.at = append(m.told, string(buf[:n])), append(m.at, time.Now())
			m.mu.Unlock()
		}
	}()
	w.Cleanup(func() {
		_ = conn.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return m
}

// times are when it was told what begins so.
func (m *manager) times(state string) (at []time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, s := range m.told {
		if strings.HasPrefix(s, state) {
			at = append(at, m.at[i])
		}
	}
	return at
}

// The agent tells systemd that it is ready, alive and stopping; nothing that
// it runs can.
func TestNotify(t *testing.T) {
	const watchdog = 3 * time.Second // a machine that is full makes everybody wait for one
	w := newWorld(t, "web-1")
	stood := w.standstill()
	h, m := w.Hosts["web-1"], w.newManager()
	if err := h.StartAgent("NOTIFY_SOCKET="+m.path, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds())); err != nil {
		t.Fatal(err)
	}
	w.until("it is ready", func() bool { return len(m.times("READY=1")) == 1 })
	if !exists(h.Path("state", "agent.sock")) {
		t.Error("it is ready before its socket is there")
	}
	p := w.publish(w.newRepo("told",
		`execute "env > #{ENV["HOST"]}/chef.env"`, waiting[0], waiting[1], waiting[2]), "chef", "commands: {pre: ['env > $HOST/pre.env']}")
	w.gurney(w.ops(), 0, "deploy", "chef", p.Manifest, "--detach")
	id := w.record("chef").Current.ID
	w.until("it says what runs", func() bool { return len(m.times("STATUS=chef: runs "+id)) > 0 && exists(h.Path("started")) })
	begun := len(m.times("WATCHDOG=1"))
	w.until("it beats while Chef runs", func() bool { return len(m.times("WATCHDOG=1")) > begun+4 })
	w.write(h.Dir, "go", "")
	if r := w.awaitFinal("chef", id, "web-1"); r.State != report.OK {
		t.Fatalf("%+v", r)
	}
	for _, name := range []string{"pre.env", "chef.env"} {
		env := w.read(h.Path(name))
		for _, v := range []string{"NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID="} {
			if strings.Contains("\n"+env, "\n"+v) {
				t.Errorf("%s has %s", name, v)
			}
		}
		if !strings.Contains(env, "GURNEY_RUN_MARK=") {
			t.Errorf("%s bears no mark", name)
		}
	}
	beats := m.times("WATCHDOG=1")
	for i := 1; i < len(beats); i++ {
		if gap := beats[i].Sub(beats[i-1]); gap > watchdog+stood() {
			t.Errorf("%s between two beats, where nobody waited longer than %s", gap, stood())
		}
	}
	h.Agent.Signal(syscall.SIGTERM)
	if status, err := h.Agent.Wait(20 * time.Second); err != nil || status != 0 {
		t.Errorf("%d, %v", status, err)
	}
	w.until("it has said that it stops", func() bool { return len(m.times("STOPPING=1")) > 0 })
	if len(m.times("STOPPING=1")) != 1 || len(m.times("READY=1")) != 1 {
		t.Errorf("it told %q", m.told)
	}

	// Nobody asked: nobody is told.
	told := len(m.times(""))
	w.startAgents("web-1")
	if now := len(m.times("")); now != told {
		t.Errorf("without the variables it told %q", m.told[told:])
	}
}

// An agent that a run has started belongs to no run.
func TestAnAgentThatChefStarted(t *testing.T) {
	w := newWorld(t, "web-1")
	h := w.Hosts["web-1"]
	if err := h.StartAgent("GURNEY_RUN_MARK=SOMERUN"); err != nil {
		t.Fatal(err)
	}
	w.until("it works", func() bool { return exists(h.Path("state", "agent.sock")) })
	if env := w.read(fmt.Sprintf("/proc/%d/environ", h.Agent.Pid())); strings.Contains(env, "GURNEY_RUN_MARK=") {
		t.Error("it bears the run's mark")
	}
}
