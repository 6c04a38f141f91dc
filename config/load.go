package config

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"gurney/strictyaml"
)

// place is where a value came from.
type place struct {
	line, col int
	items     []place // of a list
	variable  string  // environment variable; "": the file
}

// Load reads the file at path, "" for none, and the environment over it, and
// validates the whole. What is wrong is an error of type strictyaml.Problems;
// a file that can't be read is an *fs.PathError in the chain.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	c := Default()
	var problems strictyaml.Problems
	places := map[string]place{}
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		problems = c.decode(path, data, places)
	}
	bad := c.environment(env, places)

	for _, w := range c.wrong() {
		p := w.Problem
		at, ok := places[p.Key]
		if w.item >= 0 && w.item < len(at.items) {
			at = at.items[w.item]
		}
		switch {
		case ok && at.variable != "":
			bad = append(bad, strictyaml.Problem{File: "environment", Key: at.variable, Msg: p.Msg})
		case ok:
			p.File, p.Line, p.Col = path, at.line, at.col
			problems = append(problems, p)
		default:
			p.File = path
			problems = append(problems, p)
		}
	}
	problems.Sort()
	if err := append(problems, bad...).Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// decode fills c from the file and notes where each key stood. To an
// operator's own file an unknown key is as wrong as a wrong value.
func (c *Config) decode(name string, data []byte, places map[string]place) strictyaml.Problems {
	doc := strictyaml.Parse(name, data)
	top := strictyaml.Keys{}
	sections := map[string]strictyaml.Keys{}
	for _, k := range table {
		read := func(v *strictyaml.Value) {
			fill(v, k.to(c))
			places[k.name] = placeOf(v, k.item != nil)
		}
		section, rest, nested := strings.Cut(k.name, ".")
		if !nested {
			top[section] = read
			continue
		}
		if sections[section] == nil {
			keys := strictyaml.Keys{}
			sections[section] = keys
			top[section] = func(v *strictyaml.Value) { v.Keys(keys) }
		}
		sections[section][rest] = read
	}
	doc.Keys(top)
	wrong, unknown := doc.Problems()
	return append(wrong, unknown...)
}

// placeOf is where v stands, and its items where it is a list.
func placeOf(v *strictyaml.Value, list bool) (p place) {
	p.line, p.col = v.Pos()
	if !list || !v.IsList() {
		return p
	}
	items, _ := v.List()
	for _, item := range items {
		p.items = append(p.items, placeOf(item, false))
	}
	return p
}

// fill reads v into the field that to points at.
func fill(v *strictyaml.Value, to any) {
	switch to := to.(type) {
	case *string:
		v.String(to)
	case *bool:
		v.Bool(to)
	case *int:
		v.Int(to)
	case *int64:
		v.Size(to)
	case *time.Duration:
		v.Duration(to)
	case *[]string:
		v.Strings(to)
	case *map[string]string:
		v.Map(to)
	}
}

// environment sets every key whose variable is set, be it to nothing.
func (c *Config) environment(env func(string) (string, bool), places map[string]place) strictyaml.Problems {
	var bad strictyaml.Problems
	for _, k := range table {
		name := k.env()
		if name == "" || env == nil {
			continue
		}
		text, set := env(name)
		if !set {
			continue
		}
		places[k.name] = place{variable: name}
		if err := fillText(text, k.to(c)); err != nil {
			bad = append(bad, strictyaml.Problem{File: "environment", Key: name, Msg: err.Error()})
		}
	}
	c.consulsToken(env, places)
	// Who brings a token of his own means it instead of the node's.
	switch inEnv := func(key string) bool { return places[key].variable != "" }; {
	case inEnv("consul.token") && !inEnv("consul.token_file"):
		c.Consul.TokenFile = ""
	case inEnv("consul.token_file") && !inEnv("consul.token"):
		c.Consul.Token = ""
	}
	return bad
}

// consulsToken takes Consul's own variable for a token that the file has, but
// not for Gurney's own variables. Where neither has one, the client finds it.
func (c *Config) consulsToken(env func(string) (string, bool), places map[string]place) {
	const name = "CONSUL_HTTP_TOKEN"
	if env == nil || c.Consul.Token == "" && c.Consul.TokenFile == "" {
		return
	}
	if places["consul.token"].variable != "" || places["consul.token_file"].variable != "" {
		return
	}
	if text, _ := env(name); text != "" { // to Consul an empty one is none
		c.Consul.Token = text
		places["consul.token"] = place{variable: name}
	}
}

// fillText is fill for one string; lists have commas in it.
func fillText(text string, to any) (err error) {
	switch to := to.(type) {
	case *string:
		*to = text
	case *bool:
		*to, err = strictyaml.ParseBool(text)
	case *int:
		var n int
		if n, err = strconv.Atoi(text); err != nil {
			return errors.New("must be a whole number")
		}
		*to = n
	case *int64:
		var n int64
		if n, err = strictyaml.ParseSize(text); err == nil {
			*to = n
		}
	case *time.Duration:
		var d time.Duration
		if d, err = strictyaml.ParseDuration(text); err == nil {
			*to = d
		}
	case *[]string:
		*to = nil
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*to = append(*to, item)
			}
		}
	}
	return err
}
