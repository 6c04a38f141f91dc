package standin_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// tree is all of a directory: path to mode and content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[path] = info.Mode().String()
		if info.Mode().IsRegular() {
			all[path] += " " + read(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// mended are the arguments that leave the repository alone.
func mended(dir, state string) []string {
	args := append(plain(dir), "--lockfile", filepath.Join(state, "lock"), "--run-lock-timeout", "0")
	for _, o := range []string{"node_path=nodes", "file_cache_path=cache", "file_backup_path=backup", "chef_guid_path=guid"} {
		key, name, _ := strings.Cut(o, "=")
		args = append(args, "--config-option", key+"="+filepath.Join(state, name))
	}
	return args
}

func TestNodeFileOverwritesTheNodeJSONAndGrows(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t)
		last := len(read(t, filepath.Join(dir, "nodes/web.json")))
		for range 2 {
			p.must(t, dir, plain(dir)...)
			size := len(read(t, filepath.Join(dir, "nodes/web.json")))
			if size <= last {
				t.Errorf("nodes/web.json went from %d to %d bytes, want it to grow", last, size)
			}
			last = size
		}
	})
}

func TestTheMendsLeaveTheTreeAlone(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir, state := repo(t, recipe(`log "hello"`)...), t.TempDir()
		before := tree(t, dir)
		p.must(t, dir, mended(dir, state)...)
		if after := tree(t, dir); !maps.Equal(before, after) {
			t.Errorf("before %v\nafter %v", before, after)
		}
		for _, name := range []string{"lock", "nodes/web.json"} {
			if _, err := os.Stat(filepath.Join(state, name)); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestWithoutTheMendsTheRepositoryIsWrittenInto(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t)
		before := tree(t, dir)
		p.must(t, dir, plain(dir)...)
		if after := tree(t, dir); len(after) <= len(before) {
			t.Error("nothing new beside solo.rb, want the lock there")
		}
	})
}

func TestAttributesStick(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`file "DIR/saw" do`, `  content "#{node["color"]}."`, `end`)...)
		state := t.TempDir()
		json := filepath.Join(dir, "nodes/web.json")
		for _, step := range []struct{ json, want string }{
			{`{"run_list":["recipe[web]"],"color":"red"}`, "red."},
			{`{"run_list":["recipe[web]"]}`, "red."}, // removed, and still there
			{`{"run_list":["recipe[web]"],"color":"blue"}`, "blue."},
		} {
			write(t, json, step.json)
			p.must(t, dir, mended(dir, state)...)
			if got := read(t, filepath.Join(dir, "saw")); got != step.want {
				t.Errorf("with %s the recipe saw %q, want %q", step.json, got, step.want)
			}
		}
		if err := os.RemoveAll(filepath.Join(state, "nodes")); err != nil {
			t.Fatal(err)
		}
		write(t, json, `{"run_list":["recipe[web]"]}`)
		p.must(t, dir, mended(dir, state)...)
		if got := read(t, filepath.Join(dir, "saw")); got != "." {
			t.Errorf("with node_path emptied the recipe saw %q", got)
		}
	})
}

// A --config-option is YAML: unquoted, " #" begins a comment.
func TestConfigOptionIsYAML(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir, state := repo(t), t.TempDir()
		for option, want := range map[string]string{state + "/cut #off": "cut", `"` + state + `/quoted #\u00fc"`: "quoted #ü"} {
			p.must(t, dir, append(mended(dir, state), "--config-option", "node_path="+option)...)
			if _, err := os.Stat(filepath.Join(state, want, "web.json")); err != nil {
				t.Errorf("node_path=%s: %v", option, err)
			}
		}
	})
}

func TestWithoutJSONTheSavedRunListIsUsed(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`log "here I am"`)...)
		p.must(t, dir, plain(dir)...)
		if out := p.must(t, dir, "-c", filepath.Join(dir, "solo.rb"), "-N", "web", "--no-color"); !strings.Contains(out, "here I am") {
			t.Errorf("the recipe did not run: %s", out)
		}
	})
}

func TestARepositoryThatCantBeWrittenTo(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("not root: run as oneself")
	}
	each(t, func(t *testing.T, p program) {
		dir := repo(t)
		for d := dir; d != "/" && d != "/tmp"; d = filepath.Dir(d) {
			_ = os.Chmod(d, 0o755)
		}
		lock := filepath.Join(t.TempDir(), "lock")
		write(t, lock, "")
		_ = os.Chmod(lock, 0o666)
		_ = os.Chmod(filepath.Dir(lock), 0o777)
		if err := os.Chmod(filepath.Join(dir, "nodes"), 0o555); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(filepath.Join(dir, "nodes/web.json"), 0o444)
		c := p.with("HOME="+dir).start(t, dir, append(plain(dir), "--lockfile", lock)...)
		if os.Getuid() == 0 {
			c.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		}
		if code := c.begin().end(); code != 1 || !strings.Contains(c.said(), `500 "Internal Server Error"`) {
			t.Errorf("exit %d, %s; want 1 and a 500", code, c.said())
		}
	})
}

func TestAMissingConfigIsOnlyAWarning(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`log "converged all the same"`)...)
		if err := os.Remove(filepath.Join(dir, "solo.rb")); err != nil {
			t.Fatal(err)
		}
		out := p.must(t, dir, plain(dir)...)
		if !strings.Contains(out, "WARN: ") || !strings.Contains(out, "Did not find config file") || !strings.Contains(out, "converged all the same") {
			t.Errorf("got %s", out)
		}
	})
}

func TestSearchBreaksOnOneCorruptNode(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`log "found #{search(:node, "*:*").length}"`)...)
		state := t.TempDir()
		write(t, filepath.Join(state, "nodes/other.json"), `{"name":"other","run_list":[]}`)
		if out := p.must(t, dir, mended(dir, state)...); !strings.Contains(out, "found 2") {
			t.Errorf("got %s, want two nodes", out)
		}
		write(t, filepath.Join(state, "nodes/other.json"), `{"name":`)
		if code, out := p.run(t, dir, mended(dir, state)...); code != 1 {
			t.Errorf("exit %d beside a corrupt node: %s", code, out)
		}
	})
}
