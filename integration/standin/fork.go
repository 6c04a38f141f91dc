package standin

import (
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// forked is --fork: a worker does the run. It knows no exit code but 0 and 1,
// and what ends the parent does not end the worker.
func forked(args []string, stdout io.Writer) int {
	self, err := os.Executable()
	if err != nil {
		return exitFailed
	}
	worker := exec.Command(self, append(args[:len(args):len(args)], "--no-fork")...)
	worker.Stdout = stdout
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if err := worker.Start(); err != nil {
		return exitFailed
	}
	done := make(chan error, 1)
	go func() { done <- worker.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			return exitFailed
		}
		return 0
	case s := <-stop:
		if s == syscall.SIGINT {
			return exitInt
		}
		return exitTerm
	}
}
