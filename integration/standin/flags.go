package standin

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// flags are the arguments of chef-solo that the stand-in knows.
type flags struct {
	config      string
	json        string
	node        string
	lockfile    string
	environment string
	logLevel    string
	license     string
	runList     []string
	options     map[string]string // of --config-option
	lockTimeout time.Duration     // negative: wait for ever
	override    bool              // -o was given
	whyRun      bool
	fork        bool
	version     bool
	help        bool
}

// flag is one of chef-solo's flags: where its value goes, or what it switches.
type flag struct {
	short, long string
	take        func(value string) *exception
	switched    func()
}

func (f *flags) known() []flag {
	text := func(into *string) func(string) *exception {
		return func(v string) *exception { *into = v; return nil }
	}
	set := func(into *bool, to bool) func() { return func() { *into = to } }
	var ignored string
	return []flag{
		{"-c", "--config", text(&f.config), nil},
		{"-j", "--json-attributes", text(&f.json), nil},
		{"-N", "--node-name", text(&f.node), nil},
		{"-E", "--environment", text(&f.environment), nil},
		{"-l", "--log_level", text(&f.logLevel), nil},
		{"-F", "--format", text(&ignored), nil},
		{"", "--lockfile", text(&f.lockfile), nil},
		{"", "--chef-license", text(&f.license), nil},
		{"-o", "--override-runlist", f.takeRunList, nil},
		{"", "--run-lock-timeout", f.takeLockTimeout, nil},
		{"", "--config-option", f.takeOption, nil},
		{"-W", "--why-run", nil, set(&f.whyRun, true)},
		{"-f", "--fork", nil, set(&f.fork, true)},
		{"", "--no-fork", nil, set(&f.fork, false)},
		{"-v", "--version", nil, set(&f.version, true)},
		{"-h", "--help", nil, set(&f.help, true)},
		{"", "--no-color", nil, func() {}},
		{"", "--color", nil, func() {}},
	}
}

func (f *flags) takeRunList(v string) *exception {
	f.override, f.runList = true, nil
	for _, item := range strings.Split(v, ",") {
		if item = strings.TrimSpace(item); item != "" {
			f.runList = append(f.runList, item)
		}
	}
	return nil
}

func (f *flags) takeLockTimeout(v string) *exception {
	seconds, err := strconv.Atoi(v)
	if err != nil || seconds < 0 {
		return &exception{class: "OptionParser::InvalidArgument", message: "invalid argument: --run-lock-timeout " + v}
	}
	f.lockTimeout = time.Duration(seconds) * time.Second
	return nil
}

func (f *flags) takeOption(v string) *exception {
	key, value, ok := strings.Cut(v, "=")
	if !ok {
		return &exception{class: "ChefConfig::UnparsableConfigOption", message: "Unparsable config option " + strconv.Quote(v), exit: exitConfig}
	}
	var read any // it is YAML
	if err := yaml.Unmarshal([]byte(value), &read); err != nil {
		return &exception{class: "Psych::SyntaxError", message: err.Error()}
	}
	f.options[key] = fmt.Sprint(read)
	return nil
}

// parseFlags reads arguments as Ruby's OptionParser does: `-c FILE`, `-cFILE`,
// `--config FILE`, `--config=FILE`; switches can't be joined.
func parseFlags(args []string) (*flags, *exception) {
	f := &flags{options: map[string]string{}, lockTimeout: -1}
	known := f.known()
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			continue // a recipe file; Gurney passes none
		}
		found, value, joined := find(known, arg)
		switch {
		case found == nil:
			return nil, &exception{class: "OptionParser::InvalidOption", message: "invalid option: " + arg}
		case found.take == nil:
			found.switched()
			continue
		case !joined && len(args) == 0:
			return nil, &exception{class: "OptionParser::MissingArgument", message: "missing argument: " + arg}
		case !joined:
			value, args = args[0], args[1:]
		}
		if e := found.take(value); e != nil {
			return nil, e
		}
	}
	return f, nil
}

func find(known []flag, arg string) (found *flag, value string, joined bool) {
	name := arg
	if strings.HasPrefix(arg, "--") {
		name, value, joined = strings.Cut(arg, "=")
		name = strings.Replace(name, "--log-level", "--log_level", 1)
	} else if len(arg) > 2 {
		name, value, joined = arg[:2], arg[2:], true
	}
	for i, k := range known {
		if (name == k.short || name == k.long) && (k.take != nil || !joined) {
			return &known[i], value, joined
		}
	}
	return nil, "", false
}
