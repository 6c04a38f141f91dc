package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gurney/artifact"
	"gurney/artifact/s3"
	"gurney/manifest"
	"gurney/release"
	"gurney/report"
	"gurney/screen"
)

// publishCmd packs a directory, uploads it under its digest, and then its
// manifest: a manifest never names an archive that is not there.
type publishCmd struct {
	Dir      string   `arg:"" type:"existingdir" help:"The directory to pack: a Chef repository, an app."`
	To       string   `arg:"" help:"Where to, such as s3://bucket/prefix/."`
	Manifest string   `placeholder:"FILE" type:"existingfile" help:"Take this manifest, with src and checksum filled in; default: one for chef."`
	Dest     string   `placeholder:"PATH" default:"/srv/chef" help:"dest of the default manifest (${default})."`
	App      string   `placeholder:"APP" help:"app of the default manifest."`
	Name     string   `default:"manifest.yml" placeholder:"NAME" help:"Name of the manifest there (${default})."`
	Format   string   `enum:"tar.zst,tar.gz" default:"tar.zst" help:"tar.zst or tar.gz (${default})."`
	Exclude  []string `placeholder:"PATTERN" sep:"none" help:"Leave out what matches, such as .git (again for more)."`
	Output   string   `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// AfterApply is kong's hook: what is wrong with the manifest that publish writes
// itself is wrong with the flag, not with a file that nobody has.
func (b *publishCmd) AfterApply() error {
	switch {
	case b.Manifest != "":
		return nil
	case !filepath.IsAbs(b.Dest) && !strings.Contains(b.Dest, "{{"): // a template is rendered on the node
		return fmt.Errorf("--dest %s: an absolute path is wanted", b.Dest)
	case b.App != "":
		if err := validApp(b.App); err != nil {
			return fmt.Errorf("--app: %w", err)
		}
	}
	return nil
}

func (b *publishCmd) Run(ctx context.Context, p *process, c *cli) error {
	cfg, _, err := c.configuration(p)
	if err != nil {
		return err
	}
	to, err := url.Parse(b.To)
	if err != nil || to.Scheme != "s3" || to.Host == "" {
		return usageError("%s: publish writes to S3: s3://bucket/prefix/ is wanted", b.To)
	}
	doc, err := b.document()
	if err != nil {
		return err
	}
	mtime, err := sourceDate(p)
	if err != nil {
		return err
	}
	store, err := s3.New(ctx, s3.Options{Endpoint: cfg.S3.Endpoint, Region: cfg.S3.Region, PathStyle: cfg.S3.PathStyle})
	if err != nil {
		return &exitError{Code: exitUsage, Err: err}
	}
	line := screen.NewLine(p.Stderr, terminal(p.Stderr))
	defer line.Done()
	line.Set("packing " + b.Dir)
	packed, err := b.pack(ctx, mtime)
	if err != nil {
		return err
	}
	defer packed.remove()
	src := to.JoinPath(packed.sha256 + "." + b.Format)
	// The manifest is checked before anything is uploaded.
	filled, err := manifest.Fill(doc, src.String(), packed.sha256)
	if err != nil {
		return err
	}
	if _, _, err := manifest.Parse(b.manifestName(), filled, manifest.ParseOptions{Env: p.Env, TolerateEnv: true}); err != nil {
		return &exitError{Code: exitUsage, Err: err}
	}
	fresh, err := packed.upload(ctx, store, src, line)
	if err != nil {
		return err
	}
	at := to.JoinPath(b.Name)
	if err := store.Put(ctx, at, strings.NewReader(string(filled)), "application/yaml"); err != nil {
		return err
	}
	line.Done()
	if b.Output == "json" {
		return writeJSON(p.Stdout, map[string]any{"src": src.String(), "sha256": packed.sha256, "bytes": packed.size,
			"files": packed.stats.Files, "uploaded": fresh, "manifest": at.String()})
	}
	note := ""
	if !fresh {
		note = ", was there already"
	}
	const indent = 10
	size := fmt.Sprintf("%s, %s%s", report.Bytes(packed.size), report.Count(int(packed.stats.Files), "entry", "entries"), note)
	if err := put(p, "archive   ", indent, src.String()+"\n"+size); err != nil {
		return err
	}
	return put(p, "manifest  ", indent, at.String())
}

// document is the manifest to be filled in.
func (b *publishCmd) document() ([]byte, error) {
	if b.Manifest != "" {
		return readFile(b.Manifest)
	}
	var doc strings.Builder
	doc.WriteString("src:\nchecksum:\n")
	fmt.Fprintf(&doc, "dest: %s\n", strconv.Quote(b.Dest))
	if b.App != "" {
		fmt.Fprintf(&doc, "app: %s\n", strconv.Quote(b.App))
	}
	doc.WriteString("chef: {}\n")
	return []byte(doc.String()), nil
}

func (b *publishCmd) manifestName() string {
	if b.Manifest != "" {
		return b.Manifest
	}
	return path.Base(b.Name)
}

// sourceDate is SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/),
// nil where it is not set.
func sourceDate(p *process) (*time.Time, error) {
	text := p.getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return nil, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return nil, usageError("SOURCE_DATE_EPOCH: unix seconds are wanted, got %q", text)
	}
	t := time.Unix(seconds, 0).UTC()
	return &t, nil
}

// packed is the archive, on this machine's disk: its name is its digest, which
// is known when it is whole.
type packed struct {
	file   *os.File
	sha256 string
	size   int64
	stats  artifact.PackStats
}

func (b *publishCmd) pack(ctx context.Context, mtime *time.Time) (packed, error) {
	f, err := os.CreateTemp("", "gurney-publish-*")
	if err != nil {
		return packed{}, err
	}
	a := packed{file: f}
	h := sha256.New()
	a.stats, err = artifact.Pack(ctx, io.MultiWriter(f, h), b.Dir, artifact.PackOptions{Format: b.Format, Excluded: b.excluder(), Mtime: mtime})
	if err == nil {
		a.size, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		a.remove()
		return packed{}, err
	}
	a.sha256 = hex.EncodeToString(h.Sum(nil))
	return a, nil
}

// excluder says what a manifest with these excludes would not bring. One that
// begins with ./ matches nothing in rsync; here it means what DIR itself has.
func (b *publishCmd) excluder() func(path string, isDir bool) bool {
	patterns := slices.Clone(b.Exclude)
	for i, p := range patterns {
		if rest, ok := strings.CutPrefix(p, "./"); ok {
			patterns[i] = "/" + rest
		}
	}
	return release.Excluder(patterns)
}

func (a packed) remove() {
	_ = a.file.Close()
	_ = os.Remove(a.file.Name())
}

// upload brings the archive to src unless it is there: its name is its digest.
func (a packed) upload(ctx context.Context, store *s3.Store, src *url.URL, line *screen.Line) (fresh bool, err error) {
	size, found, err := store.Exists(ctx, src)
	if err != nil {
		return false, err
	}
	if found && size == a.size {
		return false, nil
	}
	if _, err := a.file.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	return true, store.Put(ctx, src, &counted{r: a.file, total: a.size, line: line}, "application/octet-stream")
}

// counted shows how much was read.
type counted struct {
	r           io.Reader
	done, total int64
	line        *screen.Line
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.done += int64(n)
	c.line.Set(fmt.Sprintf("uploading %s of %s", report.Bytes(c.done), report.Bytes(c.total)))
	return n, err
}
