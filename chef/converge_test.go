package chef

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestSuccess(t *testing.T) {
	files := append(recipe(`file "DIR/a"`, `file "DIR/b"`, `execute "true" do`, `  not_if "true"`, `end`),
		"roles/base.json", `{"name":"base","json_class":"Chef::Role","chef_type":"role","run_list":["recipe[web]"]}`,
		"nodes/web.json", `{"run_list":["role[base]"]}`)
	each(t, files, func(f fixture) {
		var last Progress
		f.OnProgress = func(p Progress) { last = p }
		v := f.succeed()
		if !v.Reported || v.Updated != 2 || v.Total != 3 || v.RunID == "" || v.Elapsed <= 0 || !reflect.DeepEqual(v.Roles, []string{"base"}) || v.Tail != "" {
			f.Errorf("got %+v", v)
		}
		if want := (Progress{3, 3}); last != want {
			f.Errorf("the last progress is %+v, want %+v", last, want)
		}
	})
}

func TestAFailedCommand(t *testing.T) {
	each(t, recipe(`execute "build" do`, `  command "echo the reason >&2; exit 7"`, `end`), func(f fixture) {
		v := f.converge()
		want := "execute[build] (web::default line 1): Mixlib::ShellOut::ShellCommandFailed: echo the reason >&2; exit 7 exited 7"
		if v.Success || v.Exit != 1 || v.Why != want || v.Tail != "STDERR: the reason" || v.Exception != "Mixlib::ShellOut::ShellCommandFailed" {
			f.Errorf("got %+v, want %q", v, want)
		}
	})
}

// What an end means, from the outside in.
func TestVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		files  []string
		change func(*Options)
		want   Verdict // Success, Reboot, Rerun, Exit, Reported
		why    string  // in Why
	}{
		"reboot":        {files: recipe(`raise Chef::Exceptions::Reboot, "x"`), want: Verdict{Success: true, Reboot: true, Exit: 35, Reported: true}},
		"reboot needed": {files: recipe(`raise Chef::Exceptions::RebootPending, "x"`), want: Verdict{Success: true, Reboot: true, Exit: 37, Reported: true}},
		"reboot failed": {files: recipe(`raise Chef::Exceptions::RebootFailed, "x"`), want: Verdict{Exit: 41, Reported: true}, why: "the reboot that a recipe asked for failed"},
		"rerun":         {files: recipe(`raise Chef::Exceptions::ClientUpgraded, "x"`), want: Verdict{Rerun: true, Exit: 213, Reported: true}, why: "wants to be run again"},
		"compile error": {files: recipe(`raise "no such thing"`), want: Verdict{Exit: 1, Reported: true}, why: "RuntimeError: no such thing"},
		"cookbook":      {files: []string{"nodes/web.json", `{"run_list":["recipe[nope]"]}`}, want: Verdict{Exit: 1, Reported: true}, why: "No such cookbook: nope"},
		"recipe":        {files: []string{"nodes/web.json", `{"run_list":["recipe[web::nope]"]}`}, want: Verdict{Exit: 1, Reported: true}, why: "Chef::Exceptions::RecipeNotFound: "},
		"role":          {files: []string{"nodes/web.json", `{"run_list":["role[nope]"]}`}, want: Verdict{Exit: 1, Reported: true}, why: "Chef::Exceptions::MissingRole: "},
		"no JSON":       {files: []string{"nodes/web.json", `{"run_list":`}, want: Verdict{Exit: 1}, why: "Could not parse the provided JSON file"},
		"recipes":       {files: []string{"nodes/web.json", `{"recipes":["web"]}`}, want: Verdict{Success: true, Reported: true}},
		"both":          {files: []string{"nodes/web.json", `{"run_list":["web"],"recipes":["web"]}`}, want: Verdict{Exit: 1, Reported: true}, why: "run_list"},
		"no licence":    {change: func(o *Options) { o.License, o.Env = "", []string{"CHEF_LICENSE=", "HOME=" + o.Release} }, want: Verdict{Exit: 172}, why: "chef.license"},
		"environment":   {change: func(o *Options) { o.Environment = "nope" }, want: Verdict{Exit: 1, Reported: true}, why: "most often an environment that the release does not have"},
		"licence":       {change: func(o *Options) { o.License = "no" }, want: Verdict{Exit: 172}, why: "chef.license"},
		"config":        {files: []string{"solo.rb", `raise "words"`}, want: Verdict{Exit: 43}, why: "words"},
		"run list":      {files: append(recipe(`raise "x"`), "cookbooks/web/recipes/other.rb", ""), change: func(o *Options) { o.RunList = []string{"web::other"} }, want: Verdict{Success: true, Reported: true}},
		"why-run":       {files: recipe(`execute "false"`), change: func(o *Options) { o.WhyRun = true }, want: Verdict{Success: true, Reported: true}},
		"log level":     {change: func(o *Options) { o.LogLevel = "warn" }, want: Verdict{Success: true, Reported: true}},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, c.files, func(f fixture) {
				if c.change != nil {
					c.change(&f.Options)
				}
				v := f.converge()
				got := Verdict{Success: v.Success, Reboot: v.Reboot, Rerun: v.Rerun, Exit: v.Exit, Reported: v.Reported}
				if !reflect.DeepEqual(got, c.want) || !strings.Contains(v.Why, c.why) || (v.Why == "") != (c.why == "") {
					f.Errorf("got %+v, want %+v and %q: %s", v, c.want, c.why, f.read(f.Output))
				}
			})
		})
	}
}

