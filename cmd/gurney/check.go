package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gurney/chef"
	"gurney/config"
	"gurney/release"
	"gurney/report"
)

// checkCmd looks for what on this node would make a deployment fail, before
// one does.
type checkCmd struct {
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// finding is one line of check.
type finding struct {
	Level string `json:"level"` // ok, warn or FAIL
	What  string `json:"what"`
	Text  string `json:"text"`
	Mend  string `json:"mend,omitempty"`
}

const (
	levelOK   = "ok"
	levelWarn = "warn"
	levelFail = "FAIL"
)

// checker gathers findings.
type checker struct {
	p    *process
	cfg  *config.Config
	list []finding
}

func (k *checker) add(level, what, text, mend string) {
	k.list = append(k.list, finding{level, what, text, mend})
}

// judge adds ok with text, or FAIL with the error.
func (k *checker) judge(what string, err error, text, mend string) bool {
	if err != nil {
		k.add(levelFail, what, err.Error(), mend)
		return false
	}
	k.add(levelOK, what, text, "")
	return true
}

func (k *checkCmd) Run(ctx context.Context, p *process, c *cli) error {
	cfg, path, err := c.configuration(p)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ch := &checker{p: p, cfg: cfg}
	ch.config(path)
	ch.directories()
	ch.chef(bounded)
	ch.sources(bounded)
	ch.consul(bounded)
	if ctx.Err() != nil {
		return ctx.Err() // what was asked last failed for that
	}
	bad := false
	for _, f := range ch.list {
		bad = bad || f.Level == levelFail
		if k.Output == "text" {
			if err := writeFinding(p, f); err != nil {
				return err
			}
		}
	}
	if k.Output == "json" {
		if err := writeJSON(p.Stdout, map[string]any{"ok": !bad, "findings": ch.list}); err != nil {
			return err
		}
	}
	if bad {
		return told(exitFailed)
	}
	return nil
}

// writeFinding writes f and what mends it: on a terminal folded, elsewhere each
// in one line.
func writeFinding(p *process, f finding) error {
	const indent = 18
	text := f.Text
	if f.Mend != "" {
		text += "\n" + f.Mend
	}
	return put(p, fmt.Sprintf("%-4s  %-10s  ", f.Level, f.What), indent, text)
}

func (k *checker) config(path string) {
	if path == "" {
		path = "none read; " + defaultConfigFile + " is not there"
	}
	if err := errors.Join(k.cfg.RequireAgent(), requireApps(k.cfg)); err != nil {
		k.add(levelFail, "config", err.Error(), "see docs/config.md")
		return
	}
	k.add(levelOK, "config", fmt.Sprintf("%s; apps %s; from %s", path, strings.Join(k.cfg.Apps, ", "), strings.Join(k.cfg.Sources, ", ")), "")
}

// lowDisk is where free space becomes a warning, in bytes.
const lowDisk = 1 << 30

func (k *checker) directories() {
	k.judge("state_dir", writable(k.cfg.StateDir), k.cfg.StateDir+" can be written", "run as the agent's user, root as a rule, or set state_dir")
	k.space(k.cfg.StateDir, 0)
	for _, d := range k.cfg.Dests {
		k.dests(filepath.Clean(d))
		k.space(d, 0)
	}
}

// mendDest mends a directory that can't be written.
const mendDest = "run as the agent's user, root as a rule, or let it write there"

// dests looks whether releases can be brought to dir, one of the configured
// dests, or right below it. Which place is meant, and whether one deeper down
// is, only a manifest tells: a doubt is no failure where dir is there.
func (k *checker) dests(dir string) {
	at := release.CheckWritable(dir, release.Symlink)
	mirror := at == nil || release.CheckWritable(dir, release.Rsync) == nil // which can do without the parent
	below := release.CheckWritable(filepath.Join(dir, "app"), release.Symlink)
	switch {
	case !mirror && below != nil && release.Nearest(dir) != dir:
		k.add(levelFail, "dests", dir+" can't be made: "+below.Error(), mendDest)
	case !mirror && below != nil:
		k.add(levelWarn, "dests", dir+": "+below.Error(), mendDest)
	case at != nil && filepath.Dir(dir) != "/": // a top-level directory is hardly ever a dest itself
		k.add(levelWarn, "dests", dir+" takes releases below it, and in its own place only those of rsync: "+at.Error(), mendDest)
	default:
		k.add(levelOK, "dests", dir+" can be written", "")
	}
}

// writable says whether dir can be written, or made. Nothing stays.
func writable(dir string) error {
	probe, err := os.CreateTemp(release.Nearest(dir), ".gurney-check-*")
	if err != nil {
		return err
	}
	_ = probe.Close()
	return os.Remove(probe.Name())
}

// space compares what is free with what the last release needed, in bytes; 0:
// none is here.
func (k *checker) space(dir string, need int64) {
	var st unix.Statfs_t
	if err := unix.Statfs(release.Nearest(dir), &st); err != nil {
		k.add(levelFail, "disk", fmt.Sprintf("%s: %v", dir, err), "")
		return
	}
	free := int64(st.Bavail) * st.Bsize
	text := fmt.Sprintf("%s %s free", dir, report.Bytes(free))
	if need > 0 {
		text += "; the last release needed " + report.Bytes(need)
	}
	k.add(diskLevel(free, need), "disk", text, "")
}

func diskLevel(free, need int64) string {
	switch {
	case free < need:
		return levelFail
	case free < 2*need || free < lowDisk:
		return levelWarn
	}
	return levelOK
}

func (k *checker) chef(ctx context.Context) {
	path, err := chef.Find(k.cfg.Chef.Command)
	if err != nil {
		k.add(levelFail, "chef-solo", err.Error(), "manifests without chef run all the same")
		return
	}
	v, err := chef.GetVersion(ctx, path)
	if err == nil && v.StandIn {
		k.add(levelWarn, "chef-solo", fmt.Sprintf("%s, %s: for tests and the demo, it configures no machine", path, v), "")
	} else if !k.judge("chef-solo", err, fmt.Sprintf("%s, %s", path, v), "") {
		return
	}
	if needsLicense(v) && k.cfg.Chef.License == "" && k.p.getenv("CHEF_LICENSE") == "" {
		k.add(levelWarn, "licence", "Chef 15 and newer ends with 172 until its licence is accepted", "set chef.license: accept-no-persist, if you accept it")
	} else {
		k.add(levelOK, "licence", "accepted, or not asked for", "")
	}
}

// needsLicense: Chef from 15 on has one to accept, Cinc has none.
func needsLicense(v chef.Version) bool {
	var major int
	_, err := fmt.Sscanf(v.Number, "%d.", &major)
	return err == nil && major >= 15 && !strings.HasPrefix(v.Product, "Cinc")
}
