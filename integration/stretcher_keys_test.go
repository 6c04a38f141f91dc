package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gurney/report"
)

// dest_mode is octal as YAML 1.1 has it, quoted or bare, 0755 unless given, and
// goes to dest: what tar says of the root gives way.
func TestStretcherDestMode(t *testing.T) {
	eachWay(t, func(y *yard) {
		archive := y.archive("app/mode.tgz", y.tarball("REVISION", "one"))
		for i, c := range []struct {
			line string
			want os.FileMode
		}{{"", 0o755}, {"dest_mode: 0711", 0o711}, {`dest_mode: "0750"`, 0o750}, {"dest_mode: 493", 0o755}} {
			for _, strategy := range []string{"rsync", "mv"} {
				dest := filepath.Join(y.Root, fmt.Sprintf("%s-%d", strategy, i))
				y.delivered(archive + "dest: " + dest + "\nsync_strategy: " + strategy + "\n" + c.line + "\n")
				info, err := os.Stat(dest)
				if err != nil || info.Mode().Perm() != c.want {
					y.Errorf("%s, %q: %v, %v; wanted %v", strategy, c.line, info.Mode(), err, c.want)
				}
			}
		}
	})
}

// Without sync_strategy, and by its name rsync, dest becomes the archive's
// mirror; what is excluded neither comes nor goes. mv renames, and replaces
// nothing.
func TestStretcherStrategies(t *testing.T) {
	eachWay(t, func(y *yard) {
		archive := y.archive("app/app.tgz", y.tarball("REVISION", "one", "new", "", "cache/of-the-build", "", ".rsyncignore", "# kept there\nshared\n/cache\n"))
		for _, strategy := range []string{"", "sync_strategy: ''", "sync_strategy: rsync"} {
			dest := filepath.Join(y.Root, "mirror")
			if err := os.RemoveAll(dest); err != nil {
				y.Fatal(err)
			}
			y.write(dest, "old", "", "old.d/x", "", "run/app.pid", "7", "shared/upload", "kept", "cache/hot", "")
			y.delivered(archive + "dest: " + dest + "\nexcludes: ['*.pid', null]\nexclude_from: .rsyncignore\n" + strategy + "\n")
			for name, want := range map[string]bool{
				"REVISION": true, "new": true, "old": false, "old.d": false, "run/app.pid": true,
				"shared/upload": true, "cache/hot": true, "cache/of-the-build": false,
			} {
				if exists(filepath.Join(dest, name)) != want {
					y.Errorf("%q: %s is there: %t", strategy, name, !want)
				}
			}
		}

		moved := archive + "dest: " + filepath.Join(y.Root, "moved") + "\nsync_strategy: mv\n"
		y.delivered(moved)
		y.write(filepath.Join(y.Root, "moved"), "mine", "")
		c := y.deliver(moved)
		if c.State != report.Failed || !strings.Contains(c.Error, "exists") {
			y.Errorf("mv over what is there: %s, %s", c.State, c.Error)
		}
		if !exists(filepath.Join(y.Root, "moved", "mine")) {
			y.Error("mv took away what was there")
		}
	})
}

// A dest that is a link to a directory is written through, as rsync does.
func TestStretcherDestIsALink(t *testing.T) {
	eachWay(t, func(y *yard) {
		y.write(y.Root, "real/old", "")
		dest := filepath.Join(y.Root, "dest")
		if err := os.Symlink("real", dest); err != nil {
			y.Fatal(err)
		}
		y.delivered(y.archive("app/link.tgz", y.tarball("REVISION", "one")) + "dest: " + dest + "\n")
		if to, err := os.Readlink(dest); err != nil || to != "real" {
			y.Errorf("the link is %q, %v", to, err)
		}
		if !exists(filepath.Join(y.Root, "real", "REVISION")) || exists(filepath.Join(y.Root, "real", "old")) {
			y.Error("what it points to is not the mirror")
		}
	})
}

// The newer heads' templates are rendered before the YAML is read, on the node;
// what is meant for docker stays.
func TestStretcherTemplates(t *testing.T) {
	eachWay(t, func(y *yard) {
		y.Host.Env = append(y.Host.Env, "STAGE=production")
		out := filepath.Join(y.Root, "out")
		y.delivered(`commands:
  pre:
  - printf '%s\n' '{{ env "STAGE" "staging" }}' '{{ env "NOT_SET_HERE" "staging" }}' '{{ must_env "STAGE" }}' > ` + out + `
  post:
  - printf '%s\n' '{{.State.Running}}' '{{ json .Config }}' >> ` + out + "\n" + `{{ env "NOT_SET_HERE" "excludes" }}: ["x"]
`)
		want := "production\nstaging\nproduction\n{{.State.Running}}\n{{ json .Config }}\n"
		if got := y.read(out); got != want {
			y.Errorf("rendered as %q, wanted %q", got, want)
		}
		c := y.deliver("commands:\n  pre: [\"echo {{ must_env `NOT_SET_HERE` }}\"]\n")
		if c.State != report.Failed || !strings.Contains(c.Error, "NOT_SET_HERE is not set") {
			y.Errorf("must_env of nothing: %s, %s", c.State, c.Error)
		}
	})
}
