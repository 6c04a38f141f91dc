package standin_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestExitCodes(t *testing.T) {
	environment := []string{"environments/here.json", `{"name":"here","json_class":"Chef::Environment","chef_type":"environment"}`}
	for name, c := range map[string]struct {
		files []string
		args  []string // after the plain ones
		code  int
		want  string // in the output
	}{
		"success":           {recipe(`log "x"`), nil, 0, ""},
		"ignored failure":   {recipe(`execute "false" do`, `  ignore_failure true`, `end`), nil, 0, "ignore_failure"},
		"why-run":           {recipe(`execute "false"`), []string{"-W"}, 0, "would have been updated"},
		"failed resource":   {recipe(`execute "exit 7"`), nil, 1, "FATAL: Mixlib::ShellOut::ShellCommandFailed: execute[exit 7] (web::default line 1) had an error: "},
		"missing cookbook":  {[]string{"nodes/web.json", `{"run_list":["recipe[nope]"]}`}, nil, 1, "No such cookbook: nope"},
		"and its exception": {[]string{"nodes/web.json", `{"run_list":["recipe[nope]"]}`}, nil, 1, `412 "Precondition Failed"`},
		"missing recipe":    {[]string{"nodes/web.json", `{"run_list":["recipe[web::nope]"]}`}, nil, 1, "Chef::Exceptions::RecipeNotFound"},
		"missing role":      {[]string{"nodes/web.json", `{"run_list":["role[nope]"]}`}, nil, 1, "Chef::Exceptions::MissingRole"},
		"missing env":       {nil, []string{"-E", "nope"}, 1, `404 "Not Found"`},
		"env":               {environment, []string{"-E", "here"}, 0, ""},
		"compile error":     {recipe(`file "DIR/x"`, `raise "no such thing"`), nil, 1, "RuntimeError: no such thing"},
		"bad JSON":          {[]string{"nodes/web.json", `{"run_list":`}, nil, 1, "Could not parse the provided JSON file"},
		"two run lists":     {[]string{"nodes/web.json", `{"run_list":[],"recipes":[]}`}, nil, 1, ""},
		"absent JSON":       {nil, []string{"-j", "/nonexistent.json"}, 1, ""},
		"bad flag":          {nil, []string{"--no-such-flag"}, 1, "invalid option"},
		"reboot":            {recipe(`raise Chef::Exceptions::Reboot, "now"`), nil, 35, ""},
		"reboot pending":    {recipe(`raise Chef::Exceptions::RebootPending, "soon"`), nil, 37, ""},
		"upgraded":          {recipe(`raise Chef::Exceptions::ClientUpgraded, "again"`), nil, 213, ""},
		"config":            {[]string{"solo.rb", `raise "words of the config"`}, nil, 43, "words of the config"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, p program) {
				dir := repo(t, c.files...)
				code, out := p.run(t, dir, append(plain(dir), c.args...)...)
				if code != c.code || !strings.Contains(out, c.want) {
					t.Errorf("exit %d, want %d and %q: %s", code, c.code, c.want, out)
				}
			})
		})
	}
}

// Hazard 12: the words are in the last FATAL line, where Gurney looks.
func TestTheWordsOfAConfigAreInTheLastFatal(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, "solo.rb", `raise "words of the config"`)
		_, out := p.run(t, dir, plain(dir)...)
		fatal := regexp.MustCompile(`FATAL: .*`).FindAllString(out, -1)
		if len(fatal) == 0 || !strings.Contains(fatal[len(fatal)-1], "words of the config") {
			t.Errorf("got %q", fatal)
		}
	})
}

// What a recipe raises while it is read comes before any change.
func TestACompileErrorChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`file "DIR/x"`, `raise "no"`)...)
		p.run(t, dir, plain(dir)...)
		if _, ok := tree(t, dir)[filepath.Join(dir, "x")]; ok {
			t.Error("the resource before it ran")
		}
	})
}

// The stand-in reboots nothing, so this one is not for the real one.
func TestRebootResource(t *testing.T) {
	for action, after := range map[string]bool{"request_reboot": true, "reboot_now": false} {
		p := programs[0]
		dir := repo(t, recipe(`reboot "now" do`, `  action :`+action, `end`, `file "DIR/after"`)...)
		code, out := p.run(t, dir, plain(dir)...)
		_, ran := tree(t, dir)[filepath.Join(dir, "after")]
		if code != 35 || ran != after {
			t.Errorf("%s: exit %d, the resource after it ran: %v, want 35 and %v: %s", action, code, ran, after, out)
		}
	}
}

