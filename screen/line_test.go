package screen

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLineStaysBelowWhatIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := NewLine(&b, true)
		l.Set("fetch 1 MB")
		l.Set("fetch 2 MB") // too fast to be read
		_, _ = l.Write([]byte("a warning\n"))
		time.Sleep(lineEvery)
		l.Set(strings.Repeat("x", 200))
		l.Done()
		want := eraseLine + "fetch 1 MB" + eraseLine + "a warning\nfetch 1 MB" + eraseLine + strings.Repeat("x", 78) + "…" + eraseLine
		if b.String() != want {
			t.Errorf("%q, want %q", b.String(), want)
		}
	})
}

func TestLineIsNothingInAPipe(t *testing.T) {
	var b bytes.Buffer
	l := NewLine(&b, false)
	l.Set("fetch 1 MB")
	_, _ = l.Write([]byte("a warning\n"))
	l.Done()
	if b.String() != "a warning\n" {
		t.Errorf("%q", b.String())
	}
}
