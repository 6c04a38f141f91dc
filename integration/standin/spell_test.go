package standin

import (
	"testing"
	"time"
)

func TestSpell(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1900 * time.Millisecond:                     "01 seconds",
		59 * time.Second:                            "59 seconds",
		62 * time.Second:                            "01 minutes 02 seconds",
		2*time.Hour + 3*time.Minute + 4*time.Second: "02 hours 03 minutes 04 seconds",
		time.Hour:                                   "01 hours 00 minutes 00 seconds",
	} {
		if got := spell(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}
