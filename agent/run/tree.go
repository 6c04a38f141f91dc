package run

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"gurney/agent/hold"
	"gurney/artifact"
	"gurney/manifest"
	"gurney/release"
	"gurney/report"
)

// release is strategy release: everything happens beside dest, and the flip
// is the last step that can be seen before post.
func (r *runner) release(ctx context.Context) error {
	m := r.man
	rel, err := r.open()
	if err != nil {
		return err
	}
	defer r.discard(rel)
	dir := ""
	if kept, ok := release.Existing(m.Dest, r.spec.ID); ok && r.spec.Attempt <= 1 {
		r.Log.Info().Str("dir", kept).Msg("the release is still here: nothing to fetch")
		dir = kept
	} else {
		if err := r.fetch(ctx, rel.Dir()); err != nil {
			return err
		}
		if len(m.Excludes) > 0 || m.ExcludeFrom != "" {
			left, err := rel.LeaveOut(ctx, release.SyncOptions{Excludes: m.Excludes, ExcludeFrom: m.ExcludeFrom})
			if err != nil {
				return cause(ctx, err)
			}
			r.Log.Info().Int("entries", left).Msg("left out what excludes names")
		}
		if dir, err = rel.Proven(); err != nil {
			return err
		}
	}
	if m.DryRun() {
		return r.whyRun(ctx, dir)
	}
	// One that fails stays, for who looks why and for a retry; many must not
	// fill the disk.
	defer r.prune()
	r.touch(report.PhasePre)
	if err := r.commands(ctx, "pre", m.Commands.Pre); err != nil {
		return err
	}
	if m.Chef != nil {
		r.touch(report.PhaseChef)
		if err := r.converge(ctx, dir); err != nil {
			return err
		}
	}
	r.phase(report.PhaseActivate)
	done, err := rel.Activate(ctx)
	if err != nil {
		return cause(ctx, err)
	}
	r.activated(done)
	r.phase(report.PhasePost)
	if err := r.commands(ctx, "post", m.Commands.Post); err != nil {
		return r.goBack(ctx, done, err)
	}
	return nil
}

// prune removes what is more than the manifest wants kept.
func (r *runner) prune() {
	pruned, err := release.Prune(r.man.Dest, r.man.Keep)
	if err != nil {
		r.Log.Warn().Err(err).Msg("old releases can't be removed")
	} else if len(pruned) > 0 {
		r.Log.Info().Strs("releases", pruned).Msg("removed old releases")
	}
}

// whyRun has Chef say what it would change: nothing is, so no command of the
// manifest runs either, and nothing reaches dest.
func (r *runner) whyRun(ctx context.Context, dir string) error {
	r.phase(report.PhaseChef)
	err := r.converge(ctx, dir)
	r.result.Updated = 0
	return err
}

// again is Chef once more on what stands here: nothing is fetched, and nothing
// moves. A release that is gone is brought anew.
func (r *runner) again(ctx context.Context) error {
	dir := r.man.Dest
	if r.man.SyncStrategy == manifest.Release {
		kept, ok := release.Existing(dir, r.spec.ID)
		if !ok {
			return r.release(ctx)
		}
		dir = kept
	}
	r.touch(report.PhaseChef)
	return r.converge(ctx, dir)
}

func (r *runner) activated(a release.Activation) {
	e := r.Log.Info().Str("release", a.ID)
	if a.Previous != "" {
		e = e.Str("before", a.Previous)
	}
	if a.Kept != "" {
		e = e.Str("kept", a.Kept)
	}
	e.Msg("activated")
}

// goBack makes the former release live again after post failed.
func (r *runner) goBack(ctx context.Context, a release.Activation, failed error) error {
	if a.Previous == "" || a.Already {
		return failed
	}
	if err := release.Restore(context.WithoutCancel(ctx), r.man.Dest, a.Previous); err != nil {
		return errors.Join(failed, fmt.Errorf("go back to %s: %w", a.Previous, err))
	}
	r.Log.Info().Str("release", a.Previous).Msg("post failed: the former release is live again")
	return failed
}

// sync is strategies rsync and mv: as Stretcher orders it, pre comes before
// the archive is unpacked.
func (r *runner) sync(ctx context.Context) error {
	m := r.man
	rel, err := r.open()
	if err != nil {
		return err
	}
	defer r.discard(rel)
	if rel.Moved() {
		r.Log.Info().Str("dest", m.Dest).Msg("the release stands there already: nothing to fetch")
		r.touch(report.PhaseSync)
	} else if done, err := r.bring(ctx, rel); err != nil || done {
		return err
	}
	if m.DryRun() {
		return r.whyRun(ctx, m.Dest)
	}
	if m.Chef != nil {
		r.touch(report.PhaseChef)
		if err := r.converge(ctx, m.Dest); err != nil {
			return err
		}
	}
	r.phase(report.PhasePost)
	return r.commands(ctx, "post", m.Commands.Post)
}

