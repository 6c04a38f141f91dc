package report

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

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
		t.Errorf("%s differs\n got: %s\nwant: %s", name, got, want)
	}
}

var okResult = Result{
	State: OK, Start: 1763906674000, End: 1763906722400,
	Seconds:  map[Phase]float64{PhaseManifest: 0.01, PhaseFetch: 1.24, PhasePre: 0.11, PhaseChef: 44.96, PhaseActivate: 0.31, PhasePost: 123.4},
	NodeJSON: "web", Updated: 41, Total: 163, Attempt: 1, Agent: "v0.1.0",
}

var failedResult = Result{
	State: Failed, Phase: PhaseChef, Error: "template[/etc/nginx/nginx.conf] (nginx::default line 42) had an error: nginx -t exited 1",
	Start: 1763906674000, End: 1763906693000, Exit: 1, Attempt: 1, Agent: "v0.1.0", Release: true, NodeJSON: "web",
	Tail: "\x1b[31mnginx: [emerg] unknown directive \"htp2\"\x1b[0m in /etc/nginx/nginx.conf:12\n",
}

func TestGolden(t *testing.T) {
	var b strings.Builder
	for _, r := range []Result{
		okResult, failedResult,
		{State: OK, Start: 1763906674000, End: 1763906675000, NodeJSON: "web", Updated: 1, Total: 1, Retry: 1763906670000},
		{State: OK, Start: 1763906674000, End: 1763906675000, NodeJSON: "web", Updated: 1},
		{State: Accepted, Start: 1763906674000, Attempt: 1, Agent: "v0.1.0"},
		{State: Held, Start: 1763906674000, Error: `maintenance: "disk swap, bob"`},
		{State: Superseded, Start: 1763906674000, Error: "by 20261123-1404-9f2c"},
	} {
		b.Write(Encode(r))
		b.WriteString("\n  " + r.Line() + "\n")
	}
	key, value, flags := Dashboard("deploy", "ip-10-0-0-7", "chef", okResult, time.Unix(1763906722, 0))
	b.WriteString(Key("chef", "20261123-1404-9f2c", "web-1") + "\n" + FailedKey("chef", "20261123-1404-9f2c", "web-1") + "\n")
	b.WriteString(key + " " + value)
	if flags != 1763906722000 {
		t.Errorf("flags are %d", flags)
	}
	golden(t, "results.golden", b.String()+"\n")
}

// Whatever a run says, its record stays within the budget and can be read.
func TestBudgets(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringN(0, 4000, -1), rapid.Just(strings.Repeat("日本語\n", 2000)), rapid.Just(strings.Repeat("\"\x01\\", 3000)))
	rapid.Check(t, func(t *rapid.T) {
		r := Result{
			State: rapid.SampledFrom([]State{Accepted, Held, OK, Failed, Skipped, Superseded, Interrupted, Refused}).Draw(t, "state"),
			Phase: rapid.SampledFrom(Phases()).Draw(t, "phase"),
			Error: text.Draw(t, "error"), Tail: text.Draw(t, "tail"), NodeJSON: text.Draw(t, "json"), Agent: text.Draw(t, "agent"),
			Start: 1763906674000, End: 1763906674000 + rapid.Int64Range(0, 1<<40).Draw(t, "took"),
			Updated: 123456, Total: 1234567, Exit: 255, Attempt: 3, Retry: 1763906670000, Reboot: true, Seconds: map[Phase]float64{},
		}
		for _, p := range Phases() {
			r.Seconds[p] = rapid.Float64Range(0, 1e6).Draw(t, string(p))
		}
		data := Encode(r)
		limit := MaxFailure
		if r.State == OK || r.State == Accepted {
			limit = MaxOK
		}
		if len(data) > limit {
			t.Fatalf("%d bytes, at most %d: %s", len(data), limit, data)
		}
		back, err := Decode(data)
		if err != nil || back.State != r.State || back.End != r.End || back.Retry != r.Retry || !utf8.ValidString(back.Tail) {
			t.Fatalf("%v: %+v", err, back)
		}
	})
}

func TestTailKeepsItsEnd(t *testing.T) {
	r := failedResult
	r.Tail = strings.Repeat("noise\n", 1000) + "the cause"
	back, err := Decode(Encode(r))
	if err != nil || !strings.HasSuffix(back.Tail, "the cause") || len(back.Tail) < 800 {
		t.Errorf("%v: tail of %d bytes: %q", err, len(back.Tail), back.Tail)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, in := range []string{``, `[]`, `{}`, `{"v":2,"state":"ok"}`} {
		if r, err := Decode([]byte(in)); err == nil {
			t.Errorf("%q gave %+v", in, r)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 400 * time.Millisecond: "0.4s", 12 * time.Second: "12s", 221 * time.Second: "3m41s",
		134 * time.Minute: "2h14m", 123 * time.Hour: "5d3h", -time.Second: "0s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v is %q, not %q", d, got, want)
		}
	}
}
