package integration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// repo is a Chef repository that converges a host into a file of its own:
// $HOST/converged, which says what it is and who it was for.
type repo struct {
	dir string
}

// newRepo writes one; recipe is added to its only one.
func (w *world) newRepo(name string, recipe ...string) repo {
	w.Helper()
	r := repo{filepath.Join(w.Dir, "repos", name)}
	w.write(r.dir,
		"solo.rb", "cookbook_path File.expand_path(\"cookbooks\", File.dirname(__FILE__))\nrole_path File.expand_path(\"roles\", File.dirname(__FILE__))\n",
		"nodes/web.json", `{"run_list": ["recipe[base]"], "color": "green"}`+"\n",
		"nodes/db.json", `{"run_list": ["recipe[base]"], "color": "blue"}`+"\n",
		"cookbooks/base/metadata.rb", "name \"base\"\nversion \"1.0.0\"\n",
		"cookbooks/base/recipes/default.rb", strings.Join(append([]string{
			`file "#{ENV["HOST"]}/converged" do`,
			`  content "` + name + ` #{node["color"]}"`,
			`end`, ``}, recipe...), "\n")+"\n",
		"RELEASE", name+"\n",
	)
	return r
}

// release is what publish made.
type release struct {
	Manifest, Src, SHA256 string
}

// publish publishes the repo to s3://acme/<to>; its manifest goes to
// $HOST/srv/chef, and gets the lines of more; one of them may be chef's.
func (w *world) publish(r repo, to string, more ...string) release {
	w.Helper()
	file := filepath.Join(w.Dir, filepath.Base(r.dir)+".yml")
	lines := append([]string{"src:", "checksum:", `dest: '{{ must_env "HOST" }}/srv/chef'`}, more...)
	if !slices.ContainsFunc(more, func(l string) bool { return strings.HasPrefix(l, "chef:") }) {
		lines = append(lines, "chef: {}")
	}
	text := strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.Fatal(err)
	}
	out := w.gurney(w.ops(), 0, "publish", r.dir, "s3://acme/"+to+"/", "--manifest", file, "-o", "json")
	var p release
	if err := json.Unmarshal([]byte(out.Stdout), &p); err != nil {
		w.Fatalf("%v: %s", err, out.Stdout)
	}
	return p
}

// deployed is what `deploy -o json` says.
type deployed struct {
	App, ID, End, Previous string
	Promoted               bool
	Counts                 map[string]int
	Nodes                  []struct {
		Node, State string
	}
}

func (w *world) deploy(status int, p release, args ...string) deployed {
	w.Helper()
	out := w.gurney(w.ops(), status, append([]string{"deploy", "chef", p.Manifest, "-o", "json"}, args...)...)
	var d deployed
	if err := json.Unmarshal([]byte(out.Stdout), &d); err != nil {
		w.Fatalf("%v: %s", err, out.Stdout)
	}
	return d
}

// converged insists on what the host's Chef wrote last.
func (w *world) converged(host, want string) {
	w.Helper()
	got, err := os.ReadFile(w.Hosts[host].Path("converged"))
	if err != nil || string(got) != want {
		w.Errorf("%s converged to %q (%v), wanted %q", host, got, err, want)
	}
}

// live is the RELEASE file of what is live on the host.
func (w *world) live(host string) string {
	data, err := os.ReadFile(filepath.Join(w.Hosts[host].Dest(), "chef", "RELEASE"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
