//go:build !faults

package hold

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A build for users knows nothing of it.
func TestNothingHolds(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("GURNEY_HOLD", dir)
	t.Setenv("GURNEY_PACE", "2")
	if err := os.WriteFile(filepath.Join(dir, Sync+".hold"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	At(nil, Sync)
	if _, err := os.Stat(filepath.Join(dir, Sync+".held")); err == nil {
		t.Error("it stood there")
	}
	if Pace(time.Second) != time.Second || Writes(nil, Sync, 1) != nil {
		t.Error("it changes what it is given")
	}
}
