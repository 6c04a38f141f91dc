package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"gurney/integration/fleet"
)

// upload puts the archive into the gateway, as a client does.
func upload(ctx context.Context, s *fleet.S3, a archive) error {
	return command(ctx, append(curl(s), "-T", a.Path, s.Endpoint+"/"+bucket+"/"+a.Name)...)
}

// curl signs what it asks for. S3 wants the header, which curl did not send by
// itself before 8.0.
func curl(s *fleet.S3) []string {
	return []string{
		"curl", "-sSf", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", fleet.AccessKey + ":" + fleet.SecretKey,
		"-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
	}
}

// stretcher does what Stretcher does with an archive, one step after the
// other: fetch it into a file, hash that, unpack it aside, mirror the tree.
func (w *world) stretcher(ctx context.Context, a archive, want sizes) (time.Duration, error) {
	dest, err := w.place()
	if err != nil {
		return 0, err
	}
	temp, aside := filepath.Join(w.dir, "stretcher.archive"), filepath.Join(w.dir, "stretcher.tree")
	defer func() { _ = os.RemoveAll(aside) }()
	defer func() { _ = os.Remove(temp) }()
	defer func() { _ = os.RemoveAll(filepath.Dir(dest)) }()
	began := time.Now()
	if err := command(ctx, append(curl(w.s3), "-o", temp, w.s3.Endpoint+"/"+bucket+"/"+a.Name)...); err != nil {
		return 0, err
	}
	sum, err := exec.CommandContext(ctx, "sha256sum", temp).Output()
	if err != nil {
		return 0, fmt.Errorf("sha256sum: %w", err)
	}
	if !bytes.HasPrefix(sum, []byte(a.SHA256)) {
		return 0, fmt.Errorf("sha256sum: %s has another digest: %s", a.Name, sum)
	}
	if err := os.Mkdir(aside, 0o755); err != nil {
		return 0, err
	}
	if err := command(ctx, "tar", "-xf", temp, "-C", aside); err != nil {
		return 0, err
	}
	if err := command(ctx, "rsync", "-a", "--delete", aside+"/", dest+"/"); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, complete(dest, want)
}

// complete insists that the tree at dest is all there.
func complete(dest string, want sizes) error {
	real, err := filepath.EvalSymlinks(dest)
	if err != nil {
		return err
	}
	got, err := measure(real)
	if err == nil && got != want {
		err = fmt.Errorf("%s: %d files of %d bytes in all, not %d of %d", dest, got.Files, got.Bytes, want.Files, want.Bytes)
	}
	return err
}
