package integration_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gurney/integration/fleet"
)

// land is where a page's commands run: a fleet whose every host has a root
// directory of its own, so that the pages can speak of /etc/gurney and /srv
// and nobody needs to be root. What begins with one of these directories is
// put below the host's root in commands and files, and taken from there again
// in what is printed.
type land struct {
	*testing.T
	dir    string // holds a root for each host
	world  *world
	nodes  []string
	shells map[string]*shell
}

var places = regexp.MustCompile(`(^|[\s='"\[(,@])(/(?:etc/(?:gurney|default|systemd)|srv|var/(?:lib|log)/gurney|usr/local/bin)\b)`)

// destFlag is the one path in a command that other hosts than its own read.
var destFlag = regexp.MustCompile(`--dest (/srv[\w/.-]*)`)

const management = "11111111-1111-1111-1111-111111111111"

// newLand makes one: ops, where a page's commands run as a rule, and nodes.
// With acl Consul denies what no token allows, and ops has a token for all.
// Without nodes there is no Consul either.
func newLand(t *testing.T, acl bool, nodes ...string) *land {
	t.Helper()
	w := newShore(t)
	l := &land{T: t, dir: filepath.Join(w.Dir, "fleet"), world: w, nodes: nodes, shells: map[string]*shell{}}
	if len(nodes) == 0 {
		l.addHost("ops", "127.0.0.1:1", "")
		t.Cleanup(l.stop)
		return l
	}
	o := fleet.ConsulOptions{Servers: []string{"ops"}, Clients: nodes}
	if acl {
		o.Config = `{"acl": {"enabled": true, "default_policy": "deny", "tokens": {"initial_management": "` + management + `", "agent": "` + management + `"}}}`
	}
	var err error
	if w.Consul, err = fleet.StartConsul(t.Context(), w.Dir, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Consul.Kill)
	for _, n := range w.Consul.Nodes {
		token := ""
		if acl && n.Server {
			token = management // the first of a cluster, from which all others come
		}
		l.addHost(n.Name, n.Addr, token)
	}
	t.Cleanup(l.stop)
	return l
}

func (l *land) root(host string) string { return filepath.Join(l.dir, host) }

// addHost makes its directories, its programs and its shell. A host's prefix
// is its name up to the last hyphen.
func (l *land) addHost(name, consul, token string) {
	l.Helper()
	top, err := fleet.Root()
	if err != nil {
		l.Fatal(err)
	}
	root := l.root(name)
	prefix, _, _ := strings.Cut(name, "-")
	l.world.write(root,
		"usr/local/bin/gurney", gurneyScript, "usr/local/bin/systemctl", systemctlScript, "usr/local/bin/nginx", nginxScript,
		"etc/gurney/.keep", "", "etc/systemd/system/.keep", "", "srv/.keep", "", "home/.keep", "")
	for link, target := range map[string]string{
		"usr/local/bin/chef-solo": chefSolo, "usr/local/bin/consul": filepath.Join(top, "bin", "consul"),
		"home/docs": filepath.Join(top, "docs"), "home/examples": filepath.Join(top, "examples"),
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			l.Fatal(err)
		}
	}
	for _, program := range []string{"gurney", "systemctl", "nginx"} {
		if err := os.Chmod(filepath.Join(root, "usr/local/bin", program), 0o755); err != nil {
			l.Fatal(err)
		}
	}
	env := append(os.Environ(), l.world.S3.Env()...)
	env = append(env, "HOST="+root, "FLEET="+l.dir, "GURNEY="+filepath.Join(top, "bin", "gurney"), "HOME="+filepath.Join(root, "home"),
		"PATH="+filepath.Join(root, "usr/local/bin")+":"+os.Getenv("PATH"), "GURNEY_STATE_DIR="+filepath.Join(root, "var/lib/gurney"),
		"GURNEY_LISTEN=", "HOSTNAME_PREFIX="+prefix, "CHEF_LICENSE=accept-no-persist", "NO_COLOR=1",
		"CONSUL_HTTP_ADDR="+consul, "CONSUL_HTTP_TOKEN="+token)
	if err := os.CopyFS(filepath.Join(root, "home/chef-repo"), os.DirFS("testdata/chef-repo")); err != nil {
		l.Fatal(err)
	}
	sh, err := newShell(filepath.Join(root, "home"), env)
	if err != nil {
		l.Fatal(err)
	}
	l.shells[name] = sh
}

// gurneyScript is gurney as the pages' hosts have it. Only the place of the
// configuration is not the real one's.
const gurneyScript = `#!/bin/bash
[ "${0##*/}" = stretcher ] && exec -a stretcher "$GURNEY" "$@"
case " $* " in *" agent "*) echo $$ >"$HOST/agent.pid"; exec >>"$HOST/agent.log" 2>&1 ;; esac
[ -e "$HOST/etc/gurney/gurney.yml" ] && set -- -c "$HOST/etc/gurney/gurney.yml" "$@"
exec "$GURNEY" "$@"
`

// systemctlScript stands in for systemd: it starts and stops what the unit
// that the page has shown says.
const systemctlScript = `#!/bin/bash
stop() { [ -e "$HOST/agent.pid" ] && kill "$(cat "$HOST/agent.pid")" && while kill -0 "$(cat "$HOST/agent.pid")" 2>/dev/null; do sleep 0.05; done; }
start() { unset CONSUL_HTTP_TOKEN; eval "$(sed -n 's/^ExecStart=//p' "$HOST/etc/systemd/system/gurney.service") &"; }
case "$*" in
"enable --now gurney" | "start gurney") start ;;
"stop gurney") stop ;;
"restart gurney") stop; start ;;
*) echo "systemctl $*: the stand-in does not know this" >&2; exit 1 ;;
esac
`

