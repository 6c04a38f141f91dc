package screen

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gurney/report"
	"gurney/rollout"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./screen -update writes it anew):\n%s\nwant:\n%s", path, got, want)
	}
}

var noon = time.Date(2026, 11, 23, 14, 5, 12, 0, time.UTC)

// ago is a result that began s seconds before noon.
func ago(s int, r report.Result) *report.Result {
	r.Start = noon.Add(-time.Duration(s) * time.Second).UnixMilli()
	if r.State.Final() {
		r.End = noon.UnixMilli()
	}
	return &r
}

// view puts nodes together as the rollout does, with their standings.
func view(nodes ...rollout.NodeView) rollout.View {
	v := rollout.View{App: "chef", ID: "20261123-1404-9f2c", At: noon, Nodes: nodes, Counts: map[rollout.Standing]int{}}
	for _, n := range nodes {
		v.Counts[n.Standing]++
	}
	return v
}

func node(name string, s rollout.Standing, r *report.Result) rollout.NodeView {
	return rollout.NodeView{Target: rollout.Target{Node: name, Alive: s != rollout.Gone}, Standing: s, Result: r}
}

// The nodes of screens.md, in every standing there is.
var (
	webA  = node("web-i-0a1b", rollout.Done, ago(48, report.Result{State: report.OK, NodeJSON: "web", Updated: 41, Total: 63}))
	webC  = node("web-i-0c9d", rollout.Running, ago(22, report.Result{State: report.Accepted}))
	batch = node("batch-i-77", rollout.Waiting, nil)
	app   = node("app-i-31f0", rollout.Gone, nil)
	db    = node("db-i-0002", rollout.Held, ago(8040, report.Result{State: report.Held, Error: `maintenance: "disk swap, bob"`}))
	old   = node("old-i-0001", rollout.Failed, ago(3, report.Result{State: report.Refused, Error: "halted: 1 failed, at most 0 may (max_failures)"}))
	badA  = node("bad-i-0001", rollout.Failed, ago(19, nginx))
	badB  = node("bad-i-0002", rollout.Failed, ago(19, nginx))
)

var nginx = report.Result{
	State: report.Failed, Phase: report.PhaseChef, Exit: 1, Release: true,
	Error: "template[/etc/nginx/nginx.conf] (nginx::default line 42)\nMixlib::ShellOut::ShellCommandFailed: nginx -t exited 1",
	Tail:  "nginx: [emerg] unknown directive \"htp2\" in /etc/nginx/nginx.conf:12\n",
}

// lost is a node that was gone while it ran.
var lost = node("web-i-9999", rollout.Gone, ago(40, report.Result{State: report.Accepted}))

func TestEndings(t *testing.T) {
	e := Ending{App: "chef", ID: "20261123-1404-9f2c", Previous: "20261120-0911-77ab", Took: 221 * time.Second}
	promoted, first, parked, dry := e, e, e, e
	promoted.Promoted = true
	first.Promoted, first.Previous = true, ""
	parked.Parked = true
	dry.Dry, dry.Parked = true, true
	for _, c := range []struct {
		name string
		v    rollout.View
		e    Ending
	}{
		{"promoted", view(webA, db), promoted},
		{"first", view(webA), first},
		{"nobody", view(db), promoted},
		{"parked", view(webA), parked},
		{"dry", view(webA), dry},
		{"failed", view(webA, badA, badB, old, db, app), e},
		{"retried", view(webA, badA), first},
		{"lost", view(webA, lost), e},
		{"timeout", view(webA, webC, batch), e},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			WriteEnding(&b, c.v, c.e)
			golden(t, "ending-"+c.name+".txt", b.String())
			plain(t, b.String())
		})
	}
}

// A name stays whole wherever it is shown, and a pipe gets all that there is.
func TestNodes(t *testing.T) {
	long := node("web-i-0a1b2c3d4e5f60718", rollout.Failed, ago(19, nginx))
	long.Result.NodeJSON = strings.Repeat("long", 10)
	v := view(webA, webC, batch, app, db, badA, old, long)
	for name, columns := range map[string]int{"pipe": 0, "120": 120, "80": 80, "70": 70} {
		var b bytes.Buffer
		writeNodes(&b, v, noon, columns)
		golden(t, "nodes-"+name+".txt", b.String())
		plain(t, b.String())
		if columns > 0 {
			narrow(t, b.String(), columns)
		}
	}
	one := node(strings.Repeat("long-name-", 9), rollout.Failed, ago(19, nginx))
	for _, columns := range []int{0, 20, 80} {
		var b bytes.Buffer
		writeNodes(&b, view(one), noon, columns)
		if !strings.Contains(b.String(), one.Node) {
			t.Errorf("in %d columns the name is cut:\n%s", columns, b.String())
		}
	}
	var b bytes.Buffer
	WriteNodes(&b, v, noon) // a buffer is no terminal
	golden(t, "nodes-pipe.txt", b.String())
}

