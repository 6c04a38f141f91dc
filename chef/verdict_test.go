package chef

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// logged is a line of Chef's log.
func logged(level, text string) string {
	return "[2026-03-01T04:05:06+00:00] " + level + ": " + text + "\n"
}

// framed is how Chef's formatter tells of an error.
func framed(title, body string) string {
	rule := strings.Repeat("=", 80) + "\n"
	return "\n" + rule + title + "\n" + rule + "\n" + body + "\n\nSystem Info:\n------------\nchef_version=18.10.107\n\n"
}

// dumped are the FATAL lines before the last.
var dumped = logged("FATAL", "Stacktrace dumped to /s/cache/chef-stacktrace.out") +
	logged("FATAL", "---------------------------------------------------------------------------------------") +
	logged("FATAL", "PLEASE PROVIDE THE CONTENTS OF THE stacktrace.out FILE (above) IF YOU FILE A BUG REPORT") +
	logged("FATAL", "---------------------------------------------------------------------------------------")

// The last words of every version since 12, of Chef and of Cinc.
func TestTheSummaryOfEveryVersion(t *testing.T) {
	for line, want := range map[string][2]int{
		"Infra Phase complete, 6/7 resources updated in 01 seconds":                                                                                                    {6, 7},
		"Infra Phase complete, 6/7 resources updated in 01 minutes 02 seconds":                                                                                         {6, 7},
		"Infra Phase complete, 1234/5678 resources updated in 01 hours 02 minutes 03 seconds":                                                                          {1234, 5678},
		"Infra Phase complete, 3/7 resources would have been updated":                                                                                                  {3, 7},
		"Infra Phase failed. 3 resources updated in 01 seconds":                                                                                                        {3, 0},
		"Infra Phase failed. 2 resources would have been updated":                                                                                                      {2, 0},
		"Chef Infra Client finished, 2/7 resources updated in 01 seconds":                                                                                              {2, 7},
		"Chef Infra Client failed. 2 resources updated in 01 hours 00 minutes 59 seconds":                                                                              {2, 0},
		"Chef Client finished, 5/5 resources updated in 10 seconds":                                                                                                    {5, 5},
		"Chef Client finished, 5/9 resources would have been updated":                                                                                                  {5, 9},
		"Chef Client failed. 0 resources updated in 02 seconds":                                                                                                        {0, 0},
		"Cinc Client finished, 4/4 resources updated in 09 minutes 00 seconds":                                                                                         {4, 4},
		"Cinc Client failed. 1 resources updated in 01 seconds":                                                                                                        {1, 0},
		"Infra Phase complete, 98/99 resources updated in 01 seconds\nInfra Phase complete, 1/2 resources updated in 01 seconds":                                       {1, 2},
		"Infra Phase complete, 1/2 resources updated in 01 seconds\n    Infra Phase complete, 98/99 resources updated in 01 seconds":                                   {1, 2},
		"Infra Phase complete, 1/2 resources updated in 01 seconds\n" + logged("WARN", "This release of Chef Infra Client became end of life (EOL) on Nov 30th 2022."): {1, 2},
		"No key detected\nInfra Phase complete, 1/2 resources updated in 01 seconds\nNo key detected":                                                                  {1, 2},
	} {
		v := judge(evidence{text: "Compiling cookbooks...\n" + line + "\n"})
		if !v.Success || v.Updated != want[0] || v.Total != want[1] {
			t.Errorf("%q: %+v, want %v", line, v, want)
		}
	}
}

