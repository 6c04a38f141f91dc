package main

import (
	"bytes"
	"encoding/json"
	"errors"
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
	"unicode/utf8"
)

// bin holds the programs, as make builds them.
var bin string

func TestMain(m *testing.M) {
	os.Exit(build(m))
}

// sources reads the directories of the module, once. The go command keeps the
// result of a test until a file that the test looked at changes; of what the
// programs are built from it would know nothing. It listens from the first
// test on, and not before.
var sources = sync.OnceValue(func() error {
	return filepath.WalkDir(filepath.Join("..", ".."), func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() && (e.Name() == ".git" || e.Name() == "bin") {
			return filepath.SkipDir
		}
		return err
	})
})

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gurney-demo-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	for name, pkg := range map[string]string{"gurney": "gurney/cmd/gurney", "demo": "gurney/cmd/demo", "chef-solo-standin": "gurney/integration/chef-solo"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg).CombinedOutput(); err != nil {
			panic(string(out))
		}
	}
	bin = dir
	return m.Run()
}

// demoCommand is the demo over dir, ready to run from a directory that says
// nothing.
func demoCommand(t *testing.T, dir string, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	if err := sources(); err != nil {
		t.Fatal(err)
	}
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd = exec.CommandContext(t.Context(), filepath.Join(bin, "demo"), append([]string{"--bin", bin, "--dir", dir}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), stdout, stderr
	// What is meant for others must not lead the demo astray.
	cmd.Env = append(os.Environ(), "CONSUL_HTTP_ADDR=127.0.0.1:1", "AWS_PROFILE=nobody", "GURNEY_NODE=elsewhere", "HOSTNAME_PREFIX=nobody")
	return cmd, stdout, stderr
}

// play runs the demo with -o json to its end.
func play(t *testing.T, dir string, args ...string) (doc document, status int, stderr string) {
	t.Helper()
	cmd, out, errs := demoCommand(t, dir, append(args, "-o", "json")...)
	status = exitStatus(t, cmd.Run())
	d := json.NewDecoder(out)
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		t.Fatalf("stdout: %v\nstderr: %s", err, errs)
	}
	if rest := strings.TrimSpace(readAll(t, d, out)); rest != "" {
		t.Errorf("more than the document on stdout: %q", rest)
	}
	return doc, status, errs.String()
}

func readAll(t *testing.T, d *json.Decoder, more *bytes.Buffer) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := b.ReadFrom(d.Buffered()); err != nil {
		t.Fatal(err)
	}
	return b.String() + more.String()
}

func exitStatus(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

// nobodyStays looks for processes that were started for a host in dir.
func nobodyStays(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		env, err := os.ReadFile(f)
		if err == nil && bytes.Contains(env, []byte("\x00HOST_ROOT="+dir+"/")) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
			t.Errorf("still there: %q", line)
		}
	}
}

func TestTheStoryHolds(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "fleet")
	doc, status, stderr := play(t, dir)
	if status != exitOK || !doc.OK || len(doc.Errors) > 0 {
		t.Fatalf("exit %d, ok %v, %q\n%s", status, doc.OK, doc.Errors, stderr)
	}
	nobodyStays(t, dir)
	if doc.Dir != dir || doc.Chef.Path == "" || doc.Chef.Version == "" || doc.Seconds <= 0 {
		t.Errorf("dir %q, chef %+v, %v s", doc.Dir, doc.Chef, doc.Seconds)
	}
	if os.Getenv("CHEF_SOLO") == "" && !onPath("chef-solo", "cinc-solo") && !doc.Chef.StandIn {
		t.Errorf("there is no chef-solo, and it says that %+v converged", doc.Chef)
	}
	checks := 0
	for _, s := range doc.Steps {
		checks += len(s.Checks)
		for _, c := range s.Commands {
			if c.Exit != 0 {
				t.Errorf("%q: exit %d: %s", c.Argv, c.Exit, c.Output)
			}
		}
	}
	if len(doc.Steps) != 8 || checks != 16 {
		t.Errorf("%d steps, %d checks", len(doc.Steps), checks)
	}
	checkDocument(t, dir, doc)
}