// What 12 to 18 and Cinc say differently, as far as the stand-in plays them.
func TestEveryVersion(t *testing.T) {
	for _, env := range []string{"12", "13", "14", "15", "16", "17", "18", "17 cinc"} {
		t.Run(env, func(t *testing.T) {
			version, product, _ := strings.Cut(env, " ")
			f := release(t, commands["stand-in"], recipe(`execute "true"`, `execute "false" do`, `  not_if "true"`, `end`)...)
			f.Env = []string{"CHEF_STANDIN_VERSION=" + version, "CHEF_STANDIN_PRODUCT=" + product}
			f.succeed()
			if v := judge(evidence{text: f.read(f.Output)}); v.Updated != 1 || v.Total != 2 {
				t.Errorf("of the output alone: %+v", v)
			}
			write(t, filepath.Join(f.Release, "solo.rb"), `raise "words"`)
			if v := f.converge(); v.Success || v.Why != "words" {
				t.Errorf("a bad configuration: %+v", v)
			}
		})
	}
}

// The release's path is whatever dest is: with blanks, and behind a link.
func TestAReleaseBehindALink(t *testing.T) {
	each(t, recipe(`file "DIR/ran"`), func(f fixture) {
		link := f.beside("a link")
		if err := os.Symlink(f.Release, link); err != nil {
			f.Fatal(err)
		}
		f.Release, f.JSON = link, filepath.Join(link, "nodes", "web.json")
		f.succeed()
		f.read(f.beside("ran"))
	})
}

// A recipe prints what looks like Chef's last words.
func TestFakesInTheOutput(t *testing.T) {
	files := recipe(`execute "fake" do`,
		`  command "echo; echo 'Infra Phase complete, 98/99 resources updated in 01 seconds'; echo 'FATAL: Fake::Error: a lie'"`,
		`  live_stream true`, `end`, `raise_later "x"`)
	files[1] = strings.Replace(files[1], `raise_later "x"`, `execute "exit 3"`, 1)
	each(t, files, func(f fixture) {
		v := f.converge()
		if v.Success || v.Updated != 1 || v.Total != 2 || strings.Contains(v.Why, "lie") || !strings.Contains(v.Why, "exited 3") {
			f.Errorf("with the handler: %+v", v)
		}
		// Without the handler's report the output must do.
		v = judge(evidence{exit: ending{code: 1}, text: f.read(f.Output)})
		if v.Success || v.Updated != 1 || strings.Contains(v.Why, "lie") || !strings.Contains(v.Why, "exited 3") {
			f.Errorf("without the handler: %+v", v)
		}
	})
}

// A run that comes to nothing must not be judged by the run before.
func TestAFormerReportIsNoReport(t *testing.T) {
	each(t, recipe(`log "x"`), func(f fixture) {
		f.succeed()
		f.License = "no"
		if v := f.converge(); v.Success || v.Reported || v.RunID != "" {
			f.Errorf("got %+v", v)
		}
	})
}

// Hazard 11: it turns 35 into 1 and leaves the worker behind.
func TestArgumentsNeverFork(t *testing.T) {
	o := Options{Release: "/r", State: "/s", Node: "n", JSON: "/r/nodes/n.json", Environment: "e", RunList: []string{"a", "b"}, LogLevel: "info", WhyRun: true}
	for _, arg := range arguments(o, state{"/s"}) {
		if arg == "--fork" || arg == "-f" {
			t.Error(arg)
		}
	}
}

