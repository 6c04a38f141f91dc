package run

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gurney/agent/state"
	"gurney/report"
)

const secret = "hunter2-and-more"

// A value of commands.env is nowhere: not in the log, nor the error, nor the
// tail, however the command prints it.
func TestSecretsAreMasked(t *testing.T) {
	for name, command := range map[string]string{
		"in a line":             `echo "token=$TOKEN."; exit 1`,
		"in parts":              `printf hunter; printf 2; sleep 0.1; printf -- -and; printf -- -more; exit 1`,
		"on stderr":             `echo $TOKEN >&2; exit 1`,
		"cut by the tail":       `printf '%s' $TOKEN; head -c 1015 /dev/zero | tr '\0' x; exit 1`,
		"in a line without end": `head -c 65530 /dev/zero | tr '\0' x; printf '%s' $TOKEN; head -c 70000 /dev/zero | tr '\0' x; exit 1`,
		"in the command itself": strings.Repeat("true; ", 14) + "true " + secret + "; exit 1",
		"the second line":       `echo "$KEY"; exit 1`,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			env := fmt.Sprintf("{TOKEN: %s, KEY: \"-----BEGIN\\nsecond-line-of-a-key\\n\", SHORT: abc}", secret)
			r := f.fails("r1", report.PhasePre, fmt.Sprintf("commands: {env: %s, pre: [%q], failure: ['cat > DIR/told']}", env, command))
			for where, text := range map[string]string{"log": f.log("r1"), "error": r.Error, "tail": r.Tail, "failure's stdin": f.read("told")} {
				for _, s := range []string{secret, "-and-more", "hunter2", "second-line-of-a-key"} {
					if strings.Contains(text, s) {
						t.Errorf("the %s tells %q: …%.300s", where, s, text[strings.Index(text, s):])
					}
				}
			}
			if len(r.Tail) > tailBytes {
				t.Errorf("a tail of %d bytes", len(r.Tail))
			}
		})
	}
}

// However the text is cut into writes, what comes out is the masked whole.
func TestLogMasksAcrossWrites(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.SampledFrom([]string{secret, "hunter2", "-and-more", "\n", "x", strings.Repeat("y", 40000)})).Draw(t, "text")
		text := strings.Join(pieces, "")
		var out bytes.Buffer
		l, err := OpenLog(state.RunAt(dir), &out)
		if err != nil {
			t.Fatal(err)
		}
		l.Mask(map[string]string{"A": secret, "B": "abc"})
		for rest := text; rest != ""; {
			n := min(len(rest), rapid.IntRange(1, 50000).Draw(t, "write"))
			if _, err := l.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got, want := out.String(), strings.ReplaceAll(text, secret, "***"); got != want {
			t.Fatalf("%d bytes came out, want %d", len(got), len(want))
		}
	})
}

// A line without end is written before it ends, but never half a secret.
func TestLongLineIsNotCutInASecret(t *testing.T) {
	for cut := 1; cut < len(secret); cut++ {
		var out bytes.Buffer
		l, err := OpenLog(state.RunAt(t.TempDir()), &out)
		if err != nil {
			t.Fatal(err)
		}
		l.Mask(map[string]string{"A": secret})
		long := strings.Repeat("x", maxLine)
		for _, part := range []string{long + secret[:cut], secret[cut:] + long} {
			_, _ = l.Write([]byte(part))
		}
		if out.Len() < maxLine {
			t.Errorf("only %d bytes are written", out.Len())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if want := long + "***" + long; out.String() != want {
			t.Errorf("cut after %d bytes it tells …%q", cut, out.String()[maxLine-5:maxLine+len(secret)+5])
		}
	}
}

func TestTailIsTheEnd(t *testing.T) {
	f := newFixture(t)
	r := f.fails("r1", report.PhasePre, "commands: {pre: ['seq 1 100000; printf the-end; exit 1']}")
	if len(r.Tail) != tailBytes || !strings.HasSuffix(r.Tail, "100000\nthe-end") {
		t.Errorf("%d bytes, …%q", len(r.Tail), r.Tail[max(0, len(r.Tail)-20):])
	}
	if !strings.Contains(f.log("r1"), "\n1\n2\n3\n") {
		t.Error("the log has not the whole")
	}
	r = f.fails("r2", report.PhasePost, "commands: {pre: [echo of pre], post: ['exit 1']}")
	if r.Tail != "" {
		t.Errorf("a tail of another command: %q", r.Tail)
	}
}
