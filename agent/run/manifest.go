package run

import (
	"cmp"
	"context"
	"fmt"
	"net/url"

	"gurney/artifact"
	"gurney/manifest"
)

// mostManifest bounds a manifest that is read from its URL, in bytes. It does
// not stand in Consul, so rollout.MaxManifest is no measure for it: Stretcher
// had no limit.
const mostManifest = 1 << 20

// readManifest takes the manifest's bytes from the spec, else from its URL,
// and parses them on this node: templates see this node's environment.
func (r *runner) readManifest(ctx context.Context) (*manifest.Manifest, error) {
	name, data := cmp.Or(r.spec.File, "standard input"), r.spec.Manifest
	if r.spec.URL != "" {
		u, err := url.Parse(r.spec.URL)
		if err != nil {
			return nil, fmt.Errorf("the manifest's URL can't be parsed") // err repeats it, with its secrets
		}
		name = artifact.Redact(u)
		if err := r.Allow.Check(u); err != nil {
			return nil, err
		}
		if data == nil {
			r.Log.Info().Str("url", name).Msg("read manifest")
			if data, _, err = r.Fetcher.Read(ctx, u, mostManifest); err != nil {
				return nil, cause(ctx, err)
			}
		}
	}
	m, warnings, err := manifest.Parse(name, data, manifest.ParseOptions{Env: r.Env})
	for _, w := range warnings {
		r.Log.Warn().Msg(w.Error())
	}
	if err != nil {
		return nil, err
	}
	if m.App != "" && r.spec.App != "" && m.App != r.spec.App {
		return nil, fmt.Errorf("%s: app is %s, but %s was deployed", name, m.App, r.spec.App)
	}
	return m, nil
}
