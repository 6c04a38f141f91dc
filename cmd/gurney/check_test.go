package main

import (
	"os"
	"path/filepath"
	"testing"

	"gurney/chef"
)

func TestDiskLevel(t *testing.T) {
	const gb = 1 << 30
	for _, tt := range []struct {
		free, need int64
		want       string
	}{
		{10 * gb, 0, levelOK},
		{gb, 0, levelOK},
		{gb - 1, 0, levelWarn},
		{11 * gb, 5 * gb, levelOK},
		{11 * gb, 10 * gb, levelWarn}, // the next release may be larger
		{10 * gb, 11 * gb, levelFail},
	} {
		if got := diskLevel(tt.free, tt.need); got != tt.want {
			t.Errorf("%d free, %d needed: %s, want %s", tt.free, tt.need, got, tt.want)
		}
	}
}

func TestNeedsLicense(t *testing.T) {
	for _, tt := range []struct {
		product, number string
		want            bool
	}{
		{"Chef Infra Client", "18.10.107", true},
		{"Chef Infra Client", "15.0.0", true},
		{"Chef", "14.15.6", false},
		{"Cinc Client", "18.2.7", false},
		{"Chef", "", false},
	} {
		if got := needsLicense(chef.Version{Product: tt.product, Number: tt.number}); got != tt.want {
			t.Errorf("%s %s: %t", tt.product, tt.number, got)
		}
	}
}

// TestOccupied follows the link that a dest is, and no link inside.
func TestOccupied(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"r1/a": 1000, "r1/sub/b": 500, "elsewhere": 9999} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"dest": "r1", "r1/out": "../elsewhere"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if got := occupied(filepath.Join(dir, "dest")); got != 1500 {
		t.Errorf("%d bytes, want 1500", got)
	}
	if got := occupied(filepath.Join(dir, "nowhere")); got != 0 {
		t.Errorf("nothing is there, got %d bytes", got)
	}
}

// The policy that ships names chef: who has another app must write its name.
func TestMendOfTheToken(t *testing.T) {
	const policy = "give the token docs/consul-policy.hcl"
	for want, apps := range map[string][]string{
		policy: {"chef"},
		policy + `, with a line event "APP" for each of chef, web`: {"chef", "web"},
	} {
		if got := mendACL(apps); got != want {
			t.Errorf("%v: %s, want %s", apps, got, want)
		}
	}
}
