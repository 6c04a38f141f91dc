package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"gurney/rollout"
)

// deployed is what one deployment by event took.
type deployed struct {
	timing
	handler time.Duration // firing came back → consul watch's handler began
}

func manifest(a archive, dest string) []byte {
	return fmt.Appendf(nil, "src: s3://%s/%s\nchecksum: %s\ndest: %s\nsync_strategy: release\n", bucket, a.Name, a.SHA256, dest)
}

// deploy deploys the archive by one event to the agent, to a new dest. beside,
// where not nil, is called with the id while the run goes on.
func (w *world) deploy(ctx context.Context, a archive, want sizes, beside func(id string)) (d deployed, err error) {
	dest, err := w.place()
	if err != nil {
		return d, err
	}
	defer func() { _ = os.RemoveAll(filepath.Dir(dest)) }()
	w.watch.forget()
	drive, err := w.driver.Begin(ctx, rollout.Request{App: app, URL: "s3://" + bucket + "/bench.yml", Manifest: manifest(a, dest), By: "bench", Detach: true})
	if err != nil {
		return d, fmt.Errorf("deploy %s: %w", a.Name, err)
	}
	if beside != nil {
		beside(drive.Deployment.ID)
	}
	if d.timing, err = w.clock.await(ctx, drive.Deployment.ID); err != nil {
		return d, fmt.Errorf("deploy %s: %w", a.Name, err)
	}
	if d.handler, err = w.watch.after(ctx, d.returned); err != nil {
		return d, err
	}
	return d, complete(dest, want)
}

// apply runs `gurney apply`: no event, no agent, nothing to report to.
func (w *world) apply(ctx context.Context, a archive, want sizes) (time.Duration, error) {
	dest, err := w.place()
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(filepath.Dir(dest)) }()
	file := filepath.Join(w.dir, "bench.yml")
	if err := os.WriteFile(file, manifest(a, dest), 0o600); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, w.host.Gurney, "-c", w.host.Config(), "apply", file)
	cmd.Env = slices.Concat(os.Environ(), w.host.Env)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return 0, fmt.Errorf("gurney apply: %w: %s", err, out)
	}
	return took, complete(dest, want)
}
