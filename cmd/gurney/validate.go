package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"gurney/artifact"
	"gurney/manifest"
	"gurney/rollout"
	"gurney/strictyaml"
)

// validateCmd says all that is wrong with a manifest. What the agent only
// warns of, unknown keys, is wrong here.
type validateCmd struct {
	Manifest string `arg:"" help:"File or URL of the manifest."`
	Output   string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (v *validateCmd) Run(ctx context.Context, p *process, c *cli) error {
	name, data, err := v.read(ctx, p, c)
	if err != nil {
		return err
	}
	_, warnings, err := manifest.Parse(name, data, manifest.ParseOptions{Env: p.Env, TolerateEnv: true})
	var problems strictyaml.Problems
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	problems = append(problems, warnings...)
	if len(data) > rollout.MaxManifest {
		problems = append(problems, strictyaml.Problem{File: name, Msg: fmt.Sprintf("%d bytes; gurney deploy takes at most %d, for it stands in Consul", len(data), rollout.MaxManifest)})
	}
	problems.Sort()
	if v.Output == "json" {
		if err := writeJSON(p.Stdout, map[string]any{"manifest": name, "ok": len(problems) == 0, "problems": problemsJSON(problems)}); err != nil {
			return err
		}
		if len(problems) > 0 {
			return told(exitUsage)
		}
		return nil
	}
	if err := problems.Err(); err != nil {
		return &exitError{Code: exitUsage, Err: err}
	}
	_, err = fmt.Fprintf(p.Stdout, "%s: ok\n", name)
	return err
}

// validateMost is the most that is read from a URL, in bytes: what is too large
// to be deployed is to be told with all else that is wrong.
const validateMost = 1 << 20

type problemJSON struct {
	Line    int    `json:"line,omitempty"` // from 1, as Column
	Column  int    `json:"column,omitempty"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
}

func problemsJSON(ps strictyaml.Problems) []problemJSON {
	out := []problemJSON{}
	for _, one := range ps {
		out = append(out, problemJSON{one.Line, one.Col, one.Key, one.Msg})
	}
	return out
}

func (v *validateCmd) read(ctx context.Context, p *process, c *cli) (name string, data []byte, err error) {
	u, err := url.Parse(v.Manifest)
	if err != nil || u.Scheme == "" {
		data, err = readFile(v.Manifest)
		return v.Manifest, data, err
	}
	cfg, _, err := c.configuration(p)
	if err != nil {
		return "", nil, err
	}
	fetcher, _, _, err := newFetcher(ctx, cfg, quiet(p))
	if err != nil {
		return "", nil, err
	}
	data, _, err = fetcher.Read(ctx, u, validateMost)
	return artifact.Redact(u), data, err
}