// What a person reads at three in the morning, of output alone: Gurney's
// handler is not called for all of these.
func TestWhy(t *testing.T) {
	resource := "execute[build] (web::default line 3) had an error: Mixlib::ShellOut::ShellCommandFailed: Expected process to exit with [0], but received '7'\n" +
		"---- Begin output of make ----\nSTDOUT: \nSTDERR: no rule\n---- End output of make ----\nRan make returned 7"
	for name, c := range map[string]struct {
		exit int
		text string
		why  string
		tail string // in Tail
	}{
		"resource": {1, dumped + logged("FATAL", "Mixlib::ShellOut::ShellCommandFailed: "+resource) + "No key detected\n",
			"execute[build] (web::default line 3): Mixlib::ShellOut::ShellCommandFailed: make exited 7", "STDERR: no rule"},
		"several": {1, dumped + logged("FATAL", "Chef::Exceptions::MultipleFailures: Multiple failures occurred:\n* Mixlib::ShellOut::ShellCommandFailed occurred in chef run: "+resource+
			"\n* Errno::ENOENT occurred in delayed notification: service[web] (web::default line 9) had an error: Errno::ENOENT: No such file or directory - x\n"),
			"execute[build] (web::default line 3): Mixlib::ShellOut::ShellCommandFailed: make exited 7 (and 1 more)", "STDERR: no rule"},
		"compile": {1, framed("Recipe Compile Error in /s/cache/cookbooks/web/recipes/default.rb",
			"NoMethodError\n-------------\nundefined method `fil'\n\nCookbook Trace:\n---------------\n  /s/cache/cookbooks/web/recipes/setup.rb:34:in `from_file'\n  /s/cache/cookbooks/web/recipes/default.rb:2:in `from_file'") +
			dumped + logged("FATAL", "NoMethodError: undefined method `fil' for cookbook: web, recipe: setup :Chef::Recipe"),
			"web/recipes/setup.rb:34: NoMethodError: undefined method `fil' for cookbook: web, recipe: setup :Chef::Recipe", ""},
		"cookbook": {1, framed("Error Resolving Cookbooks for Run List:", "Missing Cookbooks:\n------------------\nNo such cookbook: nope\n\nExpanded Run List:\n------------------\n* nope") +
			dumped + logged("FATAL", `Net::HTTPClientException: 412 "Precondition Failed"`), "No such cookbook: nope", "Expanded Run List:"},
		"version": {1, framed("Error Resolving Cookbooks for Run List:", "Missing Cookbooks:\n------------------\nCould not satisfy version constraints for: nginx") +
			dumped + logged("FATAL", `Net::HTTPServerException: 412 "Precondition Failed"`), "Could not satisfy version constraints for: nginx", "nginx"},
		"pinned": {1, framed("Error Resolving Cookbooks for Run List:", "Missing Cookbooks:\n------------------\nNo such cookbook version for cookbook nginx: 9.0.0") +
			dumped + logged("FATAL", `Net::HTTPServerException: 412 "Precondition Failed"`), "No such cookbook version for cookbook nginx: 9.0.0", ""},
		"unsolvable": {1, framed("Error Resolving Cookbooks for Run List:", "Missing Cookbooks:\n------------------\nUnsolvable versions!") +
			dumped + logged("FATAL", `Net::HTTPClientException: 412 "Precondition Failed"`), "the cookbooks' versions exclude each other", ""},
		"environment": {1, dumped + logged("FATAL", `Net::HTTPClientException: 404 "Not Found"`),
			`Net::HTTPClientException: 404 "Not Found": most often an environment that the release does not have`, ""},
		"data bag item": {1, logged("ERROR", `Failed to load data bag item: "users" "bob"`) + dumped + logged("FATAL", `Net::HTTPClientException: 404 "Not Found"`),
			`Net::HTTPClientException: 404 "Not Found": the release has no data bag item "users" "bob"`, ""},
		"data bag": {1, logged("ERROR", `Failed to list data bag items in data bag: "users"`) + dumped + logged("FATAL", `Net::HTTPClientException: 404 "Not Found"`),
			`Net::HTTPClientException: 404 "Not Found": the release has no data bag "users"`, ""},
		"download": {1, dumped + logged("FATAL", `Net::HTTPClientException: remote_file[/x] (web::default line 3) had an error: Net::HTTPClientException: 404 "Not Found"`),
			`remote_file[/x] (web::default line 3): Net::HTTPClientException: 404 "Not Found"`, ""},
		"lazy": {1, logged("ERROR", `Failed to load data bag item: "users" "bob"`) + dumped + logged("FATAL", `Net::HTTPClientException: file[/x] (web::default line 3) had an error: Net::HTTPClientException: 404 "Not Found"`),
			`file[/x] (web::default line 3): Net::HTTPClientException: 404 "Not Found": the release has no data bag item "users" "bob"`, ""},
		"search": {1, framed("Recipe Compile Error in /s/cache/cookbooks/web/recipes/default.rb", "x") + dumped + logged("FATAL", `Net::HTTPClientException: 404 "Not Found"`),
			`web/recipes/default.rb: Net::HTTPClientException: 404 "Not Found"`, ""},
		"zero": {1, dumped + logged("FATAL", `Net::HTTPFatalError: 500 "Internal Server Error"`),
			`Net::HTTPFatalError: 500 "Internal Server Error": most often a role, environment or data bag that is no JSON, or a full disk`, ""},
		"role":      {1, dumped + logged("FATAL", "Chef::Exceptions::MissingRole: The expanded run list includes nonexistent role(s): nope"), "Chef::Exceptions::MissingRole: The expanded run list includes nonexistent role(s): nope", ""},
		"recipe":    {1, dumped + logged("FATAL", "Chef::Exceptions::RecipeNotFound: could not find recipe nope for cookbook web"), "Chef::Exceptions::RecipeNotFound: could not find recipe nope for cookbook web", ""},
		"JSON":      {1, logged("FATAL", "Could not parse the provided JSON file (/r/nodes/web.json): parse error: premature EOF\n                     {\"run_list\":\n           (right here) ------^"), "Could not parse the provided JSON file (/r/nodes/web.json): parse error: premature EOF", "(right here)"},
		"both":      {1, dumped + logged("FATAL", "Chef::Exceptions::AmbiguousRunlistSpecification: please set the node's run list using the 'run_list' attribute only."), "Chef::Exceptions::AmbiguousRunlistSpecification: please set the node's run list using the 'run_list' attribute only.", ""},
		"INT":       {2, "  * execute[build] action run" + logged("FATAL", "SIGINT received, stopping") + dumped, "somebody stopped chef-solo with signal INT, last at execute[build] action run", "execute[build]"},
		"TERM":      {3, logged("FATAL", "SIGTERM received, stopping"), "somebody stopped chef-solo with signal TERM", ""},
		"boot":      {128 + 15, "", "chef-solo was ended by signal TERM", ""},
		"killed":    {128 + 9, "  * execute[build] action run\n", "chef-solo was ended by signal KILL, last at execute[build] action run (out of memory?)", ""},
		"reboot":    {41, dumped + logged("FATAL", "Chef::Exceptions::RebootFailed: x"), "the reboot that a recipe asked for failed", "RebootFailed"},
		"audit":     {42, "", "Chef's audit failed", ""},
		"config":    {43, logged("FATAL", "Configuration error RuntimeError: gurney: cookbook_path /x is outside") + logged("FATAL", "  /s/wrapper.rb:61:in `block'") + logged("FATAL", "Aborting due to error in '/s/wrapper.rb': gurney: cookbook_path /x is outside"), "cookbook_path /x is outside", ""},
		"config 15": {1, logged("FATAL", "Configuration error RuntimeError: gurney: cookbook_path /x is outside") + logged("FATAL", "  /s/wrapper.rb:61:in `block'") + logged("FATAL", "Aborting due to error in '/s/wrapper.rb'"), "cookbook_path /x is outside", ""},
		"config 12": {2, logged("FATAL", "Configuration error SyntaxError: /r/solo.rb:3: syntax error") + logged("FATAL", "Aborting due to error in '/s/wrapper.rb'"), "/r/solo.rb:3: syntax error", ""},
		"licence":   {172, "Chef License Acceptance\n", "Chef's licence is not accepted: set chef.license to accept-no-persist, once you accept it", ""},
		"entitled":  {173, "", "Chef's licence does not entitle this node: see `chef-solo --license-list` there", ""},
		"key":       {174, "", "Chef wants a licence key: set CHEF_LICENSE_KEY for Gurney's service", ""},
		"ruby":      {1, "/opt/chef/embedded/lib/ruby/3.1.0/rubygems.rb:283:in `find_spec_for_exe': can't find gem chef (>= 0.a) with executable chef-solo (Gem::GemNotFoundException)\n\tfrom /opt/chef/bin/chef-solo:25:in `<main>'\n", "chef-solo ended with exit 1: Gem::GemNotFoundException: can't find gem chef (>= 0.a) with executable chef-solo", "rubygems.rb:283"},
		"ruby 3.4":  {1, "/x/chef-solo:3:in 'Kernel#require': cannot load such file -- chef (LoadError)\n", "chef-solo ended with exit 1: LoadError: cannot load such file -- chef", ""},
		"option":    {1, "Error: invalid option: --config-option\n\nUsage: chef-solo (options)\n    -v, --version    Show version\n", "chef-solo ended with exit 1: invalid option: --config-option", ""},
		"words":     {1, "no such interpreter\n", "chef-solo ended with exit 1; its last words: no such interpreter", ""},
		"noise":     {1, "No key detected\n", "chef-solo ended with exit 1 and said nothing of it", ""},
		"silence":   {1, "", "chef-solo ended with exit 1 and said nothing of it", ""},
	} {
		end := ending{code: c.exit}
		if c.exit > 128 && c.exit < 160 {
			end.signal = syscall.Signal(c.exit - 128)
		}
		v := judge(evidence{exit: end, text: c.text})
		if v.Success || v.Rerun || v.Busy || v.Why != c.why || !strings.Contains(v.Tail, c.tail) {
			t.Errorf("%s: %+v, want %q and %q in the tail", name, v, c.why, c.tail)
		}
		if killed := c.exit == 2 && name == "INT" || c.exit == 3 || end.signal != 0; v.Killed != killed {
			t.Errorf("%s: killed %v, want %v", name, v.Killed, killed)
		}
	}
}

