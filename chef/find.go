package chef

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// usualPlaces are where the packages of Chef and Cinc put chef-solo.
var usualPlaces = []string{"/opt/chef/bin/chef-solo", "/opt/cinc/bin/cinc-solo"}

// Find returns the absolute path of chef-solo: command (the configuration's
// chef.command) where given, else CHEF_SOLO, PATH and the usual places.
func Find(command string) (string, error) {
	for _, given := range []struct{ name, value string }{{"chef.command", command}, {"CHEF_SOLO", os.Getenv("CHEF_SOLO")}} {
		if given.value == "" {
			continue
		}
		path, err := exec.LookPath(given.value)
		if err == nil {
			// A relative one would be looked up in the release, which chef-solo is
			// started in.
			path, err = filepath.Abs(path)
		}
		if err != nil {
			return "", &StartError{Err: fmt.Errorf("%s names no program that can be run: %w", given.name, err)}
		}
		return path, nil
	}
	for _, name := range append([]string{"chef-solo", "cinc-solo"}, usualPlaces...) {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", &StartError{Err: fmt.Errorf("no chef-solo in PATH, /opt/chef/bin or /opt/cinc/bin: install it, or name it by chef.command")}
}

// Version is what `chef-solo --version` says of itself.
type Version struct {
	Product string // Chef Infra Client, Chef or Cinc Client
	Number  string // 18.10.107
	StandIn bool   // it is Gurney's stand-in for tests and the demo
}

func (v Version) String() string {
	s := v.Product + " " + v.Number
	if v.StandIn {
		s += " (stand-in)"
	}
	return s
}

// versionLine matches `Chef Infra Client: 18.10.107`, `Cinc Client: …` and
// the `Chef: x.y.z` of 14 and older.
var versionLine = regexp.MustCompile(`(?m)^((?:Chef|Cinc)[A-Za-z ]*): +([0-9][0-9A-Za-z.]*)(.*)$`)

// GetVersion asks the chef-solo at path for its version. Ruby starts slowly: it gets 30 s.
func GetVersion(ctx context.Context, path string) (Version, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	m := versionLine.FindSubmatch(out)
	if m == nil {
		if err == nil {
			err = errors.New("it names no version")
		}
		said := strings.TrimSpace(stderr.String() + string(out))
		return Version{}, fmt.Errorf("%s --version: %w: %.200q", path, err, said)
	}
	return Version{Product: string(m[1]), Number: string(m[2]), StandIn: bytes.Contains(m[3], []byte("stand-in"))}, nil
}