func TestLicense(t *testing.T) {
	for value, want := range map[string]int{"": 172, "nonsense": 172, "accept": 0, "accept-silent": 0, "accept-no-persist": 0} {
		each(t, func(t *testing.T, p program) {
			dir := repo(t)
			if code, out := p.with("CHEF_LICENSE="+value, "HOME="+dir).run(t, dir, plain(dir)...); code != want {
				t.Errorf("CHEF_LICENSE=%q: exit %d, want %d: %s", value, code, want, out)
			}
		})
	}
	dir := repo(t)
	if code, out := programs[0].with("CHEF_LICENSE=", "CHEF_STANDIN_VERSION=12").run(t, dir, plain(dir)...); code != 0 {
		t.Errorf("12 asks for a licence: exit %d: %s", code, out)
	}
}

func TestEverythingIsOnStdout(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, recipe(`execute "exit 7"`)...)
		c := p.start(t, dir, plain(dir)...)
		var errs strings.Builder
		c.Stderr = &errs
		if code := c.begin().end(); code != 1 || !strings.Contains(c.said(), "FATAL: ") || errs.Len() > 0 {
			t.Errorf("exit %d, stderr %q, stdout %s", code, errs.String(), c.said())
		}
	})
}

// What it can't do it says, and does not pass over.
func TestTheStandInSaysWhatItDoesNotKnow(t *testing.T) {
	for _, line := range []string{`package "nginx"`, `x = 1`, `file "/x" do`, `log node.run_state`, `%w(a).each do |x|`} {
		dir := repo(t, recipe(line, `  backup 5`, `end`)...)
		code, out := programs[0].run(t, dir, plain(dir)...)
		if code != 1 || !strings.Contains(out, "gurney's chef-solo stand-in doesn't know ") {
			t.Errorf("%s: exit %d: %s", line, code, out)
		}
	}
}

func TestNodeJSON(t *testing.T) {
	env := func(name string) []string {
		return []string{"environments/" + name + ".json", `{"name":"` + name + `","json_class":"Chef::Environment","chef_type":"environment"}`}
	}
	show := recipe(`file "DIR/saw" do`, `  content "#{node.chef_environment} #{node.name} #{node["name"]} #{node["labels"][0]} #{node["roles"][1]}"`, `end`)
	each(t, func(t *testing.T, p program) {
		dir := repo(t, slices.Concat(show, env("one"), env("two"), []string{
			"roles/outer.json", `{"name":"outer","json_class":"Chef::Role","chef_type":"role","run_list":["role[inner]"]}`,
			"roles/inner.rb", "name \"inner\"\nrun_list \"recipe[web]\"\n",
			"nodes/web.json", `{"run_list":["role[outer]"],"chef_environment":"one","labels":["t"]}`})...)
		p.must(t, dir, append(mended(dir, t.TempDir()), "-E", "two")...)
		if got, want := read(t, filepath.Join(dir, "saw")), "one web web t inner"; got != want {
			t.Errorf("got %q, want %q: chef_environment beats -E, and roles are expanded", got, want)
		}
		write(t, filepath.Join(dir, "nodes/web.json"), `{"recipes":["web"],"labels":[]}`)
		p.must(t, dir, append(mended(dir, t.TempDir()), "-E", "two")...)
		if got := read(t, filepath.Join(dir, "saw")); !strings.HasPrefix(got, "two web") {
			t.Errorf("got %q, want environment two, by recipes", got)
		}
	})
}

func TestOverrideRunList(t *testing.T) {
	each(t, func(t *testing.T, p program) {
		dir := repo(t, "cookbooks/web/recipes/other.rb", `log "the other recipe"`, "cookbooks/web/recipes/default.rb", `raise "not me"`)
		if out := p.must(t, dir, append(mended(dir, t.TempDir()), "-o", "recipe[web::other]")...); !strings.Contains(out, "the other recipe") {
			t.Error(out)
		}
	})
}
