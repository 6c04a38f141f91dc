package integration_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gurney/integration/fleet"
	"gurney/report"
)

// stays is a shell command that tells its pid in $HOST/<name> and stays,
// whatever signal may come.
func stays(name string) string {
	return `trap '' TERM INT HUP; echo $$ > $HOST/` + name + `.new; mv $HOST/` + name + `.new $HOST/` + name + `; while :; do sleep 0.05; done`
}

// apart starts stays in a session of its own, below nobody.
func apart(name string) string {
	return `setsid sh -c '` + strings.ReplaceAll(stays(name), `'`, `'\''`) + `' > /dev/null 2>&1 < /dev/null &`
}

// execute is a recipe's resource for a shell command that has its HOST.
func execute(name, command string) []string {
	return []string{`execute "` + name + `" do`, `  command "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(command) + `"`, `end`}
}

// pid waits for what stays to tell its pid.
func (w *world) pid(h *fleet.Host, name string) int {
	w.Helper()
	w.until(name+" runs", func() bool { return exists(h.Path(name)) })
	pid, err := strconv.Atoi(strings.TrimSpace(w.read(h.Path(name))))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { killAll(h) })
	return pid
}

// killAll ends all whose environment says that they are the host's.
func killAll(h *fleet.Host) {
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil || !strings.Contains("\x00"+string(data), "\x00HOST="+h.Dir+"\x00") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// runs says whether the process is there and not only waits to be waited for.
func runs(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// gone insists that none of them runs.
func (w *world) gone(pids map[string]int) {
	w.Helper()
	for name, pid := range pids {
		if runs(pid) {
			w.Errorf("%s is left behind (pid %d)", name, pid)
		}
	}
}

// hanging has a recipe that starts a process apart and then hangs.
func (w *world) hanging(name string) repo {
	return w.newRepo(name, slices.Concat(execute("apart", apart("apart")), execute("hang", stays("hang")))...)
}

// A run whose time is over leaves no process behind: neither Chef's, which are
// in sessions of their own, nor those of commands.
func TestATimeoutLeavesNobody(t *testing.T) {
	for name, lines := range map[string][]string{
		"chef.timeout": {"chef: {timeout: 10s}"}, // in which Chef comes to its last command
		"timeout":      {"timeout: 12s"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "web-1")
			h := w.Hosts["web-1"]
			w.startAgents("web-1")
			p := w.publish(w.hanging("hanging"), "chef", append(lines,
				"commands:", "  pre:", "  - |", "    "+apart("pre"), "  failure:", "  - |", "    "+apart("after"), "    until test -e $HOST/after; do sleep 0.05; done")...)
			w.gurney(w.ops(), 0, "deploy", "chef", p.Manifest, "--detach")
			left := map[string]int{"pre": w.pid(h, "pre"), "apart": w.pid(h, "apart"), "hang": w.pid(h, "hang")}
			id := w.record("chef").Current.ID
			if r := w.awaitFinal("chef", id, "web-1"); r.State != report.Failed || r.Phase != report.PhaseChef {
				t.Errorf("%+v", r)
			}
			w.gone(left)
			// What the failure command has started came after, and ended well.
			if !runs(w.pid(h, "after")) {
				t.Error("what the failure command started is gone")
			}
		})
	}
}

// A command of each list is stopped with all that it started, and a run that
// ended well leaves alone what it has started, also where its success command
// does not end.
func TestAStopOfCommandsLeavesNobody(t *testing.T) {
	w := newShore(t)
	h := w.addHost("web-1", "")
	for _, list := range []string{"pre", "post"} {
		t.Run(list, func(t *testing.T) {
			file := filepath.Join(w.Dir, list+".yml")
			for limit := 3 * time.Second; ; limit *= 4 {
				w.write(w.Dir, list+".yml", "timeout: "+limit.String()+"\ncommands:\n  "+list+":\n  - |\n    "+apart(list+".apart")+"\n    "+stays(list+".hang")+"\n")
				w.gurney(h, 1, "apply", file)
				if exists(h.Path(list+".apart")) && exists(h.Path(list+".hang")) || limit > 30*time.Second {
					break
				} // else the time was over before both had begun
			}
			w.gone(map[string]int{"apart": w.pid(h, list+".apart"), "hang": w.pid(h, list+".hang")})
		})
	}
	w.write(w.Dir, "well.yml", "commands:\n  pre:\n  - |\n    "+apart("service")+"\n  success:\n  - |\n    "+apart("told")+"\n    until test -e $HOST/service -a -e $HOST/told; do sleep 0.05; done\n")
	w.gurney(h, 0, "apply", filepath.Join(w.Dir, "well.yml"))
	service, told := w.pid(h, "service"), w.pid(h, "told")
	if !runs(service) || !runs(told) {
		t.Error("what a run that ended well has started is gone")
	}
	// The next run has no quarrel with it.
	w.gurney(h, 0, "apply", filepath.Join(w.Dir, "well.yml"))
	if !runs(service) || !runs(told) {
		t.Error("what a run that ended well has started is gone with the next")
	}
}

