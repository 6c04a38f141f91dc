package kin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"gurney/proc"
)

// The test binary is started again as somebody else: as a program that is
// started by a run, or as a user without rights.
const roleVariable = "GURNEY_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role, rest, _ := strings.Cut(os.Getenv(roleVariable), " "); role {
	case "leaver":
		os.Exit(leaver(rest))
	case "sweeper":
		os.Exit(sweeper(rest))
	}
	if c, err := newCgroup("probe"); err != nil {
		fmt.Println("kin: swept by mark and ancestry; no cgroup:", err)
	} else {
		c.close()
		fmt.Println("kin: swept by mark and ancestry, and by cgroup below", filepath.Dir(c.path))
	}
	os.Exit(m.Run())
}

// ways are those in which this machine can know a run's kin.
func ways(t *testing.T) map[string]*Kin {
	t.Helper()
	all := map[string]*Kin{"mark": {mark: "MARK" + strconv.Itoa(os.Getpid())}}
	if k := New(zerolog.Nop()); k.cgroup != nil {
		all["cgroup"] = k
		t.Cleanup(k.Close)
	}
	return all
}

// family is a command that k has started, and what tells the pids of others.
type family struct {
	*testing.T
	dir string
}

// start runs a script with sh as a run does, and returns without waiting. The
// script's `tell NAME` writes a pid to a file.
func (f family) start(k *Kin, script string) *exec.Cmd {
	f.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir, cmd.Env = f.dir, append(os.Environ(), k.Env())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	k.Enter(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		f.Fatal(err)
	}
	go func() { _ = cmd.Wait() }()
	return cmd
}

// sits is a script that tells its pid under name and stays, whatever signal
// may come.
func sits(name string) string {
	return "trap '' TERM INT HUP; echo $$ > " + name + ".tmp; mv " + name + ".tmp " + name + "; while :; do sleep 0.05; done"
}

// pid waits for what a script tells under name, and takes it whole: a script
// that writes in place has made an empty file first.
func (f family) pid(name string) int {
	f.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(filepath.Join(f.dir, name))
		text, whole := strings.CutSuffix(string(data), "\n")
		if err != nil || !whole {
			continue
		}
		pid, err := strconv.Atoi(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
		return pid
	}
	f.Fatalf("%s did not start", name)
	return 0
}

func alive(pid int) bool {
	_, ok := proc.Read(pid)
	return ok
}

// escapes are the ways in which processes leave a kill of their group behind.
var escapes = map[string]string{
	"child":    "sh -c \"SITS\" & wait",
	"session":  "setsid sh -c \"SITS\" & wait",
	"orphan":   "sh -c 'setsid sh -c \"SITS\" & exit' & wait",
	"daemon":   "setsid sh -c 'setsid sh -c \"SITS\" > /dev/null 2>&1 & exit' & sleep 0.1",
	"scrubbed": "env -i PATH=$PATH setsid sh -c \"SITS\" & wait",
	"below":    "sh -c 'env -i PATH=$PATH sh -c \"SITS\" & wait' & wait",
}

// Whatever a process does to get away, a sweep ends it; another run's stays,
// and so does what bears no mark.
func TestSweepEndsAll(t *testing.T) {
	for way, k := range ways(t) {
		t.Run(way, func(t *testing.T) {
			f := family{t, t.TempDir()}
			other := &Kin{mark: k.mark + "2"} // is no part of k, though it begins the same
			f.start(other, sits("other"))
			stranger := exec.Command("sh", "-c", sits("stranger"))
			stranger.Dir = f.dir
			if err := stranger.Start(); err != nil {
				t.Fatal(err)
			}
			go func() { _ = stranger.Wait() }()
			staying := map[string]int{"other": f.pid("other")}
			going := map[string]int{}
			for name, script := range escapes {
				f.start(k, strings.ReplaceAll(script, "SITS", strings.ReplaceAll(sits(name), "$", `\$`)))
				going[name] = f.pid(name)
			}
			if way == "cgroup" {
				// Gone from its parents, its session and its environment.
				f.start(k, "env -i PATH=$PATH setsid sh -c 'setsid sh -c \""+strings.ReplaceAll(sits("ghost"), "$", `\$`)+"\" & exit' & exit")
				going["ghost"] = f.pid("ghost")
			} else {
				k.Note() // also notes the strangers, who are this process's children too
				k.forget(staying["other"], stranger.Process.Pid)
			}
			staying["stranger"] = f.pid("stranger")
			found, err := k.Sweep(t.Context(), syscall.SIGTERM)
			if err != nil || found < len(going) {
				t.Errorf("found %d: %v", found, err)
			}
			for name, pid := range going {
				if alive(pid) {
					t.Errorf("%s is alive", name)
				}
			}
			for name, pid := range staying {
				if !alive(pid) {
					t.Errorf("%s is gone", name)
				}
			}
			if found, err := k.Sweep(t.Context()); found != 0 || err != nil {
				t.Errorf("a second sweep finds %d: %v", found, err)
			}
			k.Close()
			if k.cgroup != nil && isDir(k.Cgroup()) {
				t.Error("the cgroup is left behind")
			}
		})
	}
}

func (k *Kin) forget(pids ...int) {
	all := processes()
	for pid := range k.known {
		if slices.Contains(pids, pid) || slices.Contains(pids, all[pid].Parent) {
			delete(k.known, pid)
		}
	}
}

