package chef

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// configured is what testdata/config.rb prints.
type configured struct {
	Error             string
	ConfigFile        string   `json:"config_file"`
	ConfigDir         string   `json:"config_dir"`
	ChefRepoPath      any      `json:"chef_repo_path"`
	CookbookPath      any      `json:"cookbook_path"`
	RolePath          any      `json:"role_path"`
	LogLevel          string   `json:"log_level"`
	SoloDDir          string   `json:"solo_d_dir"`
	TrustedCertsDir   string   `json:"trusted_certs_dir"`
	CachePath         string   `json:"cache_path"`
	Interval          any      `json:"interval"`
	Splay             any      `json:"splay"`
	Daemonize         any      `json:"daemonize"`
	ClientFork        any      `json:"client_fork"`
	ForceFormatter    bool     `json:"force_formatter"`
	ReportHandlers    []string `json:"report_handlers"`
	ExceptionHandlers []string `json:"exception_handlers"`
	EventHandlers     []string `json:"event_handlers"`
}

// wrapped is a release R and a state S, for wrapper.rb on a real Chef::Config.
type wrapped struct {
	Options
	state
	config configured
	stderr string
}

// evaluate writes solo.rb and evaluates the wrapper around it.
func evaluate(t *testing.T, solo, ending string, change ...func(release string)) wrapped {
	t.Helper()
	needChefConfig(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := wrapped{Options: Options{Release: filepath.Join(dir, "it's a release, ü"), Config: "solo.rb", Log: zerolog.Nop()}, state: state{filepath.Join(dir, "state")}}
	write(t, filepath.Join(w.Release, "nodes", "web.json"), `{"run_list":[]}`)
	write(t, filepath.Join(w.Release, "cookbooks", "web", "recipes", "default.rb"), "")
	write(t, filepath.Join(w.Release, "solo.rb"), solo)
	w.JSON, w.Node = filepath.Join(w.Release, "nodes", "web.json"), "host"
	for _, f := range change {
		f(w.Release)
	}
	w.evaluate(t, ending)
	return w
}

func (w *wrapped) evaluate(t *testing.T, ending string) {
	t.Helper()
	w.config = configured{}
	if err := w.prepare(w.Options, "a nonce"); err != nil {
		t.Fatal(err)
	}
	stub, err := filepath.Abs("testdata/stub")
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/config.rb")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ruby", "-I", stub, script, w.wrapper(), ending)
	cmd.Dir = w.Release
	cmd.Env = append(os.Environ(), "LC_ALL=C") // as in a service
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ruby: %v: %s", err, stderr.String())
	}
	if err := json.Unmarshal(out, &w.config); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	w.stderr = stderr.String()
}

func needChefConfig(t *testing.T) {
	t.Helper()
	if err := exec.Command("ruby", "-e", `require "chef-config/config"`).Run(); err != nil {
		t.Skip("SKIPPED: no ruby with chef-config, so wrapper.rb is not tested; apt-get install ruby ruby-chef-config")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Hazard 8: the configuration is evaluated twice.
func TestWrapperRegistersItsHandlersOnce(t *testing.T) {
	w := evaluate(t, `cookbook_path "cookbooks"`, "")
	want := configured{ReportHandlers: []string{"GurneyReport"}, ExceptionHandlers: []string{"GurneyReport"}, EventHandlers: []string{"GurneyProgress"}}
	got := configured{ReportHandlers: w.config.ReportHandlers, ExceptionHandlers: w.config.ExceptionHandlers, EventHandlers: w.config.EventHandlers}
	if w.config.Error != "" || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v (error %q, stderr %q), want %+v", got, w.config.Error, w.stderr, want)
	}
}

func TestWrapperMakesPathsTheReleases(t *testing.T) {
	for name, solo := range map[string]string{
		"relative": `cookbook_path "cookbooks"`,
		"list":     `cookbook_path ["cookbooks"]`,
		"__FILE__": `cookbook_path File.expand_path("cookbooks", File.dirname(__FILE__))`,
		"repo":     `chef_repo_path File.dirname(__FILE__)`,
		"empty":    ``,
		"nothing":  "chef_repo_path nil\ncookbook_path nil",
		"dir":      `cookbook_path File.join(config_dir, "cookbooks")`,
		"pwd":      `cookbook_path Dir.pwd + "/cookbooks/"`,
		"__dir__":  "require 'pathname'\ncurrent_dir = __dir__\ncookbook_path [Pathname.new(current_dir) + 'cookbooks']",
		"other":    "instance_eval(IO.read(File.join(File.dirname(__FILE__), 'base.rb')))",
		"another":  `Chef::Config.from_file(File.join(__dir__, "base.rb"))`,
		"umlauts":  "# für alle\ncookbook_path 'für/../cookbooks'",
	} {
		t.Run(name, func(t *testing.T) {
			w := evaluate(t, solo, "", func(release string) { write(t, filepath.Join(release, "base.rb"), `cookbook_path "cookbooks"`) })
			if w.config.Error != "" {
				t.Fatal(w.config.Error)
			}
			if got, want := flat(w.config.CookbookPath)[0], filepath.Join(w.Release, "cookbooks"); got != want {
				t.Errorf("cookbook_path %q, want %q", got, want)
			}
			if got, want := flat(w.config.RolePath)[0], filepath.Join(w.Release, "roles"); got != want {
				t.Errorf("role_path %q, want %q", got, want)
			}
			if got := w.config.CachePath; filepath.Dir(got) != filepath.Dir(w.wrapper()) {
				t.Errorf("cache_path %q, want it beside %s", got, w.wrapper())
			}
		})
	}
}

func flat(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, flat(e)...)
		}
		return out
	}
	return []string{""}
}