// Codes that are no failures, with the handler's word and without it.
func TestCodesThatAreNoFailure(t *testing.T) {
	for code, want := range map[int]Verdict{35: {Success: true, Reboot: true}, 37: {Success: true, Reboot: true}, 213: {Rerun: true}} {
		for _, r := range []*handled{nil, {Completed: true, Exception: "Chef::Exceptions::Reboot"}, {Completed: false, Exception: "Chef::Exceptions::RebootPending"}} {
			v := judge(evidence{exit: ending{code: code}, report: r})
			if got := (Verdict{Success: v.Success, Reboot: v.Reboot, Rerun: v.Rerun}); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%d with %+v: %+v, want %+v", code, r, v, want)
			}
		}
	}
	if v := judge(evidence{exit: ending{code: 35}, report: &handled{Exception: "RuntimeError", Message: "x"}}); v.Success || v.Reboot || v.Why != "RuntimeError: x" {
		t.Errorf("a failure before the reboot: %+v", v)
	}
}

func TestABusyLock(t *testing.T) {
	for text, pid := range map[string]int{
		"Unable to acquire lock. Waited 0 seconds for 29583 to release.": 29583,
		"Unable to acquire lock. Waited 0 seconds for  to release.":      0,
	} {
		v := judge(evidence{exit: ending{code: 1}, text: logged("FATAL", "Chef::Exceptions::RunLockTimeout: "+text)})
		if !v.Busy || v.BusyPID != pid || v.Success || v.Killed || v.Why == "" {
			t.Errorf("%s: %+v", text, v)
		}
	}
	// A recipe of a run that had the lock says the same.
	v := judge(evidence{exit: ending{code: 1}, report: &handled{Exception: "RuntimeError", Message: "x"}, text: logged("FATAL", "Chef::Exceptions::RunLockTimeout: Waited 0 seconds for 1 to release.")})
	if v.Busy {
		t.Errorf("got %+v", v)
	}
}

// A stop of ours is told as ours, whatever Chef says of it.
func TestAStopOfOurs(t *testing.T) {
	text := "  * execute[build] action run\n" + logged("FATAL", "SIGINT received, stopping")
	v := judge(evidence{exit: ending{code: 2, interrupted: true}, text: text})
	if !v.Interrupted || v.Killed || v.Why != "interrupted, last at execute[build] action run" {
		t.Errorf("got %+v", v)
	}
	v = judge(evidence{exit: ending{code: 2, timedOut: true}, timeout: time.Minute, text: text})
	if !v.TimedOut || v.Killed || v.Why != "timed out after 1m0s, last at execute[build] action run" {
		t.Errorf("got %+v", v)
	}
}