// bring fetches the release, and syncs it to dest; a dry run is done before that.
func (r *runner) bring(ctx context.Context, rel *release.Release) (done bool, err error) {
	m, spooled := r.man, ""
	if len(m.Commands.Pre) > 0 && !m.DryRun() {
		spooled = rel.Dir() + ".archive"
		defer func() { _ = os.Remove(spooled) }()
		if err := r.spool(ctx, spooled); err != nil {
			return false, err
		}
		r.touch(report.PhasePre)
		if err := r.commands(ctx, "pre", m.Commands.Pre); err != nil {
			return false, err
		}
	}
	if err := r.unpack(ctx, spooled, rel.Dir()); err != nil {
		return false, err
	}
	dir, err := rel.Proven()
	if err != nil {
		return false, err
	}
	if m.DryRun() {
		return true, r.whyRun(ctx, dir)
	}
	r.touch(report.PhaseSync)
	opts := release.SyncOptions{Excludes: m.Excludes, ExcludeFrom: m.ExcludeFrom}
	if r.Verbose {
		opts.Verbose = r.Out
	}
	opts.Verbose = hold.Writes(opts.Verbose, hold.Sync, midway)
	stats, err := rel.Sync(ctx, opts)
	if err != nil {
		return false, cause(ctx, fmt.Errorf("sync to %s: %w", m.Dest, err))
	}
	r.Log.Info().Int("updated", stats.Updated).Int("unchanged", stats.Unchanged).Int("deleted", stats.Deleted).Str("from", filepath.Base(dir)).Msg("synced")
	return false, nil
}

// midway is where faults are injected in the mirror, in lines of what it says.
const midway = 4

func (r *runner) open() (*release.Release, error) {
	m := r.man
	if err := release.CheckApart(m.Dest, r.Config.StateDir); err != nil {
		return nil, err
	}
	return release.Open(release.Options{
		Dest: m.Dest, Allowed: r.Config.Dests, Strategy: release.Strategy(m.SyncStrategy),
		ID: r.spec.ID, Mode: os.FileMode(m.DestMode),
	})
}

func (r *runner) discard(rel *release.Release) {
	if err := rel.Discard(); err != nil {
		r.Log.Warn().Err(err).Msg("the stage can't be removed")
	}
}

// source is the archive's URL and digest, allowed.
func (r *runner) source() (*url.URL, artifact.Digest, error) {
	u, err := url.Parse(r.man.Src)
	if err != nil {
		return nil, artifact.Digest{}, errors.New("src can't be parsed as a URL")
	}
	return u, artifact.Digest{Algorithm: r.man.Checksum.Algorithm, Hex: r.man.Checksum.Hex}, r.Allow.Check(u)
}

// fetch brings the archive's tree into stage, proven. A checksum that does
// not match is fetched once more: what was read may have been replaced in the
// middle.
func (r *runner) fetch(ctx context.Context, stage string) error {
	return r.twice(ctx, func(u *url.URL, sum artifact.Digest) error {
		stats, err := r.fetcher().Unpack(ctx, u, sum, stage)
		if err == nil {
			r.Log.Info().Str("src", artifact.Redact(u)).Int64("bytes", stats.Fetched).Int64("files", stats.Files).Msg("fetched, verified and unpacked")
		}
		return err
	}, func() error { return empty(stage) })
}

// fetcher is the fetcher, with its progress shown as the phase's detail.
func (r *runner) fetcher() *artifact.Fetcher {
	f := *r.Fetcher
	began, before := time.Now(), r.bytes
	f.OnProgress = func(done, total int64) {
		r.bytes = before + done
		text := report.Bytes(done)
		if total > 0 {
			text += " of " + report.Bytes(total)
		}
		if took := time.Since(began); took > time.Second {
			text += fmt.Sprintf(", %s/s", report.Bytes(int64(float64(done)/took.Seconds())))
		}
		r.detail(text)
	}
	return &f
}

// spool brings the archive itself to path, proven.
func (r *runner) spool(ctx context.Context, path string) error {
	return r.twice(ctx, func(u *url.URL, sum artifact.Digest) error {
		r.Log.Info().Str("src", artifact.Redact(u)).Msg("fetch, to unpack after pre")
		return r.fetcher().Spool(ctx, u, sum, path)
	}, func() error { return nil })
}

func (r *runner) unpack(ctx context.Context, spooled, stage string) error {
	if spooled == "" {
		return r.fetch(ctx, stage)
	}
	r.phase(report.PhaseFetch) // of which to unpack is a part
	_, err := r.Fetcher.UnpackFile(ctx, spooled, stage)
	return cause(ctx, err)
}

func (r *runner) twice(ctx context.Context, fetch func(*url.URL, artifact.Digest) error, clear func() error) error {
	r.phase(report.PhaseFetch)
	u, sum, err := r.source()
	if err != nil {
		return err
	}
	err = fetch(u, sum)
	var wrong *artifact.ChecksumError
	if errors.As(err, &wrong) {
		r.Log.Warn().Err(err).Msg("fetch it once more")
		if err := clear(); err != nil {
			return err
		}
		err = fetch(u, sum)
	}
	return cause(ctx, err)
}

// empty removes what is in dir and leaves dir itself.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
