package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	smallFile   = 64 << 10 // bytes; larger files are written while they are read
	writerCount = 2
	writerQueue = 16 // files that wait for each writer
)

// writers write small files side by side. A path goes to one writer always,
// so that a later entry of a name comes after an earlier one.
type writers struct {
	meta *metadata
	dirs *dirCache
	jobs [writerCount]chan job
	done sync.WaitGroup
	bufs *buffers

	mu      sync.Mutex
	idle    *sync.Cond
	waiting map[string]int // paths that are not written yet
	err     error
}

type job struct {
	dir  *dir
	path string
	base string
	info entryInfo
	data []byte
}

func newWriters(meta *metadata, dirs *dirCache) *writers {
	w := &writers{meta: meta, dirs: dirs, waiting: map[string]int{}}
	w.idle = sync.NewCond(&w.mu)
	w.bufs = newBuffers(smallFile, writerCount*(writerQueue+1)+1)
	for i := range w.jobs {
		w.jobs[i] = make(chan job, writerQueue)
		w.done.Go(func() {
			for j := range w.jobs[i] {
				w.write(j)
			}
		})
	}
	return w
}

// small reads the content whole and leaves the writing to a writer, which
// releases d.
func (w *writers) small(ctx context.Context, d *dir, path, base string, e entryInfo, content io.Reader) error {
	buf := w.bufs.get()[:e.size]
	_, err := io.ReadFull(content, buf)
	if err == nil {
		// One byte more would be an entry that is longer than it says.
		// A zip's checksum is compared where its entry ends.
		var more [1]byte
		var n int
		if n, err = content.Read(more[:]); n > 0 {
			err = &FormatError{What: fmt.Sprintf("%q is longer than its header says", e.name)}
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		w.dirs.release(d)
		return readError(e.name, err)
	}
	w.mu.Lock()
	w.waiting[path]++
	w.mu.Unlock()
	select {
	case w.jobs[shard(path)] <- job{d, path, base, e, buf}:
		return nil
	case <-ctx.Done():
		w.through(path)
		w.dirs.release(d)
		return ctx.Err()
	}
}

// shard spreads paths over the writers: FNV-1a.
func shard(path string) int {
	h := uint32(2166136261)
	for i := range len(path) {
		h = (h ^ uint32(path[i])) * 16777619
	}
	return int(h % writerCount)
}

func (w *writers) write(j job) {
	defer w.through(j.path)
	defer w.dirs.release(j.dir)
	defer w.bufs.put(j.data)
	if w.failed() != nil {
		return
	}
	err := w.file(j)
	if err != nil {
		w.mu.Lock()
		if w.err == nil {
			w.err = &EntryError{Name: j.info.name, Err: err}
		}
		w.mu.Unlock()
	}
}

func (w *writers) file(j job) error {
	fd, err := create(j.dir.fd, j.base, j.info.mode)
	if err != nil {
		return err
	}
	for data := j.data; len(data) > 0 && err == nil; {
		var n int
		n, err = unix.Write(fd, data)
		if errors.Is(err, unix.EINTR) {
			err = nil
			continue
		}
		data = data[max(n, 0):]
	}
	if err == nil {
		err = w.meta.file(j.dir.fd, fd, j.base, j.info)
	}
	if c := unix.Close(fd); err == nil {
		err = c
	}
	return err
}

func (w *writers) through(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting[path]--; w.waiting[path] == 0 {
		delete(w.waiting, path)
	}
	if len(w.waiting) == 0 {
		w.idle.Broadcast()
	}
}

// inFlight says whether path waits for its writer.
func (w *writers) inFlight(path string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting[path] > 0
}

// wait returns when all that was handed over is written.
func (w *writers) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) > 0 {
		w.idle.Wait()
	}
}

func (w *writers) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// close waits for the writers to end and returns what went wrong.
func (w *writers) close() error {
	for _, c := range w.jobs {
		close(c)
	}
	w.done.Wait()
	return w.failed()
}
