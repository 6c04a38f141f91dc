package kin

import (
	"os"
	"strconv"
	"strings"

	"gurney/proc"
)

// processes is the process table, without this process and those it runs below:
// whoever sweeps does not end itself.
func processes() map[int]proc.Process {
	all := proc.All()
	for pid := os.Getpid(); pid > 0; {
		p, ok := all[pid]
		if !ok {
			break
		}
		delete(all, pid)
		pid = p.Parent
	}
	return all
}

// environ is what the process was started with; nil where it is not ours to
// read.
func environ(pid int) []string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return nil
	}
	return strings.Split(string(data), "\x00")
}

// spread adds to in all descendants of those in it.
func spread(all map[int]proc.Process, in map[int]bool) {
	for more := true; more; {
		more = false
		for pid, p := range all {
			if !in[pid] && in[p.Parent] {
				in[pid], more = true, true
			}
		}
	}
}
