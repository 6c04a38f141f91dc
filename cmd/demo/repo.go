package main

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
)

// sample is the Chef repository that is deployed, and its manifest. A real
// chef-solo takes it as it is.
//
//go:embed chef-repo manifest.yml
var sample embed.FS

// writeSample lays it out in dir, for the operator to publish and to edit.
func writeSample(dir string) error {
	return fs.WalkDir(sample, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, path)
		if e.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		data, err := sample.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o644)
	})
}