func TestTheFormerOutputIsKept(t *testing.T) {
	each(t, recipe(`log "#{node["say"]}"`), func(f fixture) {
		for _, say := range []string{"first", "second", "third"} {
			write(f.T, f.JSON, `{"run_list":["recipe[web]"],"say":"`+say+` words"}`)
			f.Append = say == "third"
			f.succeed()
		}
		if old := f.read(f.Output + ".1"); !strings.Contains(old, "first words") {
			f.Errorf("%s.1: %s", f.Output, old)
		}
		if out := f.read(f.Output); !strings.Contains(out, "second words") || !strings.Contains(out, "third words") || strings.Contains(out, "first words") {
			f.Error(out)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for want, change := range map[string]func(*Options){
		`release path "r" is not absolute`:          func(o *Options) { o.Release = "r" },
		`output path "" is not absolute`:            func(o *Options) { o.Output = "" },
		`chef.config "../solo.rb" is not inside`:    func(o *Options) { o.Config = "../solo.rb" },
		`"a/b" is no name for a Chef node`:          func(o *Options) { o.Node = "a/b" },
		`solo.d is not a file`:                      func(o *Options) { o.Config = "solo.d" },
		`nodes/none.json: no such file`:             func(o *Options) { o.JSON += "/../none.json" },
		`start chef-solo: fork/exec /nonexistent: `: func(o *Options) { o.Command = "/nonexistent" },
	} {
		f := release(t, commands["stand-in"], "solo.d/a.rb", "")
		if change(&f.Options); strings.Contains(f.JSON, "..") {
			f.JSON = strings.Replace(f.JSON, "web.json/../", "", 1)
		}
		_, err := Converge(context.Background(), f.Options)
		var start *StartError
		if !errors.As(err, &start) || start.Transient() || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestFindAndVersion(t *testing.T) {
	t.Setenv("CHEF_SOLO", commands["stand-in"])
	path, err := Find("")
	if err != nil || path != commands["stand-in"] {
		t.Fatalf("got %q, %v", path, err)
	}
	for env, want := range map[string]Version{
		"18": {"Chef Infra Client", "18.10.107", true},
		"12": {"Chef", "12.22.5", true},
	} {
		t.Setenv("CHEF_STANDIN_VERSION", env)
		if v, err := GetVersion(context.Background(), path); err != nil || v != want {
			t.Errorf("got %+v, %v, want %+v", v, err, want)
		}
	}
}

func TestFindSaysWhatNamedIt(t *testing.T) {
	for name, set := range map[string]func() string{
		"chef.command": func() string { return "/nonexistent/chef-solo" },
		"CHEF_SOLO":    func() string { t.Setenv("CHEF_SOLO", "/nonexistent/chef-solo"); return "" },
	} {
		_, err := Find(set())
		var start *StartError
		if !errors.As(err, &start) || start.Transient() || !strings.HasPrefix(err.Error(), name+" names no program that can be run: ") || !strings.Contains(err.Error(), "/nonexistent/chef-solo") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A relative path is one from here: chef-solo is started in the release, which
// must not bring its own.
func TestFindMakesThePathAbsolute(t *testing.T) {
	t.Chdir(filepath.Dir(commands["stand-in"]))
	t.Setenv("CHEF_SOLO", "./chef-solo")
	if path, err := Find(""); err != nil || path != commands["stand-in"] {
		t.Errorf("got %q, %v, want %s", path, err, commands["stand-in"])
	}
}

// A stand-in on PATH is found as any chef-solo is, and says what it is.
func TestFindOnPath(t *testing.T) {
	t.Setenv("CHEF_SOLO", "")
	t.Setenv("PATH", filepath.Dir(commands["stand-in"]))
	path, err := Find("")
	if err != nil || path != commands["stand-in"] {
		t.Fatalf("got %q, %v", path, err)
	}
	if v, err := GetVersion(context.Background(), path); err != nil || !v.StandIn || !strings.Contains(v.String(), "stand-in") {
		t.Errorf("got %+v, %v", v, err)
	}
	t.Setenv("PATH", t.TempDir())
	defer func(places []string) { usualPlaces = places }(usualPlaces)
	usualPlaces = nil
	if _, err := Find(""); err == nil || !strings.Contains(err.Error(), "no chef-solo in PATH") {
		t.Errorf("got %v", err)
	}
}
