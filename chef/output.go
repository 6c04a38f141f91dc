package chef

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

const (
	outputMax = 256 << 20 // bytes of one output file, unless told
	tailMax   = 1 << 20   // bytes of output that a verdict is drawn from
)

// output is the file that chef-solo writes to. It is a file because Chef
// aborts its converge when a pipe closes, and a reader can die.
type output struct {
	file  *os.File
	path  string
	start int64 // where this run's output begins
	max   int64
	moved bool // part of it is in path.1
}

func openOutput(path string, appending bool, limit int64) (*output, error) {
	if limit <= 0 {
		limit = outputMax
	}
	if !appending {
		if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("keep the former output: %w", err)
		}
	}
	// O_APPEND: after a rotation chef-solo goes on at the new end.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open chef-solo's output: %w", err)
	}
	o := &output{file: f, path: path, max: limit}
	if o.start, err = f.Seek(0, io.SeekEnd); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("open chef-solo's output: %w", err)
	}
	return o, nil
}

func (o *output) Close() { _ = o.file.Close() }

// bound moves what was written to path.1 once it is over the limit, and
// empties the file, to which chef-solo holds on. What it writes between the
// copy's end and the cut is lost: some lines out of hundreds of megabytes.
func (o *output) bound() error {
	info, err := o.file.Stat()
	if err != nil || info.Size() <= o.max {
		return err
	}
	old, err := os.OpenFile(o.path+".1", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(old, io.NewSectionReader(o.file, 0, 1<<62))
	if cerr := old.Close(); err == nil {
		err = cerr
	}
	// Even when the copy has no room: the disk must not fill up with output.
	if terr := o.file.Truncate(0); err == nil {
		err = terr
	}
	o.start, o.moved = 0, true
	return err
}

// tail returns the last part of what this run wrote, at most tailMax bytes.
func (o *output) tail() (string, error) {
	last, err := lastBytes(o.file, o.start, tailMax)
	if err != nil || !o.moved || len(last) == tailMax {
		return last, err
	}
	old, err := os.Open(o.path + ".1")
	if err != nil {
		return last, err
	}
	defer old.Close()
	before, err := lastBytes(old, 0, tailMax-len(last))
	return before + last, err
}

func lastBytes(f *os.File, start int64, n int) (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	from := max(start, info.Size()-int64(n))
	data, err := io.ReadAll(io.NewSectionReader(f, from, int64(n)))
	return string(data), err
}
