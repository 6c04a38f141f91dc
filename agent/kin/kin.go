// Package kin is THE PROCESSES OF A RUN: chef-solo, the manifest's commands,
// and what those started in turn, in whatever session and below whatever
// parent. They are known by three things:
//
//	cgroup    where the machine lets the run have one: nobody slips out of it
//	mark      in the environment, which children inherit
//	ancestry  as far as it was noted before the stop
//
// A run that is stopped sweeps them all. One that ended by itself leaves alone
// what it started, for that may be a service. What is left of a run that was
// killed is swept by who finds it dead, before another one begins.
package kin

import (
	"crypto/rand"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/rs/zerolog"
)

// Variable is the mark's name in the environment.
const Variable = "GURNEY_RUN_MARK"

// Kin are the processes of one run, or those of its last part.
type Kin struct {
	mark   string
	cgroup *cgroup // nil: by mark and ancestry alone

	mu    sync.Mutex
	known map[int]string // pid → start time, which tells a reused pid
}

// New is the kin of a run that has none yet. Close follows.
func New(log zerolog.Logger) *Kin {
	k := &Kin{mark: rand.Text()}
	var err error
	if k.cgroup, err = newCgroup(k.mark); err != nil {
		log.Debug().Err(err).Msg("the run has no cgroup of its own: its processes are known by their environment")
	}
	return k
}

// Of is the kin of a run that is dead, by what that had written down.
func Of(mark, cgroup string) *Kin {
	return &Kin{mark: mark, cgroup: knownCgroup(cgroup)}
}

// After is a new part of k: swept alone, or with all of k.
func (k *Kin) After() *Kin {
	return &Kin{mark: k.mark + ".after", cgroup: k.cgroup.below("after")}
}

// Mark and Cgroup are for writing down, so that Of finds the kin of a run that
// was killed. Cgroup is "" where the machine gave none.
func (k *Kin) Mark() string { return k.mark }

// Cgroup is the directory of the run's own; see Mark.
func (k *Kin) Cgroup() string {
	if k.cgroup == nil {
		return ""
	}
	return k.cgroup.path
}

// Env is the mark as it stands in an environment.
func (k *Kin) Env() string { return Variable + "=" + k.mark }

// Enter makes the process that is started with attr begin in the cgroup. It
// belongs to k by Env too, which is the caller's to add.
func (k *Kin) Enter(attr *syscall.SysProcAttr) {
	if fd, ok := k.cgroup.open(); ok {
		attr.UseCgroupFD, attr.CgroupFD = true, fd
	}
}

// Note remembers who runs below this process now: those whose environment
// does not tell, and whose parents are about to end.
func (k *Kin) Note() {
	all := processes()
	below := map[int]bool{os.Getpid(): true}
	spread(all, below)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil {
		k.known = map[int]string{}
	}
	for pid := range below {
		if p, ok := all[pid]; ok {
			k.known[pid] = p.Start
		}
	}
}

// members are those of k that live, with all that runs below them. Neither
// this process nor one that it runs below is ever among them.
func (k *Kin) members() map[int]string {
	all := processes()
	in := map[int]bool{}
	for _, pid := range k.cgroup.pids() {
		in[pid] = true
	}
	k.mu.Lock()
	for pid, start := range k.known {
		in[pid] = in[pid] || all[pid].Start == start
	}
	k.mu.Unlock()
	for pid := range all {
		in[pid] = in[pid] || k.marked(pid)
	}
	maps.DeleteFunc(in, func(_ int, yes bool) bool { return !yes })
	spread(all, in)
	out := map[int]string{}
	for pid := range in {
		if p, ok := all[pid]; ok {
			out[pid] = p.Start
		}
	}
	return out
}

// marked says whether the process was started with k's mark, or a part's.
func (k *Kin) marked(pid int) bool {
	for _, v := range environ(pid) {
		if value, ok := strings.CutPrefix(v, Variable+"="); ok {
			return value == k.mark || strings.HasPrefix(value, k.mark+".")
		}
	}
	return false
}

// Close gives the cgroup back, where nobody is in it any more.
func (k *Kin) Close() { k.cgroup.close() }

func sorted(pids map[int]string) []int { return slices.Sorted(maps.Keys(pids)) }
