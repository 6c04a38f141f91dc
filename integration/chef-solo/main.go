// Command chef-solo stands in for Chef's chef-solo where there is no Ruby: in
// Gurney's tests and demo. Never use it to configure a machine.
package main

import (
	"os"

	"gurney/integration/standin"
)

func main() {
	os.Exit(standin.Main(os.Args[1:], os.Stdout))
}
