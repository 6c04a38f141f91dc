package standin_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests in this package say what chef-solo does. They hold for the
// stand-in and, where CHEF_SOLO or PATH has one, for the real program.

// program is a chef-solo under test.
type program struct {
	path string
	real bool
	env  []string
}

var programs []program

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "standin")
		if err != nil {
			fmt.Println("chef-solo:", err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil { // one test runs it as somebody else
			fmt.Println("chef-solo:", err)
			return 1
		}
		path := filepath.Join(dir, "chef-solo")
		if out, err := exec.Command("go", "build", "-o", path, "gurney/integration/chef-solo").CombinedOutput(); err != nil {
			fmt.Printf("chef-solo: %v: %s\n", err, out)
			return 1
		}
		programs = []program{{path: path}}
		if chef := realChef(); chef != "" {
			programs = append(programs, program{path: chef, real: true})
			fmt.Println("chef-solo: tested the stand-in and", chef)
		} else {
			fmt.Println("chef-solo: tested the stand-in only; neither CHEF_SOLO nor PATH has a real one")
		}
		return m.Run()
	}())
}

// realChef returns "" where there is none, or only a stand-in.
func realChef() string {
	name := os.Getenv("CHEF_SOLO")
	if name == "" {
		name = "chef-solo"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil || bytes.Contains(out, []byte("stand-in")) {
		return ""
	}
	return path
}

// each runs f for every program.
func each(t *testing.T, f func(t *testing.T, p program)) {
	for _, p := range programs {
		name := "stand-in"
		if p.real {
			name = "real"
		}
		t.Run(name, func(t *testing.T) { f(t, p) })
	}
}

func (p program) with(env ...string) program {
	p.env = append(p.env[:len(p.env):len(p.env)], env...)
	return p
}

// repo makes a Chef repository of path and content pairs. Without others of
// their kind there are a solo.rb and a node JSON that runs cookbook web.
func repo(t *testing.T, files ...string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files = append([]string{
		"solo.rb", "cookbook_path File.expand_path(\"cookbooks\", File.dirname(__FILE__))\n",
		"nodes/web.json", `{"run_list":["recipe[web]"]}`,
		"cookbooks/web/metadata.rb", "name \"web\"\nversion \"1.0.0\"\n",
		"cookbooks/web/recipes/default.rb", "",
	}, files...)
	for i := 0; i < len(files); i += 2 {
		write(t, filepath.Join(dir, files[i]), strings.ReplaceAll(files[i+1], "DIR", dir))
	}
	return dir
}

func recipe(lines ...string) []string {
	return []string{"cookbooks/web/recipes/default.rb", strings.Join(lines, "\n") + "\n"}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// process is a chef-solo that runs.
type process struct {
	*exec.Cmd
	t    *testing.T
	dir  string
	out  string // path of what it printed
	done chan struct{}
}

// plain are arguments for a repository, nothing mended.
func plain(dir string) []string {
	return []string{"-c", filepath.Join(dir, "solo.rb"), "-j", filepath.Join(dir, "nodes", "web.json"), "-N", "web", "--no-color"}
}

func (p program) start(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	c := &process{Cmd: exec.Command(p.path, args...), t: t, dir: dir, out: f.Name(), done: make(chan struct{})}
	c.Dir, c.Stdout = dir, f
	c.Env = append(append(os.Environ(), "CHEF_LICENSE=accept-no-persist"), p.env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c
}

// begin starts it and has it killed, should the test end before it.
func (c *process) begin() *process {
	c.t.Helper()
	if err := c.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = c.Wait()
		close(c.done)
	}()
	c.t.Cleanup(func() {
		_ = c.Process.Kill()
		<-c.done
	})
	return c
}

// end waits for it and returns its exit code, 128 + signal where one ended it.
func (c *process) end() int {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		c.t.Fatalf("chef-solo runs on: %s", c.said())
	}
	if w := c.ProcessState.Sys().(syscall.WaitStatus); w.Signaled() {
		return 128 + int(w.Signal())
	}
	return c.ProcessState.ExitCode()
}

func (c *process) said() string { return read(c.t, c.out) }

func (c *process) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// run runs it to its end.
func (p program) run(t *testing.T, dir string, args ...string) (int, string) {
	t.Helper()
	c := p.start(t, dir, args...).begin()
	return c.end(), c.said()
}

// must runs it and wants success.
func (p program) must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	code, out := p.run(t, dir, args...)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	return out
}

// until waits for something to come true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting until %s", what)
		}
	}
}

func there(path string) func() bool {
	return func() bool {
		data, err := os.ReadFile(path)
		return err == nil && len(data) > 0
	}
}
