// Bench measures what the product promises of itself, on the built binary, a
// real Consul and a real S3 gateway:
//
//   - fresh deploys, event to result, against Stretcher's way of doing the
//     same (curl, sha256sum, tar -xf, rsync -a --delete), pair by pair;
//   - the memory of the run and the agent together at its peak, and of the
//     agent when it has been idle for a minute;
//   - how soon a deployment is accepted, against the start of consul watch's
//     handler for the same event.
//
// What counts is ratios of times that were taken side by side: a noisy machine
// then slows down both. The exit status is 1 where a figure is missed.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
