package faults_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"gurney/integration/fleet"
)

// tree is a release: its files' content by path; a symlink's is "-> target".
type tree map[string]string

// stand is the shell for standing at a point while it is held.
func stand(point string) string {
	return fmt.Sprintf(`h=$GURNEY_HOLD/%[1]s; if test -e $h.hold; then echo $$ > $h.new; mv $h.new $h.held; while test -e $h.hold; do sleep 0.03; done; fi`, point)
}

// newTree is one whose files differ from those of any other version: some in
// content, two in being there at all. Its Chef stands at the point chef.
func newTree(version string) tree {
	t := tree{
		"RELEASE":                           version + "\n",
		"solo.rb":                           "cookbook_path File.expand_path(\"cookbooks\", File.dirname(__FILE__))\n# " + version + "\n",
		"nodes/web.json":                    `{"run_list": ["recipe[base]"], "version": "` + version + `"}` + "\n",
		"cookbooks/base/metadata.rb":        "name \"base\"\nversion \"1.0.0\"\n",
		"cookbooks/base/recipes/default.rb": "execute \"stand\" do\n  command \"" + stand("chef") + "\"\nend\nfile \"#{ENV[\"HOST\"]}/converged\" do\n  content \"" + version + "\"\nend\n",
		"only/in/" + version:                "here\n",
		"link":                              "-> only/in/" + version,
		"unchanged":                         "the same\n",
	}
	for i := range 12 {
		t[fmt.Sprintf("files/%02d", i)] = strings.Repeat(fmt.Sprintf("%s %d\n", version, i), 40*i+1)
	}
	return t
}

// write makes the tree at dir.
func (t tree) write(dir string) error {
	for path, content := range t {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		err := error(nil)
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readTree reads what stands at dir, through a symlink there; what goes away
// meanwhile is left out.
func readTree(dir string) (tree, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	t := tree{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(path)
			t[name] = "-> " + target
			return err
		}
		data, err := os.ReadFile(path)
		t[name] = string(data)
		return err
	})
	return t, err
}

// is says how t differs from want; nil where it does not.
func (t tree) is(want tree) error {
	if maps.Equal(t, want) {
		return nil
	}
	return errors.New(t.differs(want))
}

// mixes says which file is of neither of the two; nil where all are.
func (t tree) mixes(a, b tree) error {
	for path, content := range t {
		if a[path] != content && b[path] != content {
			return fmt.Errorf("%s is neither old nor new: %.60q", path, content)
		}
	}
	return nil
}

func (t tree) differs(want tree) string {
	for path := range want {
		if got, ok := t[path]; !ok {
			return path + " is missing"
		} else if got != want[path] {
			return fmt.Sprintf("%s is %.60q", path, got)
		}
	}
	for path := range t {
		if _, ok := want[path]; !ok {
			return path + " is too much"
		}
	}
	return ""
}

// archive is a tree as published.
type archive struct {
	tree
	src, sum string
}

// publish publishes the two releases, as an operator does.
func publish(dir string) error {
	h, err := fleet.NewHost(fleet.HostOptions{Name: "ops", Dir: dir, S3: shared.s3})
	if err != nil {
		return err
	}
	for version, to := range map[string]*archive{"old": &shared.old, "another": &shared.new} {
		to.tree = newTree(version)
		if err := to.write(h.Path(version)); err != nil {
			return err
		}
		file := h.Path(version + ".yml")
		if err := os.WriteFile(file, []byte("src:\nchecksum:\ndest: /srv/chef\nchef: {}\n"), 0o600); err != nil {
			return err
		}
		out, err := h.Run("publish", h.Path(version), "s3://acme/"+version+"/", "--manifest", file, "-o", "json")
		if err != nil || out.Status != 0 {
			return fmt.Errorf("publish: %w\n%s", err, out.Stderr)
		}
		var p struct{ Src, SHA256 string }
		if err := json.Unmarshal([]byte(out.Stdout), &p); err != nil {
			return err
		}
		to.src, to.sum = p.Src, p.SHA256
	}
	return nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