// checkDocument compares what the document tells with the disks.
func checkDocument(t *testing.T, dir string, doc document) {
	t.Helper()
	want := [][3]string{{"web-1", "web", "accepted ok"}, {"web-2", "web", "accepted ok"}, {"db-1", "db", "held accepted ok"},
		{"web-1", "web", "accepted ok"}, {"web-2", "web", "accepted ok"}, {"db-1", "db", "accepted ok"}}
	if len(doc.Results) != len(want) {
		t.Fatalf("%d results: %+v", len(doc.Results), doc.Results)
	}
	for i, r := range doc.Results {
		if got := [3]string{r.Node, r.NodeJSON, strings.Join(r.States, " ")}; got != want[i] {
			t.Errorf("result %d is %v, want %v", i, got, want[i])
		}
		if !slices.ContainsFunc(doc.Keys, func(k key) bool {
			return k.Key == "gurney/results/chef/"+r.ID+"/"+r.Node && k.Bytes > 0 && k.Bytes <= 256
		}) {
			t.Errorf("no key of result %d among %+v", i, doc.Keys)
		}
	}
	first, second := doc.Results[0].ID, doc.Results[5].ID
	if first == second {
		t.Errorf("two deployments are one: %s", first)
	}
	for i, n := range doc.Nodes {
		if n.Node != want[i][0] || n.NodeJSON != want[i][1] || n.Motd != n.Node+" runs release 2\n" {
			t.Errorf("node %d: %+v", i, n)
		}
		real, err := filepath.EvalSymlinks(filepath.Join(dir, n.Node, "srv", "chef"))
		if err != nil || real != n.Release || filepath.Base(real) != second {
			t.Errorf("%s runs %s (%v), and the document says %s", n.Node, real, err, n.Release)
		}
	}
}

func onPath(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { _, err := exec.LookPath(name); return err == nil })
}

func TestChefThatFailsIsTold(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "fleet")
	doc, status, stderr := play(t, dir, "--chef", "/bin/false")
	if status != exitFailed || doc.OK || !strings.Contains(strings.Join(doc.Errors, "\n"), "gurney deploy: exit status 1") {
		t.Errorf("exit %d, ok %v, %q\n%s", status, doc.OK, doc.Errors, stderr)
	}
	got := map[string]string{}
	for _, r := range doc.Results {
		got[r.Node] = strings.Join(r.States, " ")
	}
	if got["web-1"] != "accepted failed" || got["web-2"] != "accepted failed" || got["db-1"] != "held" {
		t.Errorf("results: %v", got)
	}
	for _, n := range doc.Nodes {
		if n.Release != "" || n.Motd != "" {
			t.Errorf("nothing converged, and %s has %+v", n.Node, n)
		}
	}
	nobodyStays(t, dir)
}

// Here every deployment is green, and every command's exit status 0.
func TestWhatIsNotAsToldIsFound(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "chef-solo")
	err := os.WriteFile(script, []byte("#!/bin/sh\n"+filepath.Join(bin, "chef-solo-standin")+` "$@"
status=$?
case $HOST_ROOT in */web-2) echo tampered >>"$HOST_ROOT/etc/motd"; esac
exit $status
`), 0o755)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "fleet")
	doc, status, stderr := play(t, dir, "--chef", script)
	if status != exitFailed || doc.OK || len(doc.Errors) != 2 {
		t.Fatalf("exit %d, ok %v, %q\n%s", status, doc.OK, doc.Errors, stderr)
	}
	for i, want := range []string{"web-1, web-2: have what Chef wrote for them: web-2: etc/motd", "web-1, web-2, db-1: have what Chef wrote for them: web-2: etc/motd"} {
		if !strings.HasPrefix(doc.Errors[i], want) {
			t.Errorf("error %d is %q, want %q…", i, doc.Errors[i], want)
		}
	}
}

// An agent that can't even start is no reason to wait for it.
func TestAgentThatEndsIsTold(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 25))
	doc, status, stderr := play(t, dir)
	if status != exitFailed || doc.OK || len(doc.Errors) != 1 || !strings.Contains(doc.Errors[0], "take a shorter state_dir") {
		t.Errorf("exit %d, ok %v, %q\n%s", status, doc.OK, doc.Errors, stderr)
	}
	nobodyStays(t, dir)
}

func TestInterruptedWhileChefRuns(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		dir := filepath.Join(t.TempDir(), "fleet")
		cmd, out, errs := demoCommand(t, dir, "-o", "json", "--chef", slowChef(t))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for late := time.After(time.Minute); ; {
			if list, _ := filepath.Glob(filepath.Join(dir, "web-*", "converging")); len(list) == 2 {
				break
			}
			select {
			case <-late:
				_ = cmd.Process.Kill()
				t.Fatalf("no converge\n%s", errs)
			case <-time.After(20 * time.Millisecond):
			}
		}
		began := time.Now()
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		status := exitStatus(t, cmd.Wait())
		if took := time.Since(began); status != exitInterrupted || took > 20*time.Second {
			t.Errorf("%s: exit %d after %s\n%s", signal, status, took, errs)
		}
		nobodyStays(t, dir)
		var doc document
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil || doc.OK || !slices.Equal(doc.Errors, []string{"interrupted"}) {
			t.Errorf("%s: ok %v, %q, %v", signal, doc.OK, doc.Errors, err)
		}
	}
}

