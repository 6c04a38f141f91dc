package manifest

import (
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gurney/strictyaml"
)

// Schemes are the URL schemes that an archive may come from.
var Schemes = []string{"s3", "gs", "http", "https", "file"}

// archiveURL reads the URL of an archive. Its problems show none of it: a
// user, a password or a signed query may be in there.
func archiveURL(v *strictyaml.Value, to *string) {
	if !v.String(to) {
		return
	}
	u, err := url.Parse(*to)
	switch {
	case err != nil:
		v.Problemf("must be a URL: %s", strings.Join(Schemes, ", "))
	case !slices.Contains(Schemes, u.Scheme):
		v.Problemf("must be a URL of one of the schemes %s", strings.Join(Schemes, ", "))
	case u.Scheme == "file" && u.Host != "":
		v.Problemf("must have three slashes before the path: file:///srv/a.tar.gz")
	case u.Scheme != "file" && u.Host == "":
		v.Problemf("must name a bucket or host after %s://", u.Scheme)
	case strings.Trim(u.Path, "/") == "":
		v.Problemf("must name a file after the bucket or host")
	}
}

// src of nothing is none, as for Stretcher: a template may leave it so.
func (p *parser) src(v *strictyaml.Value) {
	var s string
	switch {
	case !v.String(&s):
	case s == "":
		delete(p.at, "src")
	default:
		archiveURL(v, &p.m.Src)
	}
}

func (p *parser) checksum(v *strictyaml.Value) {
	var s string
	if !v.String(&s) {
		return
	}
	c, err := ParseChecksum(s)
	if err != nil {
		v.Problemf("%v", err)
		return
	}
	p.m.Checksum = c
}

// dest refuses what would mirror an archive over the whole disk, or into
// whatever directory the agent happens to run in.
func (p *parser) dest(v *strictyaml.Value) {
	var s string
	if !v.String(&s) {
		return
	}
	switch clean := filepath.Clean(s); {
	case !filepath.IsAbs(s):
		v.Problemf("must be an absolute path")
	case clean == "/":
		v.Problemf("must not be /: all that is not in the archive would be deleted")
	default:
		p.m.Dest = clean
	}
}

func (p *parser) commands() strictyaml.Keys {
	c := &p.m.Commands
	return strictyaml.Keys{
		"pre":     func(v *strictyaml.Value) { nonEmpty(v, &c.Pre) },
		"post":    func(v *strictyaml.Value) { nonEmpty(v, &c.Post) },
		"success": func(v *strictyaml.Value) { nonEmpty(v, &c.Success) },
		"failure": func(v *strictyaml.Value) { nonEmpty(v, &c.Failure) },
		"env":     func(v *strictyaml.Value) { variables(v, &c.Env) },
	}
}

// variables reads an environment. Values are secrets and stay unsaid.
func variables(v *strictyaml.Value, to *map[string]string) {
	if !v.Map(to) {
		return
	}
	for name, value := range *to {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			v.Problemf("must be names without = and values without NUL bytes")
			return
		}
	}
}

var (
	chefEnvironment = regexp.MustCompile(`^[A-Za-z0-9_-]*$`)
	chefLogLevels   = []string{"auto", "trace", "debug", "info", "warn", "error", "fatal"}
)

// chef reads the section; one without a value asks for all defaults.
func (p *parser) chef(v *strictyaml.Value) {
	c := &Chef{Nodes: defaultNodes, Config: defaultChefConfig, Timeout: defaultChefTimeout}
	p.m.Chef = c
	v.Keys(strictyaml.Keys{
		"nodes":  func(v *strictyaml.Value) { inside(v, &c.Nodes) },
		"config": func(v *strictyaml.Value) { inside(v, &c.Config) },
		"environment": func(v *strictyaml.Value) {
			if v.String(&c.Environment) && !chefEnvironment.MatchString(c.Environment) {
				v.Problemf("must be letters, digits, underscores and hyphens")
			}
		},
		"run_list":  func(v *strictyaml.Value) { runList(v, &c.RunList) },
		"log_level": func(v *strictyaml.Value) { oneOf(v, &c.LogLevel, chefLogLevels...) },
		"timeout":   func(v *strictyaml.Value) { positive(v, &c.Timeout) },
		"why_run":   func(v *strictyaml.Value) { v.Bool(&c.WhyRun) },
	})
}

// inside is local for a path that must be given once its key is.
func inside(v *strictyaml.Value, to *string) {
	if local(v, to); *to == "" {
		v.Problemf("must be a path inside the archive; leave the key out for the default")
	}
}

// runList reads a list, or one string with commas as Chef's -o has it.
func runList(v *strictyaml.Value, to *[]string) {
	if v.IsList() {
		nonEmpty(v, to)
	} else if s := ""; v.String(&s) {
		*to = nil
		for item := range strings.SplitSeq(s, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*to = append(*to, item)
			}
		}
	}
	for _, item := range *to {
		if strings.ContainsAny(item, ", \t\n") || strings.HasPrefix(item, "-") {
			v.Problemf("items must be recipe[name], role[name] or a recipe's name; got %q", item)
			return
		}
	}
}

func (p *parser) index(v *strictyaml.Value) {
	if v.Null() {
		return
	}
	i := &Index{}
	ok := v.Keys(strictyaml.Keys{
		"src": func(v *strictyaml.Value) { archiveURL(v, &i.Src) },
		"sha256": func(v *strictyaml.Value) {
			var s string
			if !v.String(&s) {
				return
			}
			if c, err := ParseChecksum(s); err != nil || c.Algorithm != "sha256" {
				v.Problemf("must be the 64 hex digits of a sha256")
			} else {
				i.SHA256 = c.Hex
			}
		},
	})
	if !ok {
		return
	}
	if i.Src == "" || i.SHA256 == "" {
		v.Problemf("needs src and sha256")
	}
	p.m.Index = i
}
