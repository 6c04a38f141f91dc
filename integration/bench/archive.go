package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"gurney/integration/fleet"
)

// leastFiles is the size of tree that the figures are promised for.
const leastFiles = 10_000

// sizes are what tells whether a tree is all there.
type sizes struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// archive is the tree in one format.
type archive struct {
	Name   string // of the file
	Label  string // for people
	Path   string
	SHA256 string
}

// The archives, as their makers would pack them.
var recipes = []struct{ name, label, pack string }{
	{"tree.tar.gz", "tar.gz -6", "gzip -6"},
	{"tree.tar.zst", "tar.zst -3", "zstd -3 -q"},
	{"tree-19.tar.zst", "tar.zst -19", "zstd -19 -T0 -q"},
}

// archives makes the tree and packs it, or finds what was made before. The
// tree is Go's own source and the binary of Consul.
func archives(ctx context.Context, cache string, say func(string, ...any)) (sizes, []archive, error) {
	consul, err := fleet.Tool("consul")
	if err != nil {
		return sizes{}, nil, err
	}
	info, err := os.Stat(consul)
	if err != nil {
		return sizes{}, nil, err
	}
	dir := filepath.Join(cache, fmt.Sprintf("%s-%d", runtime.Version(), info.Size()))
	tree := filepath.Join(dir, "tree")
	if _, err := os.Stat(tree); errors.Is(err, fs.ErrNotExist) {
		say("copying Go's source and Consul's binary to %s", tree)
		if err := makeTree(ctx, tree, consul); err != nil {
			return sizes{}, nil, fmt.Errorf("make the tree: %w", err)
		}
	}
	size, err := measure(tree)
	if err != nil {
		return sizes{}, nil, err
	}
	if size.Files < leastFiles {
		return sizes{}, nil, fmt.Errorf("the tree of Go's source has %d files; %d at least are wanted", size.Files, leastFiles)
	}
	var out []archive
	for _, r := range recipes {
		a := archive{Name: r.name, Label: r.label, Path: filepath.Join(dir, r.name)}
		if _, err := os.Stat(a.Path); errors.Is(err, fs.ErrNotExist) {
			say("packing %s (%s)", r.name, r.pack)
			// Under another name until it is whole.
			script := fmt.Sprintf("set -o pipefail; tar -C %q -cf - . | %s >%q && mv %[3]q %q", tree, r.pack, a.Path+".part", a.Path)
			if err := command(ctx, "bash", "-c", script); err != nil {
				return sizes{}, nil, err
			}
		}
		if a.SHA256, err = digest(a.Path); err != nil {
			return sizes{}, nil, err
		}
		out = append(out, a)
	}
	return size, out, nil
}

func makeTree(ctx context.Context, tree, consul string) error {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	part := tree + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(part, "bin"), 0o755); err != nil {
		return err
	}
	for _, from := range []string{filepath.Join(strings.TrimSpace(string(root)), "src"), consul} {
		to := filepath.Join(part, "src")
		if from == consul {
			to = filepath.Join(part, "bin", "consul")
		}
		if err := command(ctx, "cp", "-a", from, to); err != nil {
			return err
		}
	}
	return os.Rename(part, tree)
}

// measure counts a tree's files and their bytes.
func measure(tree string) (sizes, error) {
	var s sizes
	err := filepath.WalkDir(tree, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			s.Files++
			s.Bytes += info.Size()
		}
		return err
	})
	return s, err
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// command runs a program that says nothing when all is well.
func command(ctx context.Context, argv ...string) error {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", argv[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}
