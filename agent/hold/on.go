//go:build faults

package hold

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// At stands at the point while it is held, or until done.
func At(done <-chan struct{}, point string) {
	dir := os.Getenv("GURNEY_HOLD")
	if dir == "" {
		return
	}
	for first := true; ; first = false {
		if _, err := os.Stat(filepath.Join(dir, point+".hold")); errors.Is(err, fs.ErrNotExist) {
			return
		}
		if first {
			// Whole or not at all: who waits for it reads it at once.
			held := filepath.Join(dir, point+".held")
			if os.WriteFile(held+".new", []byte(strconv.Itoa(os.Getpid())), 0o600) != nil || os.Rename(held+".new", held) != nil {
				return
			}
		}
		select {
		case <-done:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Writes is w, which may be nil, and stands at the point after n writes.
func Writes(w io.Writer, point string, n int) io.Writer {
	if w == nil {
		w = io.Discard
	}
	return &writes{w, point, n}
}

type writes struct {
	io.Writer
	point string
	left  int
}

func (w *writes) Write(p []byte) (int, error) {
	if w.left--; w.left == 0 {
		At(nil, w.point)
	}
	return w.Writer.Write(p)
}

// Pace is d, divided by GURNEY_PACE.
func Pace(d time.Duration) time.Duration {
	if n, err := strconv.Atoi(os.Getenv("GURNEY_PACE")); err == nil && n > 0 {
		return d / time.Duration(n)
	}
	return d
}
