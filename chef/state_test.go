package chef

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
)

// A run that was killed while it wrote its wrapper leaves that on its way: the
// next one removes it.
func TestPrepareRemovesWhatAKilledRunLeft(t *testing.T) {
	s, release := state{t.TempDir()}, t.TempDir()
	left := filepath.Join(s.dir, ".wrapper.rb2380541574")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.prepare(Options{Release: release, JSON: filepath.Join(release, "web.json"), Node: "web-1", Log: zerolog.Nop()}, "a nonce"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(left); err == nil {
		t.Errorf("%s is still there", left)
	}
	if _, err := os.Stat(s.wrapper()); err != nil {
		t.Error(err)
	}
}