func TestHead(t *testing.T) {
	d := rollout.Deployment{App: "chef", ID: "20261123-1404-9f2c", URL: "s3://acme/chef/manifest.yml", SHA256: "5b8e", By: "alice@ops1"}
	const what = "chef  20261123-1404-9f2c  s3://acme/chef/manifest.yml  sha256 5b8e…"
	for _, c := range []struct {
		columns   int
		why, want string
	}{
		{0, "", what + "  by alice@ops1\n"},
		{80, "", what + "\nby alice@ops1\n"},
		{82, "", what + "  by alice@ops1\n"},
		{0, "TLS", what + "  by alice@ops1\n\"TLS\"\n"},
		{80, "TLS", what + "\n\"TLS\"  by alice@ops1\n"},
	} {
		var b bytes.Buffer
		d.Why = c.why
		if writeHead(&b, d, c.columns); b.String() != c.want {
			t.Errorf("%q in %d columns:\n%swant\n%s", c.why, c.columns, b.String(), c.want)
		}
	}
}

// A pipe gets a line for each change, and nothing twice.
func TestBoardInAPipe(t *testing.T) {
	var b bytes.Buffer
	board := NewBoard(&b, false, true, noon.Add(-time.Minute))
	running := webA
	running.Standing, running.Result = rollout.Running, ago(20, report.Result{State: report.Accepted})
	for _, v := range []rollout.View{
		view(batch, db, running), view(batch, db, running), view(webC, db, running), view(badA, app, db, webA),
	} {
		board.Show(v)
	}
	board.Done()
	golden(t, "board-pipe.txt", b.String())
	plain(t, b.String())
}

// A terminal's lines are drawn in place: as many are taken back as were
// drawn, and none is so long that it would wrap into two.
func TestBoardOnATerminal(t *testing.T) {
	long := node("web-i-0a1b2c3d4e5f60718", rollout.Running, ago(19, report.Result{State: report.Accepted}))
	for name, columns := range map[string]int{"": 80, "-60": 60, "-30": 30} {
		var b bytes.Buffer
		board := NewBoard(&b, true, false, noon.Add(-72*time.Second))
		if columns != 80 { // what one counts for that does not say
			board.size = func() (int, int) { return columns - 1, 24 }
		}
		board.Show(view(webA, webC, batch, app, db, badA, long))
		golden(t, "board-live"+name+".txt", strings.ReplaceAll(b.String(), "\x1b", "^["))
		lines := strings.Count(b.String(), "\n")
		narrow(t, b.String(), columns-1)
		b.Reset()
		board.Done()
		// From the margin: an echoed ^C has moved the cursor.
		if want := fmt.Sprintf("\r\x1b[%dA\x1b[J", lines); b.String() != want {
			t.Errorf("%d lines were drawn, and taken back by %q, want %q", lines, b.String(), want)
		}
		b.Reset()
		board.Done()
		if b.Len() > 0 {
			t.Errorf("a second end writes %q", b.String())
		}
	}
}

func TestBoardOfALowTerminal(t *testing.T) {
	var nodes []rollout.NodeView
	for range 30 {
		nodes = append(nodes, webC)
	}
	var b bytes.Buffer
	board := NewBoard(&b, true, false, noon)
	board.size = func() (int, int) { return 79, 10 }
	board.Show(view(nodes...))
	if lines := strings.Count(b.String(), "\n"); lines > 8 {
		t.Errorf("%d lines: a terminal of 10 can't go back over them", lines)
	}
}

func TestBoardOfALargeFleetIsAScreen(t *testing.T) {
	var nodes []rollout.NodeView
	for i := range 3000 {
		n := webC
		n.Node = fmt.Sprintf("%s-%04d", strings.Repeat("web", 10), i)
		nodes = append(nodes, n)
	}
	nodes = append(nodes, batch, app, db, badA)
	var b bytes.Buffer
	NewBoard(&b, true, false, noon).Show(view(nodes...))
	if lines := strings.Count(b.String(), "\n"); lines > 22 {
		t.Errorf("%d lines for 3004 nodes: a terminal of 24 can't go back over them", lines)
	}
	if !strings.Contains(b.String(), "… and 2986 more") {
		t.Errorf("it does not say how many are not shown:\n%s", b.String())
	}
	narrow(t, b.String(), 79)
}

func TestColourOnlyCarriesMeaning(t *testing.T) {
	for _, c := range []struct {
		n    rollout.NodeView
		code string
	}{{db, "\x1b[33mheld       \x1b[0m"}, {badA, "\x1b[31mfailed     \x1b[0m"}, {webC, "  accepted     "}} {
		var b bytes.Buffer
		NewBoard(&b, true, true, noon).Show(view(c.n))
		if !strings.Contains(b.String(), c.code) {
			t.Errorf("%s: %q has no %q", c.n.Node, b.String(), c.code)
		}
	}
}

func plain(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if r < ' ' && r != '\n' {
			t.Fatalf("a control character %q in %q", r, text)
		}
	}
}

func narrow(t *testing.T, text string, columns int) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimRight(strings.ReplaceAll(line, eraseLine, ""), "\n")
		if n := utf8.RuneCountInString(line); n > columns {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}

// TestOneResource: one is not "1 resources".
func TestOneResource(t *testing.T) {
	var b bytes.Buffer
	WriteEnding(&b, view(node("web-1", rollout.Done, ago(3, report.Result{State: report.OK, Updated: 1}))), Ending{App: "chef", Took: 3 * time.Second})
	if line, _, _ := strings.Cut(b.String(), "\n"); !strings.HasSuffix(line, " · 1 resource updated") {
		t.Errorf("it begins with %q", line)
	}
}
