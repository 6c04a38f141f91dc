package standin

import (
	"slices"
	"strconv"
	"strings"
)

// actions are the resources that the stand-in knows, each with its default.
var actions = map[string]string{
	"execute": "run", "file": "create", "directory": "create", "log": "write", "reboot": "nothing", "service": "nothing",
}

// properties are those that are read. Some are taken and change nothing here.
var properties = map[string]bool{
	"action": true, "command": true, "content": true, "cwd": true, "delay_mins": true, "environment": true,
	"group": true, "ignore_failure": true, "level": true, "live_stream": true, "message": true, "mode": true,
	"not_if": true, "only_if": true, "owner": true, "path": true, "reason": true, "recursive": true,
	"returns": true, "sensitive": true,
}

func knownNames() string {
	names := []string{"if", "include_recipe", "raise", "sleep"}
	for name := range actions {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// prop is a property as text, or what stands for one that is not set.
func (r *resource) prop(key, otherwise string) string {
	if v, ok := r.props[key]; ok {
		return text(v)
	}
	return otherwise
}

func (r *resource) actions() []string {
	if list := texts(r.props["action"]); len(list) > 0 {
		return list
	}
	return []string{actions[r.kind]}
}

// act does one action of a resource; changes are what was done, none when all
// was as it should be.
func (c *run) act(r *resource, action string) (changes []string, e *exception) {
	c.out.printf("  * %s action %s", r, action)
	guard, e := c.guarded(r)
	switch {
	case e != nil:
	case guard != "":
		c.out.printf(" (skipped due to %s)\n", guard)
		return nil, nil
	case action == "nothing":
	case r.kind == "execute":
		changes, e = c.execute(r)
	case r.kind == "file":
		changes, e = c.file(r, action)
	case r.kind == "directory":
		changes, e = c.directory(r, action)
	case r.kind == "reboot":
		changes, e = c.reboot(r, action)
	case r.kind == "log":
		c.out.printf("\n  \n")
		c.out.log(strings.ToUpper(r.prop("level", "info")), "%s", r.prop("message", r.name))
		if c.major < 16 {
			return []string{"write"}, nil
		}
		return nil, nil
	}
	if e != nil {
		c.out.printf("\n")
		return nil, e
	}
	if len(changes) == 0 {
		c.out.printf(" (up to date)\n")
		return nil, nil
	}
	c.out.printf("\n")
	for _, change := range changes {
		if c.whyRun {
			change = "Would " + change
		}
		c.out.printf("    - %s\n", change)
	}
	return changes, nil
}

// guarded returns the guard that forbids the resource.
func (c *run) guarded(r *resource) (string, *exception) {
	for _, guard := range []string{"not_if", "only_if"} {
		if r.props[guard] == nil {
			continue
		}
		code, _, _, e := c.shell(r.prop(guard, ""), r)
		if e != nil {
			return "", e
		}
		if (code == 0) == (guard == "not_if") {
			return guard, nil
		}
	}
	return "", nil
}

func (c *run) execute(r *resource) ([]string, *exception) {
	line := r.prop("command", r.name)
	if c.whyRun {
		return []string{"execute " + line}, nil
	}
	code, stdout, stderr, e := c.shell(line, r)
	if e != nil {
		return nil, e
	}
	returns := texts(r.props["returns"])
	if returns == nil {
		returns = []string{"0"}
	}
	if !slices.Contains(returns, strconv.Itoa(code)) {
		return nil, raise("Mixlib::ShellOut::ShellCommandFailed",
			"Expected process to exit with [%s], but received '%d'\n---- Begin output of %s ----\nSTDOUT: %s\nSTDERR: %s\n---- End output of %s ----\nRan %s returned %d",
			strings.Join(returns, ", "), code, line, strings.TrimSpace(stdout), strings.TrimSpace(stderr), line, line, code)
	}
	return []string{"execute " + line}, nil
}

// reboot reboots nothing: it only ends the run as Chef would.
func (c *run) reboot(r *resource, action string) ([]string, *exception) {
	switch action {
	case "reboot_now":
		return nil, rebooting(r)
	case "request_reboot":
		c.rebootAfter = r
	case "cancel":
		c.rebootAfter = nil
	default:
		return nil, raise("Chef::Exceptions::ValidationFailed", "Option action must be equal to one of: nothing, request_reboot, reboot_now, cancel! You passed :%s.", action)
	}
	return []string{action}, nil
}

func rebooting(r *resource) *exception {
	return raise("Chef::Exceptions::Reboot", "Rebooting server at a recipe's request. Details: %s", r)
}
