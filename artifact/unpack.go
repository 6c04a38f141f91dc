package artifact

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
)

// Stats say what was unpacked.
type Stats struct {
	Files   int64 // entries of any kind
	Bytes   int64 // of file content
	Fetched int64 // of the archive
	Format  string
}

// Defaults of Limits.
const (
	defaultFiles = 1_000_000
	defaultBytes = 20 << 30
)

// Unpack brings the archive's tree into the directory stage, which must be
// empty, in one pass: fetching, hashing, inflating and writing overlap, and
// the archive itself touches no disk (but for a zip, which is spooled beside
// stage). What stands in stage is proven only when the error is nil; else it
// is empty again. *ChecksumError says that the bytes were not the promised
// ones.
func (f *Fetcher) Unpack(ctx context.Context, u *url.URL, sum Digest, stage string) (Stats, error) {
	var stats Stats
	err := f.whole(ctx, u, func(ctx context.Context, o *object) error {
		err := f.verify(ctx, o, sum, func(ctx context.Context, r *chunkReader) (err error) {
			stats, err = f.extract(ctx, r, stage)
			return err
		})
		stats.Fetched = o.fetched
		if err != nil {
			if e := clearDir(stage); e != nil {
				f.Log.Warn().Err(e).Str("stage", stage).Msg("what is not proven can't be removed")
				return &settledError{err} // so it can't be tried again either
			}
		}
		return err
	})
	return stats, err
}

// UnpackFile unpacks an archive that is already here, and proven.
func (f *Fetcher) UnpackFile(ctx context.Context, path, stage string) (Stats, error) {
	in, err := os.Open(path)
	if err != nil {
		return Stats{}, err
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return Stats{}, err
	}
	stats, err := f.extract(ctx, in, stage)
	stats.Fetched = info.Size()
	return stats, err
}

// clearDir removes what is in dir and leaves dir itself.
func clearDir(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	entries, err := fs.ReadDir(root.FS(), ".")
	for _, e := range entries {
		removed := root.RemoveAll(e.Name())
		if errors.Is(removed, fs.ErrPermission) {
			openUp(root, e.Name())
			removed = root.RemoveAll(e.Name())
		}
		if err == nil {
			err = removed
		}
	}
	return err
}

// openUp lets their owner into the directories at name and below: an archive
// may bring some that are shut.
func openUp(root *os.Root, name string) {
	_ = fs.WalkDir(root.FS(), name, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = root.Chmod(path, 0o700)
		}
		return nil
	})
}

// extract writes the archive that r holds into stage.
func (f *Fetcher) extract(ctx context.Context, r io.Reader, stage string) (Stats, error) {
	head := bufio.NewReaderSize(r, 64<<10)
	first, err := head.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return Stats{}, err
	}
	format, err := sniff(first)
	if err != nil {
		return Stats{}, err
	}
	t, err := newTree(stage, f.Limits)
	if err != nil {
		return Stats{}, err
	}
	if format == formatZip {
		err = unzip(ctx, head, t, stage+".zip")
	} else {
		err = untar(ctx, format, head, t)
	}
	if e := t.finish(err == nil); err == nil {
		err = e
	}
	return Stats{Files: t.files, Bytes: t.bytes, Format: format}, err
}