// applying starts `gurney apply` of the hanging repo and waits until Chef hangs.
func (w *world) applying(h *fleet.Host) (*fleet.Process, map[string]int) {
	w.Helper()
	p := w.publish(w.hanging("hanging"), "chef")
	a, err := fleet.Start(h.Dir, h.Env, h.Gurney, "-c", h.Config(), "apply", p.Manifest)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(a.Kill)
	return a, map[string]int{"apart": w.pid(h, "apart"), "hang": w.pid(h, "hang")}
}

// Ctrl-C.
func TestACancelledApplyLeavesNobody(t *testing.T) {
	w := newShore(t)
	h := w.addHost("web-1", "")
	w.addHost("ops", "")
	a, left := w.applying(h)
	a.Signal(syscall.SIGINT)
	if status, err := a.Wait(30 * time.Second); err != nil || status != 130 {
		t.Errorf("%d, %v: %s", status, err, a.Out)
	}
	w.gone(left)
}

// One that was killed is buried by the next, before its Chef begins.
func TestAKilledApplyIsBuried(t *testing.T) {
	w := newShore(t)
	h := w.addHost("web-1", "")
	w.addHost("ops", "")
	a, left := w.applying(h)
	a.Kill()
	for name, pid := range left {
		if !runs(pid) {
			t.Fatalf("%s went with the run: there is nothing to bury", name)
		}
	}
	out := w.gurney(h, 0, "apply", "--timeout", "30s", w.publish(w.newRepo("good"), "chef").Manifest)
	w.gone(left)
	if !strings.Contains(out.Stderr+out.Stdout, "ok in") {
		t.Error(out)
	}
	w.converged("web-1", "good green")
}

// aloneRecipe notes Chef's own pid, fails where another Chef runs, and waits.
func aloneRecipe() []string {
	return slices.Concat(
		execute("alone", `for p in $(cat $HOST/chefs 2>/dev/null); do kill -0 $p 2>/dev/null && echo two chefs && exit 1; done; echo $PPID >> $HOST/chefs`),
		execute("apart", apart("apart")), waiting)
}

// The run is killed in mid-Chef: what is left of it is ended before the next
// attempt begins, whether or not the agent was there; two Chefs never run side
// by side.
func TestAKilledRunIsBuried(t *testing.T) {
	for _, agent := range []string{"watches", "was killed too"} {
		t.Run("the agent "+agent, func(t *testing.T) {
			w := newWorld(t, "web-1")
			h := w.Hosts["web-1"]
			w.startAgents("web-1")
			p := w.publish(w.newRepo("alone", aloneRecipe()...), "chef")
			w.gurney(w.ops(), 0, "deploy", "chef", p.Manifest, "--detach")
			id := w.record("chef").Current.ID
			w.until("Chef is in the middle", func() bool { return exists(h.Path("started")) })
			chef, err := strconv.Atoi(strings.TrimSpace(w.read(h.Path("chefs"))))
			if err != nil {
				t.Fatal(err)
			}
			left := map[string]int{"apart": w.pid(h, "apart"), "chef": chef}
			run := w.runPID(h, id)
			if agent != "watches" {
				h.Agent.Kill()
			}
			if err := syscall.Kill(run, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if agent != "watches" {
				if !runs(chef) {
					t.Fatal("Chef went with the run: there is nothing to bury")
				}
				if err := h.StartAgent(); err != nil {
					t.Fatal(err)
				}
			}
			w.until("the second Chef", func() bool { return strings.Count(w.read(h.Path("chefs")), "\n") == 2 })
			w.gone(left)
			w.write(h.Dir, "go", "")
			if r := w.awaitFinal("chef", id, "web-1"); r.State != report.OK || r.Attempt != 2 {
				t.Errorf("%+v", r)
			}
			w.converged("web-1", "alone green")
		})
	}
}

// The same for somebody without rights.
func TestATimeoutWithoutRights(t *testing.T) {
	w := newShore(t)
	h := w.addHost("web-1", "")
	dir, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	bin, err := os.ReadFile(h.Gurney)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "gurney"), bin, 0o755); err != nil {
		t.Fatal(err)
	}
	w.write(dir, "m.yml", "timeout: 8s\ncommands:\n  pre:\n  - |\n    "+apart("apart")+"\n    "+stays("hang")+"\n")
	cmd := exec.Command(filepath.Join(dir, "gurney"), "apply", filepath.Join(dir, "m.yml"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOST="+dir, "HOME="+dir, "GURNEY_STATE_DIR="+filepath.Join(dir, "state"))
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v: %s", err, out)
	}
	n := &fleet.Host{Dir: dir}
	w.gone(map[string]int{"apart": w.pid(n, "apart"), "hang": w.pid(n, "hang")})
}
