package artifact

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zip"
	"github.com/mholt/archiver/v4"
)

// This is the one file that knows mholt/archiver. Formats are told by their
// magic bytes and handed over: its own Identify believes names.

// extractTar hands each entry of a tar to t.
func extractTar(ctx context.Context, r io.Reader, t *tree) error {
	err := archiver.Tar{}.Extract(ctx, r, func(ctx context.Context, f archiver.FileInfo) error {
		h, ok := f.Header.(*tar.Header)
		if !ok {
			return fmt.Errorf("header of type %T", f.Header)
		}
		if h.Typeflag == gnuLabel {
			return nil // tar --label: a name for the whole
		}
		return entry(ctx, t, f, tarEntry(h))
	})
	return extracted("tar", err)
}

// gnuLabel is GNU tar's type of a volume's label.
const gnuLabel = 'V'

// gnuDumpDir is GNU tar's type of a directory in an incremental archive. Its
// content lists what stood in it, which only tar --incremental obeys.
const gnuDumpDir = 'D'

func tarEntry(h *tar.Header) entryInfo {
	e := entryInfo{
		name: h.Name, link: h.Linkname, size: h.Size, mtime: h.ModTime, mode: h.FileInfo().Mode(),
		uid: h.Uid, gid: h.Gid, uname: h.Uname, gname: h.Gname, owned: true,
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeRegA, tar.TypeGNUSparse, tar.TypeCont: //nolint:staticcheck // old archives have TypeRegA
		e.kind = kindFile
	case tar.TypeDir, gnuDumpDir:
		e.kind = kindDir
	case tar.TypeSymlink:
		e.kind = kindSymlink
	case tar.TypeLink:
		e.kind = kindLink
	case tar.TypeChar, tar.TypeBlock:
		e.what = "a device"
	case tar.TypeFifo:
		e.what = "a named pipe"
	default:
		e.what = fmt.Sprintf("an entry of type %q", h.Typeflag)
	}
	return e
}

// extractZip hands each entry of a zip to t.
func extractZip(ctx context.Context, r io.Reader, t *tree) error {
	err := archiver.Zip{}.Extract(ctx, r, func(ctx context.Context, f archiver.FileInfo) error {
		h, ok := f.Header.(zip.FileHeader)
		if !ok {
			return fmt.Errorf("header of type %T", f.Header)
		}
		// archiver knows more methods, of which some take any amount of memory
		// and one panics where the bytes are broken.
		if h.Method != zip.Store && h.Method != zip.Deflate {
			return refuse(f.NameInArchive, "it is compressed by method %d, which is not read (stored and deflated are)", h.Method)
		}
		e := entryInfo{name: f.NameInArchive, size: f.Size(), mtime: f.ModTime(), mode: zipMode(h)}
		switch f.Mode().Type() {
		case 0:
			e.kind = kindFile
		case fs.ModeDir:
			e.kind = kindDir
		case fs.ModeSymlink:
			e.kind = kindSymlink
			target, err := readLink(f)
			if err != nil {
				return err
			}
			e.link = target
		default:
			e.what = "a special file (" + f.Mode().Type().String() + ")"
		}
		return entry(ctx, t, f, e)
	})
	return extracted("zip", err)
}

// zipMode is the entry's mode. Where no Unix made the entry there is none in
// it, and what a library says instead lets everybody write files, or nobody
// enter directories. (APPNOTE 4.4.2: who made it; 3 is Unix, 19 macOS.)
func zipMode(h zip.FileHeader) fs.FileMode {
	mode := h.Mode()
	made := h.CreatorVersion >> 8
	if (made == 3 || made == 19) && h.ExternalAttrs>>16 != 0 {
		return mode
	}
	if mode.IsDir() {
		return fs.ModeDir | 0o755
	}
	return mode.Type() | 0o644
}

// readLink reads a symlink's target, which a zip keeps as its content.
func readLink(f archiver.FileInfo) (string, error) {
	in, err := f.Open()
	if err != nil {
		return "", err
	}
	defer func() { _ = in.Close() }()
	const longest = 4096
	target, err := io.ReadAll(io.LimitReader(in, longest+1))
	if err == nil && len(target) > longest {
		err = refuse(f.NameInArchive, "the symlink's target is longer than %d bytes", longest)
	}
	return string(target), err
}

func entry(ctx context.Context, t *tree, f archiver.FileInfo, e entryInfo) error {
	if e.kind != kindFile {
		return t.add(ctx, e, nil)
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	err = t.add(ctx, e, in)
	if c := in.Close(); err == nil {
		err = c
	}
	return err
}

// extracted gives archiver's error its kind: the entry's own, the source's, or
// else the archive is broken.
func extracted(format string, err error) error {
	var ee *EntryError
	var fe *FormatError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ee):
		return ee
	case errors.As(err, &fe):
		return fe
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return broken(format, err)
}
