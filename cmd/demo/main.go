// Demo shows a whole fleet on one machine, without root: Consul's wire and S3
// in this process, three hosts that each have a directory and a real
// `gurney agent`, and a small Chef repository that is published, deployed,
// held in maintenance, caught up with, and deployed again.
//
//	operator's gurney ──► S3 (gofakes3) ◄──────┐
//	        │                                  │
//	        └──► Consul (consul/embedded) ◄── agents web-1, web-2, db-1
//
// It believes nobody: what the story tells is looked up on the disks and in
// the store, and the exit status is 1 where something is not as told.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// With SIGPIPE among them a reader that went away (make demo | head) ends
	// the story in order, too.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
