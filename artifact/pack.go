package artifact

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// PackOptions say how a tree becomes an archive.
type PackOptions struct {
	Format string // tar.zst or tar.gz
	// Excluded says whether the entry at a path, relative to the tree, is left
	// out, and with a directory all below it. nil: nothing is.
	Excluded func(path string, isDir bool) bool
	// Mtime is set on every entry; nil keeps each file's own, in whole seconds.
	Mtime *time.Time
}

// PackStats say what was packed.
type PackStats struct {
	Files int64 // entries of any kind
	Bytes int64 // of file content
}

// Pack writes dir's tree to w: the same tree gives the same bytes, on every
// machine and whoever packs. Entries are sorted, belong to 0:0 and have no
// names of users. Sockets, devices and pipes are errors; symlinks are packed
// as they are.
func Pack(ctx context.Context, w io.Writer, dir string, o PackOptions) (stats PackStats, err error) {
	z, err := deflate(w, o.Format)
	if err != nil {
		return PackStats{}, err
	}
	p := &packer{tw: tar.NewWriter(z), o: o, links: map[inode]string{}}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return PackStats{}, fmt.Errorf("pack: %w", err)
	}
	defer func() { _ = root.Close() }()
	p.root = root
	// WalkDir goes in lexical order, and follows no symlink.
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || name == "." {
			return err
		}
		if o.Excluded != nil && o.Excluded(name, d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return p.add(name)
	})
	if err == nil {
		err = p.tw.Close()
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return PackStats{}, fmt.Errorf("pack %s: %w", dir, err)
	}
	return p.stats, nil
}

// deflate compresses as the formats of the benchmarks do: gzip's level 6,
// zstd's default, which is its 3.
func deflate(w io.Writer, format string) (io.WriteCloser, error) {
	switch format {
	case formatGz:
		return gzip.NewWriterLevel(w, 6)
	case formatZst:
		// More than one encoder gives the same bytes: blocks stay in order.
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault))
	}
	return nil, fmt.Errorf("format %q: %s and %s are written", format, formatZst, formatGz)
}

type inode struct{ dev, ino uint64 }

type packer struct {
	root  *os.Root
	tw    *tar.Writer
	o     PackOptions
	links map[inode]string // files with several names, by the first
	stats PackStats
}

func (p *packer) add(name string) error {
	info, err := p.root.Lstat(name)
	if err != nil {
		return err
	}
	h := &tar.Header{Name: filepath.ToSlash(name), Mode: int64(unixMode(info.Mode())), ModTime: info.ModTime().Truncate(time.Second), Format: tar.FormatPAX}
	if p.o.Mtime != nil {
		h.ModTime = p.o.Mtime.Truncate(time.Second)
	}
	p.stats.Files++
	switch info.Mode().Type() {
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		return p.tw.WriteHeader(h)
	case fs.ModeSymlink:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = p.root.Readlink(name); err != nil {
			return err
		}
		return p.tw.WriteHeader(h)
	case 0:
		return p.file(name, info, h)
	}
	return &EntryError{Name: name, Err: fmt.Errorf("it is a special file (%s), which no release carries; exclude it", info.Mode().Type())}
}

func (p *packer) file(name string, info fs.FileInfo, h *tar.Header) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
		id := inode{uint64(st.Dev), st.Ino}
		if first, seen := p.links[id]; seen {
			h.Typeflag, h.Linkname = tar.TypeLink, first
			return p.tw.WriteHeader(h)
		}
		p.links[id] = h.Name
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := p.tw.WriteHeader(h); err != nil {
		return err
	}
	f, err := p.root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	n, err := io.CopyN(p.tw, f, h.Size)
	p.stats.Bytes += n
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s became shorter while it was packed", name)
	}
	return err
}

func unixMode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		bits |= syscall.S_ISUID
	}
	if m&fs.ModeSetgid != 0 {
		bits |= syscall.S_ISGID
	}
	if m&fs.ModeSticky != 0 {
		bits |= syscall.S_ISVTX
	}
	return bits
}
