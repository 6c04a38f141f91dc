package chef

import (
	"os"
	"strconv"
	"strings"
)

// kin are the processes below chef-solo, which run in sessions of their own
// and so outlive a kill of its process group. They are known by their parents
// while chef-solo lives and by their sessions afterwards. The environment is
// no good for that: a service that a recipe started long before carries the
// same one, and must not die because a later resource hung.
type kin struct {
	keep     bool           // add to what is known instead of replacing it
	known    map[int]string // pid → start time, which tells a reused pid
	sessions map[int]bool   // that they lead
}

// look notes the descendants of pid. It reads the whole process table, some
// 10 ms for a thousand processes: not every kernel lists children.
func (k *kin) look(pid int) {
	all := processes()
	if !k.keep || k.known == nil {
		k.known, k.sessions = map[int]string{}, map[int]bool{}
	}
	below := map[int]bool{pid: true}
	spread(all, below)
	delete(below, pid)
	for child := range below {
		k.known[child] = all[child].start
		if all[child].session == child {
			k.sessions[child] = true
		}
	}
}

// left lists who of them is still there, with all of their sessions and below.
func (k *kin) left() []int {
	if len(k.known) == 0 {
		return nil
	}
	all := processes()
	out := map[int]bool{}
	for pid, s := range all {
		if k.sessions[s.session] || k.known[pid] == s.start {
			out[pid] = true
		}
	}
	spread(all, out)
	pids := make([]int, 0, len(out))
	for pid := range out {
		pids = append(pids, pid)
	}
	return pids
}

// spread adds to in all descendants of those in it.
func spread(all map[int]stat, in map[int]bool) {
	for more := true; more; {
		more = false
		for pid, s := range all {
			if !in[pid] && in[s.parent] {
				in[pid], more = true, true
			}
		}
	}
}

// processes is the process table, without the dead and without us.
func processes() map[int]stat {
	all := map[int]stat{}
	dir, err := os.Open("/proc")
	if err != nil {
		return all
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		if s, ok := readStat(pid); ok && s.state != "Z" && s.state != "X" {
			all[pid] = s
		}
	}
	return all
}

// stat is the part of /proc/<pid>/stat that matters here.
type stat struct {
	state           string
	parent, session int
	start           string // clock ticks since boot
}

func readStat(pid int) (stat, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	// The name is in parentheses and may hold some itself.
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(f) < 20 {
		return stat{}, false
	}
	parent, _ := strconv.Atoi(f[1])
	session, _ := strconv.Atoi(f[3])
	return stat{state: f[0], parent: parent, session: session, start: f[19]}, true
}
