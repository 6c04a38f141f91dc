package faults_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// disk is a small file system of its own.
type disk struct{ dir string }

// mounts says whether this process may mount one: in CI it is root.
func mounts() bool { return os.Geteuid() == 0 }

// mount mounts one of so many bytes at dir.
func mount(t *testing.T, dir string, size int64) *disk {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("gurney-faults", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return &disk{dir}
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill takes the last byte that is free.
func (d *disk) fill() error {
	f, err := os.Create(d.ballast())
	if err != nil {
		return err
	}
	defer f.Close()
	zeros := make([]byte, 64<<10)
	for len(zeros) > 0 {
		if _, err = f.Write(zeros); err == nil {
			continue
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
		zeros = zeros[:len(zeros)/2]
	}
	_, err = f.Write([]byte{0})
	if err == nil || errors.Is(err, syscall.ENOSPC) || errors.Is(err, io.ErrShortWrite) {
		return nil
	}
	return err
}

// free gives it back.
func (d *disk) free() error { return os.Remove(d.ballast()) }
