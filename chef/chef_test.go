package chef

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// commands are the chef-solos that Converge is tested with: the stand-in and,
// where CHEF_SOLO or PATH has one, the real one.
var commands = map[string]string{}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Getenv(asNobody) != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "chef")
		if err != nil {
			fmt.Println("chef-solo:", err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil {
			fmt.Println("chef-solo:", err)
			return 1
		}
		commands["stand-in"] = filepath.Join(dir, "chef-solo")
		build := exec.Command("go", "build", "-o", commands["stand-in"], "gurney/integration/chef-solo")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Printf("chef-solo: %v: %s\n", err, out)
			return 1
		}
		if path, err := Find(""); err == nil {
			if v, err := GetVersion(context.Background(), path); err == nil && !v.StandIn {
				commands["real"] = path
				fmt.Println("chef-solo: converged with the stand-in and with", path)
				return m.Run()
			}
		}
		fmt.Println("chef-solo: converged with the stand-in only")
		return m.Run()
	}())
}

// fixture is a release of cookbook web, and what is said of it to Converge.
type fixture struct {
	*testing.T
	Options
	state
}

// each runs f with a release for each chef-solo. files are path and content
// pairs; DIR in a content is a directory beside the release.
func each(t *testing.T, files []string, f func(fixture)) {
	for name, command := range commands {
		t.Run(name, func(t *testing.T) { f(release(t, command, files...)) })
	}
}

func release(t *testing.T, command string, files ...string) fixture {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := filepath.Join(dir, "release")
	files = append([]string{
		"solo.rb", "cookbook_path File.expand_path(\"cookbooks\", File.dirname(__FILE__))\n",
		"nodes/web.json", `{"run_list":["recipe[web]"]}`,
		"cookbooks/web/metadata.rb", "name \"web\"\nversion \"1.0.0\"\n",
		"cookbooks/web/recipes/default.rb", "",
	}, files...)
	for i := 0; i < len(files); i += 2 {
		write(t, filepath.Join(r, files[i]), strings.ReplaceAll(files[i+1], "DIR", dir))
	}
	s := state{filepath.Join(dir, "state")}
	return fixture{T: t, state: s, Options: Options{
		Command: command, Release: r, State: s.dir, Node: "web", JSON: filepath.Join(r, "nodes", "web.json"),
		License: "accept-no-persist", Output: filepath.Join(dir, "output"), Log: zerolog.Nop(),
	}}
}

func recipe(lines ...string) []string {
	return []string{"cookbooks/web/recipes/default.rb", strings.Join(lines, "\n") + "\n"}
}

// beside is a path in the directory that recipes know as DIR.
func (f fixture) beside(name string) string { return filepath.Join(filepath.Dir(f.Release), name) }

func (f fixture) read(path string) string {
	f.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	return string(data)
}

// converge runs it and wants no error, but whatever verdict.
func (f fixture) converge() Verdict {
	f.Helper()
	v, err := Converge(context.Background(), f.Options)
	if err != nil {
		f.Fatalf("%v; verdict %+v", err, v)
	}
	return v
}

// succeed wants a plain success.
func (f fixture) succeed() Verdict {
	f.Helper()
	v := f.converge()
	if !v.Success || v.Exit != 0 || v.Why != "" {
		f.Fatalf("%+v: %s", v, f.read(f.Output))
	}
	return v
}

// running is a Converge in the background.
type running struct {
	verdict Verdict
	err     error
}

func (f fixture) begin(ctx context.Context) <-chan running {
	end := make(chan running, 1)
	go func() {
		v, err := Converge(ctx, f.Options)
		end <- running{v, err}
	}()
	return end
}

// waits is a command that tells its pid and then waits for a file.
const waits = `  command "echo $$ > DIR/pid.tmp; mv DIR/pid.tmp DIR/pid; while ! test -e DIR/go; do sleep 0.02; done"`

// pid waits for a command to tell its pid.
func (f fixture) pid(name string) int {
	f.Helper()
	var pid int
	f.until(name, func() bool {
		data, err := os.ReadFile(f.beside(name))
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(string(bytes.TrimSpace(data)))
		return err == nil
	})
	f.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	return pid
}

func (f fixture) until(what string, is func() bool) {
	f.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			f.Fatalf("still waiting for %s", what)
		}
	}
}

func alive(pid int) bool {
	s, ok := readStat(pid)
	return ok && s.state != "Z" && s.state != "X"
}
