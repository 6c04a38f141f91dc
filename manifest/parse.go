package manifest

import (
	"fmt"
	"time"

	"gurney/strictyaml"
)

// What a manifest says by saying nothing.
const (
	defaultMode        = 0o755
	defaultTimeout     = time.Hour
	defaultKeep        = 5
	defaultNodes       = "nodes"
	defaultChefConfig  = "solo.rb"
	defaultChefTimeout = 30 * time.Minute
)

// ParseOptions say where the manifest is read.
type ParseOptions struct {
	Env         func(string) (string, bool) // what template actions see; nil: nothing is set
	TolerateEnv bool                        // off the node: a value that waits for an unset variable is not judged
}

// Parse renders and reads a manifest; name is what problems call it. Unknown
// keys are warnings, for Stretcher ignores them too; wrong values are an error
// of type strictyaml.Problems, all of them at once. Neither ever holds a value
// of commands.env or a secret of src.
func Parse(name string, data []byte, o ParseOptions) (*Manifest, []strictyaml.Problem, error) {
	lookup := o.Env
	if lookup == nil {
		lookup = func(string) (string, bool) { return "", false }
	}
	r := render(data, lookup, o.TolerateEnv)
	if len(r.unset) > 0 {
		var missing strictyaml.Problems
		for _, u := range r.unset {
			missing = append(missing, strictyaml.Problem{File: name, Line: u.line, Col: u.col,
				Msg: fmt.Sprintf("must_env: %s is not set in the environment", u.name)})
		}
		return nil, nil, missing
	}
	doc := strictyaml.Parse(name, r.text)
	if o.TolerateEnv {
		doc.Unread = unread
	}
	p := parser{doc: doc, m: &Manifest{DestMode: defaultMode, Timeout: defaultTimeout, Keep: defaultKeep},
		at: map[string]*strictyaml.Value{}}
	if doc.Keys(p.keys()) {
		p.together()
	}
	wrong, warnings := doc.Problems()
	for _, list := range []strictyaml.Problems{wrong, warnings} {
		for i := range list {
			list[i].Line = r.line(list[i].Line)
		}
	}
	if err := wrong.Err(); err != nil {
		return nil, warnings, err
	}
	return p.m, warnings, nil
}

// parser fills a manifest from a document.
type parser struct {
	doc *strictyaml.Doc
	m   *Manifest
	at  map[string]*strictyaml.Value // the top-level keys that are there with a value
}

// keys are the top level: every key of Stretcher, then Gurney's own.
func (p *parser) keys() strictyaml.Keys {
	m := p.m
	keys := strictyaml.Keys{
		"src":           func(v *strictyaml.Value) { p.src(v) },
		"checksum":      func(v *strictyaml.Value) { p.checksum(v) },
		"dest":          func(v *strictyaml.Value) { p.dest(v) },
		"dest_mode":     func(v *strictyaml.Value) { mode(v, &m.DestMode) },
		"commands":      func(v *strictyaml.Value) { v.Keys(p.commands()) },
		"excludes":      func(v *strictyaml.Value) { nonEmpty(v, &m.Excludes) },
		"exclude_from":  func(v *strictyaml.Value) { local(v, &m.ExcludeFrom) },
		"sync_strategy": func(v *strictyaml.Value) { oneOf(v, &m.SyncStrategy, Rsync, Mv, Release) },
		"app":           func(v *strictyaml.Value) { name(v, &m.App) },
		"chef":          func(v *strictyaml.Value) { p.chef(v) },
		"maintenance":   func(v *strictyaml.Value) { oneOf(v, &m.Maintenance, "hold", "skip", "ignore") },
		"drain":         func(v *strictyaml.Value) { m.Drain = optional(v, v.Bool) },
		"drain_wait":    func(v *strictyaml.Value) { m.DrainWait = optional(v, v.Duration); notNegative(v, m.DrainWait) },
		"timeout":       func(v *strictyaml.Value) { positive(v, &m.Timeout) },
		"keep":          func(v *strictyaml.Value) { atLeast(v, &m.Keep, 2) },
		"index":         func(v *strictyaml.Value) { p.index(v) },
	}
	for key, read := range keys {
		keys[key] = func(v *strictyaml.Value) {
			if !v.Null() || key == "chef" {
				p.at[key] = v
			}
			read(v)
		}
	}
	return keys
}

// together judges what the keys say to each other.
func (p *parser) together() {
	src, has := p.at["src"]
	switch {
	case p.doc.Empty():
		p.doc.Problem(0, 0, "", "nothing in it; a manifest has src, checksum and dest, or commands")
	case has:
		for _, key := range []string{"checksum", "dest"} {
			if p.at[key] == nil {
				src.Problemf("needs %s beside it", key)
			}
		}
		if p.m.SyncStrategy == "" {
			p.m.SyncStrategy = Rsync
			if p.m.Chef != nil {
				p.m.SyncStrategy = Release
			}
		}
	case p.at["chef"] != nil:
		p.at["chef"].Problemf("needs src: the archive that holds solo.rb and the cookbooks")
	case p.at["commands"] == nil:
		p.doc.Problem(1, 0, "", "neither src nor commands; a manifest has src, checksum and dest, or commands")
	}
}