// What has time for it ends as it is told to.
func TestSweepIsGentleFirst(t *testing.T) {
	for way, k := range ways(t) {
		t.Run(way, func(t *testing.T) {
			f := family{t, t.TempDir()}
			f.start(k, "trap 'echo bye > said; exit' TERM; echo $$ > pid; while :; do sleep 0.02; done")
			f.pid("pid")
			if _, err := k.Sweep(t.Context(), syscall.SIGTERM); err != nil {
				t.Error(err)
			}
			if said, err := os.ReadFile(filepath.Join(f.dir, "said")); err != nil || string(said) != "bye\n" {
				t.Errorf("it said %q, %v", said, err)
			}
		})
	}
}

// A run that is found dead is known by what it wrote down, its last part too;
// that part alone leaves the rest be.
func TestPartsAndTheDead(t *testing.T) {
	for way, k := range ways(t) {
		t.Run(way, func(t *testing.T) {
			f := family{t, t.TempDir()}
			after := k.After()
			f.start(k, sits("service"))
			f.start(after, sits("one"))
			service, one := f.pid("service"), f.pid("one")
			if _, err := after.Sweep(t.Context()); err != nil || alive(one) || !alive(service) {
				t.Errorf("after a part's sweep: service %v, part %v, %v", alive(service), alive(one), err)
			}
			f.start(after, sits("two"))
			two := f.pid("two")
			found, err := Of(k.Mark(), k.Cgroup()).Sweep(t.Context())
			if err != nil || found < 2 || alive(two) || alive(service) {
				t.Errorf("found %d, service %v, part %v, %v", found, alive(service), alive(two), err)
			}
			after.Close()
			k.Close()
		})
	}
}

// Kernels before 5.14 have no cgroup.kill.
func TestKillFrozen(t *testing.T) {
	k, ok := ways(t)["cgroup"]
	if !ok {
		k = &Kin{} // nothing happens, which is all that is left to prove
		k.cgroup.kill()
		return
	}
	f := family{t, t.TempDir()}
	f.start(k, "(end=$(($(date +%s) + 20)); while [ $(date +%s) -lt $end ]; do setsid sleep 0.01 & done) & "+sits("pid"))
	pid := f.pid("pid")
	for end := time.Now().Add(10 * time.Second); len(k.cgroup.pids()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("left: %v", k.cgroup.pids())
		}
		k.cgroup.killFrozen()
	}
	if alive(pid) {
		t.Error("it is alive")
	}
}

// A pid that was taken by another process since is not signalled.
func TestAReusedPidIsSpared(t *testing.T) {
	k := &Kin{mark: "none", known: map[int]string{}}
	f := family{t, t.TempDir()}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	k.known[cmd.Process.Pid] = "1"
	signal(cmd.Process.Pid, "1", syscall.SIGKILL)
	if found, err := k.Sweep(f.Context()); found != 0 || err != nil || !alive(cmd.Process.Pid) {
		t.Errorf("found %d, %v, alive %v", found, err, alive(cmd.Process.Pid))
	}
}

// A sweep ends with its context: the agent leaves within two seconds.
func TestSweepObeysItsContext(t *testing.T) {
	k := ways(t)["mark"]
	f := family{t, t.TempDir()}
	f.start(k, sits("pid"))
	pid := f.pid("pid")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.Sweep(ctx, syscall.SIGINT); !errors.Is(err, context.Canceled) || !alive(pid) {
		t.Errorf("%v, alive %v", err, alive(pid))
	}
}

// sweeper sweeps the mark that it bears itself, and lives.
func sweeper(mark string) int {
	if _, err := (&Kin{mark: mark}).Sweep(context.Background()); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("lives")
	return 0
}

// Who sweeps ends neither itself nor those it runs below.
func TestWhoSweepsLives(t *testing.T) {
	k := ways(t)["mark"]
	f := family{t, t.TempDir()}
	f.start(k, sits("other"))
	other := f.pid("other")
	cmd := exec.Command("sh", "-c", os.Args[0]+"; echo and below")
	cmd.Env = append(os.Environ(), k.Env(), roleVariable+"=sweeper "+k.mark)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "lives\nand below\n" || alive(other) {
		t.Errorf("%s, %v; the other lives: %v", out, err, alive(other))
	}
}

// leaver is an agent that a run has started.
func leaver(string) int {
	if err := Leave(); err != nil {
		fmt.Println(err)
		return 1
	}
	path, _ := own()
	marked := slices.ContainsFunc(environ(os.Getpid()), func(v string) bool { return strings.HasPrefix(v, Variable+"=") })
	fmt.Println("marked:", marked, "in a run's cgroup:", strings.Contains(path, "/"+prefix), "args:", os.Args[1:])
	return 0
}

// What Chef starts may be the agent itself: it belongs to no run.
func TestLeave(t *testing.T) {
	for way, k := range ways(t) {
		t.Run(way, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "a", "b")
			cmd.Env = append(os.Environ(), k.Env(), roleVariable+"=leaver")
			cmd.SysProcAttr = &syscall.SysProcAttr{}
			k.Enter(cmd.SysProcAttr)
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != "marked: false in a run's cgroup: false args: [a b]\n" {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
}

// The same as somebody without rights, who has no cgroup where nobody gave
// him one.
func TestWithoutRights(t *testing.T) {
	if os.Getenv(roleVariable) != "" {
		t.Fatal("it runs within itself")
	}
	dir, err := os.MkdirTemp("", "kin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(dir, "test")
	if err := os.WriteFile(self, data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^(TestSweep|TestParts)", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+dir)
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestSweepEndsAll") || os.Getuid() == 0 && strings.Contains(string(out), "TestSweepEndsAll/cgroup") {
		t.Errorf("%v\n%s", err, out)
	}
}
