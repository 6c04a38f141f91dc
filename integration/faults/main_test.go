// Package faults_test does to a node what its worst minutes bring: it kills the
// agent, the run and Chef, restarts Consul, takes the servers' leader away,
// breaks S3 off and fills the disk, in every phase of a run, and holds that the
// node comes out right each time.
//
//	table   every phase × every fault × release and rsync; what can't happen says why
//	random  sequences of deployments, faults and maintenance, from a seed
//	disk    disks that stay full, or are read-only
//	consul  a sample of the table against a real Consul
//
// The binary is bin/gurney-faults, which is Gurney with points at which it can
// be held (package hold) and shorter waits between its tries. S3 is a real
// server behind a proxy that can break; Consul is the embedded one, one for
// each node, so that a lost leader is nobody else's.
package faults_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"gurney/integration/fleet"
)

// shared is what all nodes of this package use.
var shared struct {
	s3       *fleet.S3
	old, new archive
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "gurney-faults")
		if err == nil {
			defer os.RemoveAll(dir)
			shared.s3, err = fleet.StartS3(context.Background(), filepath.Join(dir, "s3"), "acme")
		}
		if err == nil {
			defer shared.s3.Kill()
			err = publish(dir)
		}
		if err != nil {
			fmt.Println("faults:", err)
			return 1
		}
		return m.Run()
	}())
}

// lanes are how many nodes have their faults at a time: most of a case is
// waiting, for processes to start and to be told.
var lanes = make(chan struct{}, 2+2*runtime.NumCPU())

// lane takes one until the test's end, and lets other tests run beside.
func lane(t *testing.T) {
	t.Helper()
	t.Parallel()
	lanes <- struct{}{}
	t.Cleanup(func() { <-lanes })
}
