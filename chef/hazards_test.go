package chef

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// tree is all of a directory: path to mode, time and content.
func tree(f fixture) map[string]string {
	f.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(f.Release, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[path] = info.Mode().String() + info.ModTime().String()
		if info.Mode().IsRegular() {
			all[path] += f.read(path)
		}
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	return all
}

// Hazard 1: Chef writes the node object over nodes/web.json when the node is
// named web too. Hazard 4: lock, cache and guid beside solo.rb.
func TestTheReleaseIsLeftAsItWas(t *testing.T) {
	each(t, recipe(`log "x"`, `execute "true"`), func(f fixture) {
		before := tree(f)
		f.succeed()
		f.succeed()
		if after := tree(f); !maps.Equal(before, after) {
			f.Errorf("before %v\nafter %v", before, after)
		}
	})
}

// Hazard 2: an attribute that is gone from the JSON survives in Chef's node file.
func TestAttributesDontStick(t *testing.T) {
	each(t, recipe(`file "DIR/saw" do`, `  content "#{node["color"]}."`, `end`), func(f fixture) {
		for _, step := range []struct{ json, want string }{
			{`{"run_list":["recipe[web]"],"color":"red"}`, "red."},
			{`{"run_list":["recipe[web]"]}`, "."},
		} {
			write(f.T, f.JSON, step.json)
			f.succeed()
			if got := f.read(f.beside("saw")); got != step.want {
				f.Errorf("the recipe saw %q, want %q", got, step.want)
			}
		}
	})
}

const asNobody = "GURNEY_TEST_AS_NOBODY"

// Hazard 3: without a node path of its own, Chef dies in a release that it
// can't write to. Root can write anywhere, so the test runs again as nobody.
func TestAReleaseThatCantBeWrittenTo(t *testing.T) {
	if dir := os.Getenv(asNobody); dir != "" {
		f := release(t, filepath.Join(dir, "chef-solo"))
		f.Node = "host" // whose file Chef would have to make
		for _, d := range []string{"nodes", "."} {
			if err := os.Chmod(filepath.Join(f.Release, d), 0o555); err != nil {
				t.Fatal(err)
			}
		}
		defer os.Chmod(filepath.Join(f.Release, "nodes"), 0o755)
		defer os.Chmod(f.Release, 0o755)
		f.Env = []string{"HOME=" + f.beside("")}
		f.succeed()
		return
	}
	dir, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{self: "test", commands["stand-in"]: "chef-solo"} {
		copyFile(t, from, filepath.Join(dir, to))
	}
	cmd := exec.Command(filepath.Join(dir, "test"), "-test.run=^TestAReleaseThatCantBeWrittenTo$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asNobody+"="+dir, "TMPDIR="+dir)
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v: %s", err, out)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// Hazard 4: by default each release has a lock of its own.
func TestOneLockForAllReleases(t *testing.T) {
	each(t, recipe(`execute "wait" do`, waits, `end`), func(f fixture) {
		end := f.begin(context.Background())
		f.pid("pid")
		g := release(f.T, f.Command)
		g.State = f.State
		wrapper, node := f.read(f.wrapper()), f.read(filepath.Join(f.nodes(), "web.json"))
		v, err := Converge(context.Background(), g.Options)
		var busy *BusyError
		if !errors.As(err, &busy) || !busy.Transient() || busy.Lock != f.lock() {
			f.Fatalf("got %+v, %v; want a *BusyError of %s", v, err, f.lock())
		}
		if data := strings.TrimSpace(f.read(f.lock())); busy.PID == 0 || data != strconv.Itoa(busy.PID) {
			f.Errorf("busy with pid %d, want %s", busy.PID, data)
		}
		if f.read(f.wrapper()) != wrapper || f.read(filepath.Join(f.nodes(), "web.json")) != node {
			f.Error("the state of the run that has the lock was cleared")
		}
		write(f.T, f.beside("go"), "")
		if r := <-end; r.err != nil || !r.verdict.Success {
			f.Errorf("the first run: %+v, %v", r.verdict, r.err)
		}
	})
}

// A Chef that takes the lock first, after all: it says so, and when it is over
// the lock is nobody's.
func TestChefsOwnWordOfTheLock(t *testing.T) {
	each(t, nil, func(f fixture) {
		f.succeed() // makes the lock file
		lock, err := os.OpenFile(f.lock(), os.O_RDWR, 0)
		if err != nil {
			f.Fatal(err)
		}
		defer lock.Close()
		f.Attr = func(*syscall.SysProcAttr) { // the last moment before Chef
			if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
				f.Error(err)
			}
		}
		held := f.read(f.lock())
		_, err = Converge(context.Background(), f.Options)
		var busy *BusyError
		if !errors.As(err, &busy) || strconv.Itoa(busy.PID) != strings.TrimSpace(held) {
			f.Errorf("got %v, want a *BusyError with pid %s", err, held)
		}
		if _, held := f.held(); !held {
			f.Error("the lock is free, want it held")
		}
		f.Attr = nil
		if err := lock.Close(); err != nil {
			f.Fatal(err)
		}
		f.succeed()
	})
}

// Hazard 4: Chef called the node "localhost".
func TestTheNodeHasItsName(t *testing.T) {
	each(t, recipe(`file "DIR/name" do`, `  content "#{node.name}"`, `end`), func(f fixture) {
		f.Node = "web-7"
		f.succeed()
		if got := f.read(f.beside("name")); got != f.Node {
			f.Errorf("the node is called %q, want %q", got, f.Node)
		}
	})
}

// Hazard 10: all of Chef's words are on stdout, an uncaught Ruby error's alone
// on stderr.
func TestWordsOnStderrCount(t *testing.T) {
	f := release(t, "/bin/sh")
	f.Command = f.beside("chef-solo")
	write(t, f.Command, "#!/bin/sh\necho plain\necho \"/x.rb:1:in 'require': no chef here (LoadError)\" >&2\nexit 1\n")
	if err := os.Chmod(f.Command, 0o755); err != nil {
		t.Fatal(err)
	}
	if v := f.converge(); v.Success || v.Why != "chef-solo ended with exit 1: LoadError: no chef here" {
		t.Errorf("got %+v", v)
	}
}

// Hazard 7: a closed pipe aborts a converge; so Chef gets the file itself.
func TestChefWritesToAFile(t *testing.T) {
	each(t, recipe(`execute "look" do`, `  command "readlink /proc/$PPID/fd/1 /proc/$PPID/fd/2 > DIR/fds"`, `end`), func(f fixture) {
		f.succeed()
		if got, want := f.read(f.beside("fds")), f.Output+"\n"+f.Output+"\n"; got != want {
			f.Errorf("stdout and stderr are %q, want %q", got, want)
		}
	})
}

// Hazard 9: Chef only warns, and takes cookbooks from elsewhere.
func TestAMissingConfigIsAnError(t *testing.T) {
	each(t, recipe(`file "DIR/ran"`), func(f fixture) {
		if err := os.Remove(filepath.Join(f.Release, "solo.rb")); err != nil {
			f.Fatal(err)
		}
		_, err := Converge(context.Background(), f.Options)
		var start *StartError
		if !errors.As(err, &start) || start.Transient() || !strings.Contains(err.Error(), "the release has no solo.rb") {
			f.Errorf("got %v", err)
		}
		if _, err := os.Stat(f.beside("ran")); err == nil {
			f.Error("it converged")
		}
	})
}

// Hazard 12: paths elsewhere would converge something else and look green.
func TestAPathOutsideIsAFailureThatSaysSo(t *testing.T) {
	each(t, []string{"solo.rb", `cookbook_path "/var/chef/cookbooks"`}, func(f fixture) {
		v := f.converge()
		want := "cookbook_path /var/chef/cookbooks is outside of the release " + f.Release
		if v.Success || v.Exit != exitConfig || !strings.HasPrefix(v.Why, want) {
			f.Errorf("got %+v, want exit 43 and %q", v, want)
		}
	})
}

// One corrupt node JSON breaks every recipe that searches.
func TestSearchSeesTheReleasesNodes(t *testing.T) {
	each(t, append(recipe(`file "DIR/found" do`, `  content "#{search(:node, "*:*").length}"`, `end`),
		"nodes/db.json", `{"name":"db","run_list":[]}`, "nodes/broken.json", `{"name":`), func(f fixture) {
		f.succeed()
		if got := f.read(f.beside("found")); got != "2" {
			f.Errorf("a recipe finds %s nodes, want web and db", got)
		}
	})
}
