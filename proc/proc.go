// Package proc reads the process table, as proc(5) has it.
package proc

import (
	"os"
	"strconv"
	"strings"
)

// Process is the part of /proc/<pid>/stat that matters here.
type Process struct {
	Parent, Group int
	Start         string // clock ticks since boot
}

// All is the process table by pid, without the dead; empty where it can't be
// read.
func All() map[int]Process {
	all := map[int]Process{}
	dir, err := os.Open("/proc")
	if err != nil {
		return all
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := Read(pid); ok {
			all[pid] = p
		}
	}
	return all
}

// Read returns false where the process is none, or dead and only not waited for.
func Read(pid int) (Process, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Process{}, false
	}
	// The name is in parentheses and may hold some itself.
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return Process{}, false
	}
	parent, _ := strconv.Atoi(f[1])
	group, _ := strconv.Atoi(f[2])
	return Process{parent, group, f[19]}, true
}