// Hazard 12, and the reason for it: what lies outside would be converged
// instead of the release.
func TestWrapperRefusesWhatIsOutside(t *testing.T) {
	link := func(release string) {
		if err := os.Symlink("/etc", filepath.Join(release, "linked")); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ solo, want string }{
		"absolute":    {`cookbook_path "/var/chef/cookbooks"`, "gurney: cookbook_path /var/chef/cookbooks is outside of the release "},
		"one of two":  {`cookbook_path ["cookbooks", "/opt"]`, "gurney: cookbook_path /opt is outside"},
		"dots":        {`role_path "../roles"`, "gurney: role_path "},
		"same prefix": {`data_bag_path File.dirname(__FILE__) + "-old/data_bags"`, "gurney: data_bag_path "},
		"home":        {`cookbook_path "~/cookbooks"`, "gurney: cookbook_path "},
		"artifacts":   {`cookbook_artifact_path "/opt/artifacts"`, "gurney: cookbook_artifact_path /opt/artifacts is outside"},
		"policy":      {`policy_path "/opt/policies"`, "gurney: policy_path /opt/policies is outside"},
		"group":       {`policy_group_path "/opt/groups"`, "gurney: policy_group_path /opt/groups is outside"},
		"link":        {`environment_path "linked/environments"`, "(really /etc/environments) is outside"},
		"recipe_url":  {`recipe_url "http://example.com/cookbooks.tgz"`, "gurney: recipe_url in "},
	} {
		t.Run(name, func(t *testing.T) {
			if w := evaluate(t, c.solo, "", link); !strings.Contains(w.config.Error, c.want) {
				t.Errorf("got %q, want %q in it", w.config.Error, c.want)
			}
		})
	}
}

// solo.d belongs to the release: it has the last word in both evaluations, and
// its paths are checked like solo.rb's.
func TestWrapperReadsSoloD(t *testing.T) {
	dropIn := func(text string) func(string) {
		return func(release string) { write(t, filepath.Join(release, "solo.d", "10.rb"), text) }
	}
	w := evaluate(t, "log_level :info", "", dropIn(`log_level :debug`))
	if w.config.LogLevel != "debug" {
		t.Errorf("log_level %q, want debug; error %q", w.config.LogLevel, w.config.Error)
	}
	// Chef reads solo_d_dir after the wrapper: what it finds there is unchecked.
	if entries, err := os.ReadDir(w.config.SoloDDir); w.config.SoloDDir == "" || err == nil {
		t.Errorf("Chef would read solo_d_dir %q (%d files) after the checks", w.config.SoloDDir, len(entries))
	}
	if w := evaluate(t, "", "", dropIn(`cookbook_path "/opt"`)); !strings.Contains(w.config.Error, "cookbook_path /opt is outside") {
		t.Errorf("got %q, want a refusal of /opt", w.config.Error)
	}
}

// The handler's words and package chef's reading of them are one format.
func TestWrapperReports(t *testing.T) {
	for ending, want := range map[string]handled{
		"success": {Completed: true, Success: true},
		"failure": {Exception: "RuntimeError", Message: "no ? luck"},
		"wrapped": {Exception: "IOError", Message: "the real one"},
		"reboot":  {Completed: true, Exception: "IOError", Message: "reboot"},
	} {
		t.Run(ending, func(t *testing.T) {
			w := evaluate(t, "", ending)
			got := w.readReport("a nonce")
			if got == nil {
				t.Fatalf("no report; stderr %q", w.stderr)
			}
			want.Nonce, want.Elapsed, want.Updated, want.Total, want.RunID = "a nonce", 1.5, 2, 3, "an-id"
			want.Roles = []string{"web", "base"}
			if !reflect.DeepEqual(*got, want) {
				t.Errorf("got %+v, want %+v", *got, want)
			}
			if w.readReport("another nonce") != nil {
				t.Error("a report with another nonce counts")
			}
		})
	}
}

