package faults_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// process is one of the node's.
type process struct {
	pid     int
	command string
}

// processes are those of the node: what its agent started, and what that
// started in turn, all have the node's directory in their environment.
func (n *node) processes() (out []process) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err != nil || !strings.Contains("\x00"+string(env), "\x00HOST="+n.Dir+"\x00") {
			continue // another's, or gone
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		out = append(out, process{pid, strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))})
	}
	return out
}

// strays are the node's processes beside its agent's.
func (n *node) strays() (out []process) {
	for _, p := range n.processes() {
		if n.Agent == nil || p.pid != n.Agent.Pid() {
			out = append(out, p)
		}
	}
	return out
}

// chef is the process of chef-solo; 0 where none runs.
func (n *node) chef() int {
	for _, p := range n.processes() {
		if argv := strings.Fields(p.command); len(argv) > 0 && strings.HasPrefix(filepath.Base(argv[0]), "chef-solo") {
			return p.pid
		}
	}
	return 0
}