// slowChef says that it converges, and does so for a minute; a SIGINT ends it.
func slowChef(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chef-solo")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ntrap 'exit 2' INT\n[ \"$1\" = --version ] && exit\n: >\"$HOST_ROOT/converging\"\nsleep 60 &\nwait\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// wide are lines of gurney's own that no screen is wide enough for: an
// archive's name, and a deployment's ending.
var wide = regexp.MustCompile(`[0-9a-f]{64}|  slowest `)

func TestPlainLinesInAPipe(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "fleet")
	cmd, out, errs := demoCommand(t, dir)
	if status := exitStatus(t, cmd.Run()); status != exitOK || errs.Len() > 0 {
		t.Fatalf("exit %d\n%s\n%s", status, errs, out)
	}
	text := out.String()
	if strings.ContainsRune(text, '\x1b') || strings.ContainsRune(text, '\r') {
		t.Errorf("escapes in a pipe: %q", text)
	}
	for _, line := range strings.Split(text, "\n") {
		ours := strings.ReplaceAll(line, dir, "/tmp/gurney-demo-1234567890")
		if utf8.RuneCountInString(ours) > 80 && !wide.MatchString(line) {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(ours), line)
		}
	}
	for _, want := range []string{
		"$ gurney publish -c ops.yml --manifest manifest.yml chef-repo s3://acme/chef/\n",
		"$ gurney deploy -c ops.yml chef s3://acme/chef/manifest.yml -m 'release 1'\n",
		"held: db-1 (maintenance: \"disk swap\"): converges when it ends\n",
		"ok    db-1: reported held, accepted, ok\n",
		"the files are kept: " + dir + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	logsAreReadLater(t, dir)
}

// logsAreReadLater runs the command that the demo ends with, after its end.
func logsAreReadLater(t *testing.T, dir string) {
	t.Helper()
	sh := exec.Command("sh", "-ec", ". ./env; gurney logs -c web-1/gurney.yml chef")
	sh.Dir = dir
	out, err := sh.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("web-1 runs release")) && !bytes.Contains(out, []byte("etc/motd")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// With --stay the fleet answers until a Ctrl-C, which then is no interruption.
func TestStayUntilCtrlC(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "fleet")
	cmd, _, errs := demoCommand(t, dir, "--stay")
	path := filepath.Join(t.TempDir(), "out")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for late := time.After(time.Minute); ; {
		text, err := os.ReadFile(path)
		if err == nil && bytes.Contains(text, []byte("stays up until Ctrl-C")) {
			break
		}
		select {
		case <-late:
			_ = cmd.Process.Kill()
			t.Fatalf("it does not say that it stays (%v)\n%s", err, errs)
		case <-time.After(20 * time.Millisecond):
		}
	}
	sh := exec.Command("sh", "-ec", ". ./env; gurney -c ops.yml nodes --app chef -o names")
	sh.Dir = dir
	if names, err := sh.CombinedOutput(); err != nil || string(names) != "db-1\nweb-1\nweb-2\n" {
		t.Errorf("while it stays: %v\n%s", err, names)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if status := exitStatus(t, cmd.Wait()); status != exitOK || errs.Len() > 0 {
		t.Errorf("exit %d\n%s", status, errs)
	}
	nobodyStays(t, dir)
}

// As in make demo | head.
func TestReaderThatGoesAway(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "fleet")
	cmd, _, errs := demoCommand(t, dir)
	cmd.Stdout = nil
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for text := ""; !strings.Contains(text, "2. An agent on each host"); {
		some := make([]byte, 512)
		n, err := pipe.Read(some)
		if text += string(some[:n]); err != nil {
			t.Fatalf("%v\n%s\n%s", err, text, errs)
		}
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	if status := exitStatus(t, cmd.Wait()); status != exitInterrupted {
		t.Errorf("exit %d\n%s", status, errs)
	}
	nobodyStays(t, dir)
}

func TestWrongUsage(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "precious"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--nope"}, exitUsage, "-nope"},
		{[]string{"-o", "yaml"}, exitUsage, `-o "yaml": text or json`},
		{[]string{"deploy"}, exitUsage, `"deploy": only flags are wanted`},
		{[]string{"--bin", full}, exitFailed, "run make build first"},
		{[]string{"--dir", full}, exitFailed, "not empty"},
		{[]string{"--chef", "/no/chef-solo"}, exitFailed, "/no/chef-solo"},
		{[]string{"--help"}, exitOK, "-stay"},
	} {
		cmd, out, errs := demoCommand(t, filepath.Join(t.TempDir(), "fleet"), c.args...)
		if status := exitStatus(t, cmd.Run()); status != c.status || out.Len() > 0 || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%q: exit %d, %q, %q", c.args, status, out, errs)
		}
	}
	// Outside of the source the default finds no bin.
	cmd := exec.Command(filepath.Join(bin, "demo"))
	cmd.Dir = full
	if out, err := cmd.CombinedOutput(); exitStatus(t, err) != exitUsage || !strings.Contains(string(out), "no go.mod above") {
		t.Errorf("%v: %s", err, out)
	}
}
