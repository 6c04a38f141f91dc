package standin

import (
	"os"
	"path/filepath"
	"strings"
)

// config is what the stand-in takes of Chef::Config.
type config struct {
	file    string         // solo.rb, also when a wrapper came first
	values  map[string]any // what the files set, and --config-option after them
	wrapper *wrapper       // nil: not Gurney's
	found   bool           // there was a file
}

// loadConfig reads the file of -c. A missing one is only a warning in Chef,
// which then goes on with what it finds beside the working directory.
func loadConfig(f *flags, out *output, major int) (*config, *exception) {
	path := f.config
	if path == "" {
		path = "/etc/chef/solo.rb"
	}
	path = absolute(path)
	c := &config{file: path, values: map[string]any{}}
	data, err := os.ReadFile(path)
	if err != nil {
		out.log("WARN", "Did not find config file: %s. Using command line options instead.", path)
	} else if e := c.load(path, string(data)); e != nil {
		out.log("FATAL", "Configuration error %v", e)
		return nil, e.inConfig(path, major)
	}
	c.found = err == nil
	for key, value := range f.options {
		c.values[key] = value
	}
	return c, nil
}

// inConfig is the exception as the last line tells of it: with the file at
// fault, and since 16 with the words, which others have in the line before.
func (e *exception) inConfig(path string, major int) *exception {
	message := "Aborting due to error in '" + path + "'"
	if major >= 16 {
		message += ": " + e.message
	}
	return &exception{message: message, exit: exitConfig}
}

func (c *config) load(path, content string) *exception {
	w, e := readWrapper(content)
	if e != nil {
		return e
	}
	if w == nil {
		return c.evaluate(path, content)
	}
	c.wrapper, c.file = w, w.config
	solo, err := os.ReadFile(w.config)
	if err != nil {
		return raise("Errno::ENOENT", "No such file or directory @ rb_sysopen - %s", w.config)
	}
	if e := c.evaluate(w.config, string(solo)); e != nil {
		return e
	}
	return w.check(c)
}

// evaluate reads the statements `key value` of a configuration.
func (c *config) evaluate(path, content string) *exception {
	s := &scope{file: path, config: c.values}
	for _, line := range statements(content) {
		if e := s.parse(line.text, func(p *parser) { c.statement(p) }); e != nil {
			return e
		}
	}
	return nil
}

func (c *config) statement(p *parser) {
	word := p.word()
	switch word {
	case "":
		panic(raise("SyntaxError", "unexpected %q", strings.TrimSpace(p.text)))
	case "raise":
		panic(raise("RuntimeError", "%s", text(p.expr())))
	case "require":
		p.expr()
		return
	case "log_location":
		p.at = len(p.text) // STDOUT, most often; the stand-in has no other
		return
	}
	p.has("=")
	c.values[word] = p.expr()
}

func absolute(path string) string {
	full, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return full
}

// paths are a key's directories; relative ones start at the working directory.
func (c *config) paths(key string) []string {
	var out []string
	for _, p := range texts(c.values[key]) {
		out = append(out, absolute(p))
	}
	return out
}

func (c *config) path(key, otherwise string) string {
	if p := c.paths(key); len(p) > 0 {
		return p[0]
	}
	return otherwise
}

// repo is chef_repo_path: what cookbooks, roles and nodes are beside. Unset
// it is the parent of the first cookbook path, then the configuration's place,
// and without one whatever the working directory has.
func (c *config) repo() string {
	if books := c.paths("cookbook_path"); len(books) > 0 && c.values["chef_repo_path"] == nil {
		return filepath.Dir(books[0])
	}
	if !c.found {
		return c.path("chef_repo_path", absolute("."))
	}
	return c.path("chef_repo_path", filepath.Dir(c.file))
}

// dirs are the directories that hold one kind of thing: "cookbook", "role".
func (c *config) dirs(kind string) []string {
	if set := c.paths(kind + "_path"); len(set) > 0 {
		return set
	}
	return []string{filepath.Join(c.repo(), kind+"s")}
}

// beside is the place of what Chef keeps where it is told nowhere else: next
// to solo.rb.
func (c *config) beside(key, name string) string {
	return c.path(key, filepath.Join(filepath.Dir(c.file), name))
}