// What solo.rb says of a daemon would make Chef a worker's parent, or keep it
// running for ever; what Chef reads beside its configuration is the release's.
func TestWrapperMakesOneRunOfADaemon(t *testing.T) {
	w := evaluate(t, "interval 1800\nsplay 300\ndaemonize true\nclient_fork true", "")
	if c := w.config; c.Error != "" || c.Interval != nil || c.Splay != nil || c.Daemonize != nil || c.ClientFork != false {
		t.Errorf("got %+v", c)
	}
}

func TestWrapperKeepsTheTrustedCertificates(t *testing.T) {
	w := evaluate(t, "", "")
	if got, want := w.config.TrustedCertsDir, filepath.Join(w.Release, "trusted_certs"); got != want {
		t.Errorf("trusted_certs_dir %q, want %q", got, want)
	}
	if w := evaluate(t, `trusted_certs_dir "/etc/certs"`, ""); w.config.TrustedCertsDir != "/etc/certs" {
		t.Errorf("trusted_certs_dir %q, want what solo.rb says", w.config.TrustedCertsDir)
	}
}

// Without a terminal old Chefs print only a log; a solo.rb may want just that.
func TestWrapperWantsTheFormatter(t *testing.T) {
	for solo, want := range map[string]bool{
		"":                                true,
		"log_location STDOUT":             true,
		`log_location "/dev/null"`:        true,
		"force_logger true":               false,
		"log_location :syslog":            false,
		`log_location [STDOUT, "syslog"]`: false,
	} {
		if w := evaluate(t, solo, ""); w.config.Error != "" || w.config.ForceFormatter != want {
			t.Errorf("%s: force_formatter %v, want %v: %s", solo, w.config.ForceFormatter, want, w.config.Error)
		}
	}
}

// Secrets and keys are a machine's own, and lie where they like.
func TestWrapperLetsSecretsLieOutside(t *testing.T) {
	solo := "encrypted_data_bag_secret '/etc/chef/secret'\nssl_ca_file '/etc/ssl/ca.pem'\nfile_cache_path '/var/chef/cache'\nssl_verify_mode :verify_peer\nsolo_legacy_mode true\nchef_license 'accept'\njson_attribs '/etc/chef/node.json'"
	if w := evaluate(t, solo, ""); w.config.Error != "" {
		t.Error(w.config.Error)
	}
}

// A release may be reached by a link above it, and name its paths either way.
func TestWrapperSeesThroughALinkAboveTheRelease(t *testing.T) {
	for _, solo := range []string{`cookbook_path "cookbooks"`, `cookbook_path File.realpath("cookbooks")`, `cookbook_path File.join(__dir__, "cookbooks/")`, ``} {
		w := evaluate(t, solo, "")
		link := filepath.Join(filepath.Dir(w.Release), "a link")
		if err := os.Symlink(w.Release, link); err != nil {
			t.Fatal(err)
		}
		w.Release = link
		if w.evaluate(t, ""); w.config.Error != "" {
			t.Errorf("%s: %s", solo, w.config.Error)
		}
	}
}

// A resource of the run counts once, those within others not at all.
func TestWrapperTellsTheProgress(t *testing.T) {
	w := evaluate(t, "", "progress")
	if got, ok := w.readProgress("a nonce"); !ok || got != (Progress{Done: 1, Total: 3}) {
		t.Errorf("got %+v, %v; error %q, stderr %q", got, ok, w.config.Error, w.stderr)
	}
}

// Chef reads the value of a --config-option as YAML: whatever the state
// directory is called, Chef must take each path as it stands.
func TestChefTakesThePathsAsTheyStand(t *testing.T) {
	needChefConfig(t)
	for _, dir := range []string{
		"/var/lib/gurney/chef", "/srv/blue #2", "/srv/a: b", "/srv/a:", `/srv/"it's" \n`, "/srv/für Ελένη 🚑", "/srv/a = b",
		"/srv/end ", "/srv/two\nlines\tand\x01\x7f\u0085\u2028", "/srv/{a}, [b] & *c !d %e @f `g` ~ | > - ?",
	} {
		s := state{dir}
		args := arguments(Options{}, s)
		var options []string
		for i, a := range args {
			if a == "--config-option" {
				options = append(options, args[i+1])
			}
		}
		const script = `require "json"; require "chef-config/config"; c = ChefConfig::Config; c.apply_extra_config_options(ARGV); ` +
			`puts JSON.generate(%i[node_path file_cache_path file_backup_path chef_guid_path].map { |key| c[key] })`
		cmd := exec.Command("ruby", append([]string{"-e", script, "--"}, options...)...)
		cmd.Env = append(os.Environ(), "LC_ALL=C") // as in a service
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%q: %v: %s", dir, err, stderr.String())
			continue
		}
		var got []string
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%q: %v in %s", dir, err, out)
		}
		if want := []string{s.nodes(), s.cache(), s.backup(), s.guid()}; !reflect.DeepEqual(got, want) {
			t.Errorf("Chef takes %q, want %q", got, want)
		}
	}
}
