package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// wanted is the room that a benchmark takes: the archives, and a few trees.
const wanted = 4 << 30

// spacious is a directory in memory with enough room, so that no disk is
// measured; the directory for temporary files where there is none.
func spacious() string {
	for _, dir := range []string{os.TempDir(), "/dev/shm", os.Getenv("XDG_RUNTIME_DIR")} {
		if inMemory(dir) && room(dir) >= wanted && unix.Access(dir, unix.W_OK) == nil {
			return dir
		}
	}
	return os.TempDir()
}

func inMemory(dir string) bool {
	var s unix.Statfs_t
	return unix.Statfs(dir, &s) == nil && s.Type == unix.TMPFS_MAGIC
}

// room is how many bytes are free where dir is.
func room(dir string) uint64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0
	}
	return s.Bavail * uint64(s.Bsize) //nolint:gosec // the size of a block
}

// load is the machine's load average of the last minute (proc_loadavg(5)); 0
// where it can't be read. What gains by doing things side by side can't show
// it where others keep all processors busy.
func load() (average float64) {
	data, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		_, _ = fmt.Sscan(string(data), &average)
	}
	return average
}