// nginxScript is what the recipes of testdata/chef-repo ask about nginx.conf.
const nginxScript = `#!/bin/bash
! grep -q htp2 "$HOST/etc/nginx/nginx.conf" || { echo 'nginx: [emerg] unknown directive "htp2" in /etc/nginx/nginx.conf:1' >&2; exit 1; }
`

// below puts the well-known directories below the host's root.
func (l *land) below(host, text string) string {
	text = destFlag.ReplaceAllString(text, "--dest '{{ must_env `HOST` }}$1'")
	return places.ReplaceAllString(text, "${1}"+l.root(host)+"${2}")
}

// natural takes the hosts' roots out of what was printed.
func (l *land) natural(text string) string {
	text = strings.ReplaceAll(text, "{{ must_env `HOST` }}", "")
	return regexp.MustCompile(regexp.QuoteMeta(l.dir)+`/[a-z0-9-]+`).ReplaceAllString(text, "")
}

// run runs a command on a host and returns what it printed and its status.
func (l *land) run(host, text string) (string, int, error) {
	sh := l.shells[host]
	if sh == nil {
		return "", 0, fmt.Errorf("there is no host %s", host)
	}
	out, status, err := sh.run(l.below(host, text), 90*time.Second)
	if err == nil && status == 0 && starts.MatchString(text) {
		err = l.alive(host)
	}
	return l.natural(out), status, err
}

// starts knows the commands that start an agent.
var starts = regexp.MustCompile(`gurney agent\b|systemctl (enable|start|restart)\b`)

// alive waits until Consul's catalog shows the host's agent as alive.
func (l *land) alive(host string) error {
	url := "http://" + l.world.Consul.Nodes[0].Addr + "/v1/health/service/gurney?passing&token=" + management
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(url)
		if err != nil {
			continue
		}
		var list []struct{ Node struct{ Node string } }
		err = json.NewDecoder(resp.Body).Decode(&list)
		_ = resp.Body.Close()
		for _, one := range list {
			if err == nil && one.Node.Node == host {
				return nil
			}
		}
	}
	return fmt.Errorf("no agent of %s came into Consul's catalog: %s", host, l.log(host))
}

func (l *land) log(host string) string {
	data, _ := os.ReadFile(filepath.Join(l.root(host), "agent.log"))
	return string(data)
}

// stop ends agents, runs and shells.
func (l *land) stop() {
	for name, sh := range l.shells {
		pids := []string{}
		if data, err := os.ReadFile(filepath.Join(l.root(name), "agent.pid")); err == nil {
			pids = append(pids, strings.TrimSpace(string(data)))
		}
		paths, _ := filepath.Glob(filepath.Join(l.root(name), "var/lib/gurney/runs/*/status.json"))
		for _, p := range paths {
			var s struct{ PID int }
			if data, err := os.ReadFile(p); err == nil && json.Unmarshal(data, &s) == nil {
				pids = append(pids, strconv.Itoa(s.PID))
			}
		}
		for _, text := range pids {
			pid, err := strconv.Atoi(text)
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if err == nil && pid > 1 && strings.Contains(string(line), l.dir) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		sh.close()
		if l.Failed() && l.log(name) != "" {
			l.Logf("agent of %s:\n%s", name, l.log(name))
		}
	}
}

// shell is a bash that lives as long as its page: $?, cd and variables go on
// from command to command.
type shell struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string // of what is printed; closed at the end
	n     int
}

func newShell(dir string, env []string) (*shell, error) {
	s := &shell{cmd: exec.Command("bash", "--norc", "--noprofile"), lines: make(chan string, 1000)}
	s.cmd.Dir, s.cmd.Env = dir, env
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stdout, s.cmd.Stderr = w, w
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	_ = w.Close()
	go func() {
		defer close(s.lines)
		for in := bufio.NewScanner(r); in.Scan(); {
			s.lines <- in.Text()
		}
	}()
	return s, nil
}

// run runs text and reads what it prints, both streams, until it is done.
func (s *shell) run(text string, limit time.Duration) (string, int, error) {
	s.n++
	mark := fmt.Sprintf("--- end of command %d: ", s.n)
	quoted := "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	// (exit) gives the next command the status of this one as $?.
	script := fmt.Sprintf("(exit ${s:-0}); eval %s </dev/null; s=$?; printf '\\n%%s%%d\\n' '%s' $s\n", quoted, mark)
	if _, err := io.WriteString(s.in, script); err != nil {
		return "", 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var out strings.Builder
	for {
		select {
		case <-ctx.Done():
			return out.String(), 0, fmt.Errorf("%s: not done after %s; it printed: %s", text, limit, out.String())
		case line, more := <-s.lines:
			if !more {
				return out.String(), 0, errors.New("the shell ended: " + out.String())
			}
			if rest, ended := strings.CutPrefix(line, mark); ended {
				status, err := strconv.Atoi(rest)
				return out.String(), status, err
			}
			out.WriteString(line + "\n")
		}
	}
}

func (s *shell) close() {
	_ = s.in.Close()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}
