// Package release is DISK: it stages a tree beside its destination, brings it
// there, keeps the trees of before and goes back to them.
//
//	Open ─► Dir: unpack here ─► Proven ─┬─ release: (converge in Dir) ─► Activate ─► Prune
//	          .<id>.unverified          ├─ rsync:   Sync mirrors into dest
//	                                    └─ mv:      Sync renames to dest
//
// Where things are, for dest /srv/web:
//
//	/srv/web                            release: a symlink to web.releases/<id>
//	/srv/web.releases/<id>              release: a proven tree; before-<id> is the directory that stood at dest
//	/srv/web.releases/.<id>.json        release: when it was proven, what was current before it, whether a mirror has changed it
//	/srv/web.releases/.<id>.unverified  release: a stage
//	/srv/.web.gurney/                   rsync, mv: stages
//	/srv/web/.gurney/                   rsync, where dest is a mount point or nothing may be made beside it: stages; the mirror never sees it
//
// Everything that is not proven, and everything on its way out, has a name
// that begins with a dot; Open removes what interrupted runs left of it. The
// package keeps no lock: one run at a time on a node is the caller's to hold.
//
// All disk errors are wrapped: errors.Is(err, syscall.ENOSPC) holds.
package release

import (
	"io"
	"io/fs"
	"time"
)

// Strategy is how a staged tree gets to dest; the words are those of the
// manifest's sync_strategy.
type Strategy string

// The strategies.
const (
	Symlink Strategy = "release" // a symlink at dest is flipped, atomically
	Rsync   Strategy = "rsync"   // dest is made a mirror of the stage, file by file
	Mv      Strategy = "mv"      // the stage is renamed to dest, which must not exist
)

// Options say what Open stages, and for where.
type Options struct {
	Dest     string   // absolute; see CheckDest
	Allowed  []string // the config's dests; empty: see CheckDest
	Strategy Strategy
	ID       string      // of the deployment; names the directory: letters, digits, '.', '_', '-'
	Mode     fs.FileMode // dest_mode, as Go's or as Unix's bits; 0: 0755
}

// Activation tells what Activate did.
type Activation struct {
	ID       string
	Previous string // id of the release that was current before, or the absolute path of what was; "": nothing
	Kept     string // where the directory is now that stood at dest; "": none did
	Already  bool   // it was current before
}

// SyncOptions are for rsync, and for what LeaveOut leaves out; mv ignores them.
type SyncOptions struct {
	Excludes    []string  // rsync exclude patterns
	ExcludeFrom string    // file of patterns, relative to the stage; read before Excludes
	Verbose     io.Writer // nil, or takes a line for each path changed or deleted
}

// SyncStats count what Sync did to entries that are not directories.
type SyncStats struct {
	Updated, Unchanged, Deleted int
}

// Info is a release on disk.
type Info struct {
	ID       string
	Path     string
	When     time.Time // when it was proven, or put aside
	Current  bool      // dest points at it
	Previous bool      // it was current before the current one
	Aside    bool      // the directory that stood at dest before <id>; never pruned
}
