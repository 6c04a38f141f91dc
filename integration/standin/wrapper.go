package standin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// wrapper is the configuration that Gurney puts in front of a release's
// solo.rb. Its Ruby is beyond the stand-in, which knows it by its first line
// and does in Go what it does: check the paths, report, tell the progress.
type wrapper struct {
	release, config, state, report, progress, nonce string

	told time.Time // when the progress was last written
}

const wrapperMark = "# gurney wrapper "

var wrapperEntry = regexp.MustCompile(`(?m)^  :(\w+) => '((?:[^'\\]|\\.)*)',$`)

// readWrapper returns nil for a configuration that is not Gurney's.
func readWrapper(content string) (*wrapper, *exception) {
	if !strings.HasPrefix(content, wrapperMark) {
		return nil, nil
	}
	if !strings.HasPrefix(content, wrapperMark+"1:") {
		return nil, unknown("a wrapper of another version than 1")
	}
	head, _, ok := strings.Cut(content, "\n}\n")
	w := &wrapper{}
	into := map[string]*string{"release": &w.release, "config": &w.config, "state": &w.state,
		"report": &w.report, "progress": &w.progress, "nonce": &w.nonce}
	for _, m := range wrapperEntry.FindAllStringSubmatch(head+"\n", -1) {
		if p := into[m[1]]; p != nil {
			*p = strings.NewReplacer(`\\`, `\`, `\'`, `'`).Replace(m[2])
			delete(into, m[1])
		}
	}
	if !ok || len(into) > 0 {
		return nil, unknown("a wrapper whose head lacks some of release, config, state, report, progress and nonce")
	}
	return w, nil
}

// check refuses what lies outside of the release, and makes relative paths
// the release's.
func (w *wrapper) check(c *config) *exception {
	keys := []string{"chef_repo_path", "cookbook_path", "role_path", "environment_path", "data_bag_path",
		"cookbook_artifact_path", "policy_path", "policy_group_path"}
	for _, key := range keys {
		var full []any
		for _, p := range texts(c.values[key]) {
			if !filepath.IsAbs(p) {
				p = filepath.Join(w.release, p)
			}
			full = append(full, filepath.Clean(p))
		}
		if full != nil {
			c.values[key] = full
		}
	}
	if c.values["chef_repo_path"] == nil && c.values["cookbook_path"] == nil {
		c.values["chef_repo_path"] = w.release
	}
	for _, key := range keys {
		for _, p := range texts(c.values[key]) {
			if real := resolved(p); !within(real, resolved(w.release)) {
				if real != p {
					p += " (really " + real + ")"
				}
				return raise("RuntimeError", "gurney: %s %s is outside of the release %s: chef-solo would converge something else than what was deployed; make it relative in %s", key, p, w.release, w.config)
			}
		}
	}
	if c.values["recipe_url"] != nil {
		return raise("RuntimeError", "gurney: recipe_url in %s would unpack other cookbooks over the release %s; remove it", w.config, w.release)
	}
	return nil
}

func within(path, root string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && filepath.IsLocal(rel)
}

// resolved follows the symbolic links of as much of path as exists.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if dir := filepath.Dir(path); dir != path {
		return filepath.Join(resolved(dir), filepath.Base(path))
	}
	return path
}

// tell writes the progress, twice a second at most.
func (w *wrapper) tell(done, total int, now bool) {
	if w == nil || !now && time.Since(w.told) < 500*time.Millisecond {
		return
	}
	w.told = time.Now()
	_ = replace(w.progress, map[string]any{"nonce": w.nonce, "done": done, "total": max(total, done)})
}

// handled is what the wrapper's handler says of a run.
type handled struct {
	V         int      `json:"v"`
	Nonce     string   `json:"nonce"`
	Completed bool     `json:"completed"`
	Success   bool     `json:"success"`
	Elapsed   float64  `json:"elapsed"`
	Updated   int      `json:"updated"`
	Total     int      `json:"total"`
	Exception string   `json:"exception"`
	Message   string   `json:"message"`
	RunID     string   `json:"run_id"`
	Roles     []string `json:"roles"`
}

func (w *wrapper) write(h handled) {
	h.V, h.Nonce = 1, w.nonce
	if h.Roles == nil {
		h.Roles = []string{}
	}
	h.Message = h.Message[:min(len(h.Message), 4000)]
	_ = replace(w.report, h)
}

// replace writes JSON as wrapper.rb does: whole or not at all.
func replace(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
