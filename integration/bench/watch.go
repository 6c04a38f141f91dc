package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gurney/integration/fleet"
)

// watch is `consul watch -type event` with a handler that does nothing but
// say that it has begun: it writes to a named pipe.
type watch struct {
	*fleet.Process
	pipe  *os.File
	began chan time.Time
}

func startWatch(dir, addr string) (*watch, error) {
	bin, err := fleet.Tool("consul")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "handler")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	w := &watch{began: make(chan time.Time, 64)}
	// Open for writing too: the handlers come and go, and the pipe stays.
	if w.pipe, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	go func() {
		for buf := make([]byte, 1); ; {
			if _, err := w.pipe.Read(buf); err != nil {
				return
			}
			w.began <- time.Now()
		}
	}()
	w.Process, err = fleet.Start(dir, nil, bin, "watch", "-http-addr="+addr, "-type=event", "-name="+app, "printf x >"+path)
	return w, err
}

// after waits for the handler that a firing which came back at from started,
// and returns how long after that it began.
func (w *watch) after(ctx context.Context, from time.Time) (time.Duration, error) {
	select {
	case at := <-w.began:
		return at.Sub(from), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-w.Done():
		return 0, fmt.Errorf("consul watch ended: %s", w.Out)
	case <-time.After(10 * time.Second):
		return 0, fmt.Errorf("consul watch starts no handler: %s", w.Out)
	}
}

// forget drops what began before.
func (w *watch) forget() {
	for len(w.began) > 0 {
		<-w.began
	}
}

func (w *watch) close() {
	if w.Process != nil {
		w.Kill()
	}
	_ = w.pipe.Close()
}
