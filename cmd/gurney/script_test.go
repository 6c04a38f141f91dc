package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

// standIn is the chef-solo of the scripts; TestMain builds it.
var standIn string

func TestMain(m *testing.M) {
	testscript.Main(&suite{m}, map[string]func(){
		"gurney":      main,
		"stretcher":   main,
		"as-nobody":   asNobody,
		"on-terminal": onTerminal,
	})
}

// suite makes what all scripts share before the tests run.
type suite struct{ m *testing.M }

func (s *suite) Run() int {
	dir, err := os.MkdirTemp("", "gurney-scripts-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		standIn = filepath.Join(dir, "chef-solo")
		err = s.prepare(dir)
	}
	if err != nil {
		fmt.Println("prepare the scripts:", err)
		return 1
	}
	return s.m.Run()
}

func (s *suite) prepare(dir string) error {
	if out, err := exec.Command("go", "build", "-o", standIn, "gurney/integration/chef-solo").CombinedOutput(); err != nil {
		return fmt.Errorf("build the chef-solo stand-in: %w\n%s", err, out)
	}
	// The scripts also call it as another user, who has to get there.
	self, err := exec.LookPath("gurney")
	if err != nil {
		return err
	}
	for _, d := range []string{dir, filepath.Dir(self), filepath.Dir(filepath.Dir(self))} {
		if err := os.Chmod(d, 0o755); err != nil {
			return err
		}
	}
	return os.Chmod(self, 0o755)
}

// asNobody runs a command without any rights of root's; who has none runs it
// as it is.
func asNobody() {
	path, err := exec.LookPath(os.Args[1])
	if err == nil && os.Getuid() == 0 {
		const nobody = 65534
		err = syscall.Setgroups(nil)
		for _, drop := range []func(int) error{syscall.Setgid, syscall.Setuid} {
			if err == nil {
				err = drop(nobody)
			}
		}
	}
	if err == nil {
		err = syscall.Exec(path, os.Args[1:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "as-nobody:", err)
	os.Exit(125)
}

// onTerminal runs a command that writes to a terminal of 80 columns, and says
// all that came out of it. testscript's own terminal is closed when the command
// ends, whether it has been read or not.
func onTerminal() {
	terminal, tty, err := pty.Open()
	if err == nil {
		err = pty.Setsize(terminal, &pty.Winsize{Rows: 24, Cols: 80})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "on-terminal:", err)
		os.Exit(125)
	}
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdout, cmd.Stderr = tty, os.Stderr
	err = cmd.Start()
	_ = tty.Close()
	// Once nobody has it open to write, reading it ends with EIO.
	_, _ = io.Copy(os.Stdout, terminal)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "on-terminal:", err)
		os.Exit(1)
	}
}

// TestScripts runs the stories in testdata/script, each a directory, a shell
// and a world of its own: Consul and S3 are there once a script asks for them.
func TestScripts(t *testing.T) {
	root, err := os.MkdirTemp("", "gurney-script-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		WorkdirRoot:         root,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("no condition %q", name)
			}
			return os.Getuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"until":  until,
			"json":   jsonField,
			"start":  start,
			"signal": signalTo,
			"ended":  ended,
			"consul": consulCommand,
			"s3":     s3Command,
			"web":    webCommand,
			"agent":  agentCommand,
		},
	})
}

// setup is the environment of a script: nobody's configuration, no Consul, no
// S3.
func setup(e *testscript.Env) error {
	for _, v := range []string{
		"GURNEY_STATE_DIR=" + filepath.Join(e.WorkDir, "state"),
		"GURNEY_LISTEN=", // scripts run beside each other
		"CONSUL_HTTP_ADDR=127.0.0.1:1",
		"GURNEY_S3_ENDPOINT=http://127.0.0.1:1", "GURNEY_S3_PATH_STYLE=true",
		"AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=hunter2", "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
		"CHEF_SOLO=" + standIn, "GURNEY_CHEF_COMMAND=" + standIn, "GURNEY_CHEF_LICENSE=accept-no-persist",
		"HOME=" + filepath.Join(e.WorkDir, "home"),
	} {
		name, value, _ := strings.Cut(v, "=")
		e.Setenv(name, value)
	}
	e.Values[worldKey{}] = &world{processes: map[string]*background{}}
	home := filepath.Join(e.WorkDir, "home")
	if err := os.Mkdir(home, 0o777); err != nil {
		return err
	}
	return os.Chmod(home, 0o777) // whatever the umask
}
