package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gurney/agent/state"
	"gurney/artifact"
	"gurney/chef"
	"gurney/consul"
	"gurney/kv"
	"gurney/manifest"
	"gurney/release"
	"gurney/rollout"
)

// mendACL mends a missing right. The policy names chef alone.
func mendACL(apps []string) string {
	const mend = "give the token docs/consul-policy.hcl"
	if slices.ContainsFunc(apps, func(app string) bool { return app != "chef" }) {
		return mend + `, with a line event "APP" for each of ` + strings.Join(apps, ", ")
	}
	return mend
}

// consul looks at Consul, and through it at what the apps' current manifests
// ask of this node.
func (k *checker) consul(ctx context.Context) {
	client, err := newConsul(k.cfg, quiet(k.p))
	if err != nil {
		k.add(levelFail, "consul", err.Error(), "")
		return
	}
	self, err := client.Self(ctx)
	mend := "is the Consul agent on this node running?"
	switch {
	case errors.Is(err, kv.ErrForbidden):
		mend = mendACL(k.cfg.Apps)
	case self.Node != "" && self.Leader == "":
		err = fmt.Errorf("%s, node %s: no leader", client.Addr(), self.Node)
		mend = "do Consul's servers have a quorum?"
	}
	if !k.judge("consul", err, fmt.Sprintf("%s, leader %s, node %s", client.Addr(), self.Leader, self.Node), mend) {
		return
	}
	findings := client.Probe(ctx, k.cfg.Apps...)
	if service := k.cfg.Role.Service; service != "" {
		findings = append(findings, client.ProbeRole(ctx, service)...)
	}
	if k.cfg.Drain {
		findings = append(findings, client.ProbeDrain(ctx, self.Node)...)
	}
	k.acl(findings)
	if m, err := client.Maintenance(ctx); err == nil && m.On && k.cfg.Maintenance != "ignore" {
		k.add(levelWarn, "maint", fmt.Sprintf("%q: deployments wait until it ends, unless their manifest says otherwise", m.Reason), "")
	}
	for _, app := range k.cfg.Apps {
		k.app(ctx, client, app)
	}
}

// acl tells what the token lacks, each by its own line. What only those need
// who deploy is no fault of a node.
func (k *checker) acl(findings []consul.Finding) {
	lacks, deploys := false, "and to deploy"
	for _, f := range findings {
		switch {
		case f.Err == nil:
		case f.Driving:
			deploys = "but not to deploy"
		default:
			lacks = true
			k.add(levelFail, "acl", fmt.Sprintf("%s: %v", f.What, f.Err), mendACL(k.cfg.Apps))
		}
	}
	if !lacks {
		k.add(levelOK, "acl", "allowed all that an agent needs, "+deploys, "")
	}
}

// app looks at the deployment that is current, or, before there is one, at
// the first that is on.
func (k *checker) app(ctx context.Context, store kv.Store, app string) {
	r, _, err := rollout.ReadRecord(ctx, store, app, kv.Default)
	var id, how string
	switch {
	case err != nil:
	case r != nil && r.Current != nil:
		id, how = r.Current.ID, "current is "
	case r != nil && r.Rollout != nil:
		id, how = r.Rollout.ID, "the first deployment is on: "
	default:
		how = "nothing was deployed yet"
	}
	if here, jerr := state.At(k.cfg.StateDir).Journal(app); err == nil && r != nil && jerr == nil && here.Record != nil && here.Record.Seq > r.Seq {
		k.add(levelWarn, app, how+id+" in Consul, which is older than what this node knows: it was put back from a backup", "gurney deploy says anew what is to run")
	} else if !k.judge(app, err, how+id, "") {
		return
	}
	if id == "" {
		return
	}
	d, err := rollout.ReadDeployment(ctx, store, app, id, kv.Default)
	if err != nil {
		k.add(levelFail, app, err.Error(), "")
		return
	}
	m, _, wrong := manifest.Parse(d.URL, d.Manifest, manifest.ParseOptions{Env: k.p.Env})
	if wrong != nil {
		k.add(levelFail, "manifest", wrong.Error(), "templates see this node's environment")
		return
	}
	k.judge("manifest", k.covered(d.URL), d.URL, "name it in sources, or deploy from one of them")
	if m.Src != "" {
		k.release(ctx, m)
	}
}

// covered says whether the sources let a run take the manifest from there.
func (k *checker) covered(rawURL string) error {
	allow, err := allowed(k.cfg)
	if err != nil {
		return err
	}
	return allow.CheckRaw(rawURL)
}

func (k *checker) release(ctx context.Context, m *manifest.Manifest) {
	strategy, mend := release.Strategy(m.SyncStrategy), ""
	err := release.CheckDest(m.Dest, strategy, k.cfg.Dests)
	if err == nil {
		err, mend = release.CheckWritable(m.Dest, strategy), mendDest
	}
	k.judge("dest", err, m.Dest, mend)
	k.space(filepath.Dir(m.Dest), occupied(m.Dest))
	if u, err := url.Parse(m.Src); err != nil {
		k.add(levelFail, "source", "src can't be parsed as a URL", "")
	} else {
		err = k.read(ctx, u)
		k.judge(u.Scheme, err, artifact.Redact(u)+" can be read", sourceMend(err))
	}
	if m.Chef != nil {
		k.nodeJSON(ctx, m)
	}
}

// nodeJSON says which one this host takes of the release that is here.
func (k *checker) nodeJSON(ctx context.Context, m *manifest.Manifest) {
	dir := filepath.Join(m.Dest, m.Chef.Nodes)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		k.add(levelOK, "node JSON", "no release is here yet; gurney nodes --resolve DIR tells beforehand", "")
		return
	}
	host, err := chef.ThisHost(ctx, k.cfg.Chef.HostnamePrefixFile)
	var choice chef.Choice
	if err == nil {
		choice, err = chef.Resolve(dir, host)
	}
	k.judge("node JSON", err, fmt.Sprintf("%s → %s.json", choice.How, filepath.Join(m.Chef.Nodes, choice.Stem)), "")
}

// occupied is what the release at dest takes on the disk, in bytes; 0 where
// none is there.
func occupied(dest string) int64 {
	root, err := filepath.EvalSymlinks(dest)
	if err != nil {
		return 0
	}
	var sum int64
	_ = filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // an estimate: what can't be seen is left out
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
