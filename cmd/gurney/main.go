// Gurney carries a release to every node of a Consul fleet, runs chef-solo
// there, and tells what became of it.
//
// One file per command; wire.go brings the packages together.
package main

import (
	"os"
	"path/filepath"
	"strings"
)

// version is set by the linker.
var version = "dev"

func main() {
	p := process{
		Args:   os.Args[1:],
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		Env:    os.LookupEnv,
	}
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	if name == "stretcher" {
		os.Exit(runStretcher(p))
	}
	os.Exit(runCLI(p))
}
