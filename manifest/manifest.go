// Package manifest is WHAT: the YAML document that says which archive goes
// where and what runs around it. It reads every key that Stretcher reads,
// with the same meaning, and a few of Gurney's own.
package manifest

import "time"

// Strategies of sync_strategy.
const (
	Release = "release"
	Rsync   = "rsync"
	Mv      = "mv"
)

// Manifest is a parsed and validated manifest, defaults filled in.
type Manifest struct {
	Src          string
	Checksum     Checksum
	Dest         string
	DestMode     uint32 // permission bits; 0755 unless given
	Commands     Commands
	Excludes     []string
	ExcludeFrom  string // a file inside the archive
	SyncStrategy string // Release, Rsync or Mv, never empty when Src is set
	App          string
	Chef         *Chef  // nil: chef-solo does not run
	Maintenance  string // "", hold, skip or ignore
	Drain        *bool  // nil: the configuration's word
	DrainWait    *time.Duration
	Timeout      time.Duration
	Keep         int // releases kept on disk, the current among them
	Index        *Index
}

// DryRun says whether Chef only says what it would change.
func (m *Manifest) DryRun() bool { return m.Chef != nil && m.Chef.WhyRun }

// Commands are lists for `sh -c`; the first failure ends its list.
type Commands struct {
	Pre, Post, Success, Failure []string
	Env                         map[string]string // secret: never shown
}

// Chef says how chef-solo converges the release.
type Chef struct {
	Nodes       string // directory of node JSON files inside the release
	Config      string // solo.rb, inside the release
	Environment string
	RunList     []string // Chef's -o
	LogLevel    string
	Timeout     time.Duration
	WhyRun      bool
}

// Index is reserved: the archive's index for fetching only what changed.
type Index struct{ Src, SHA256 string }

// Checksum is the hex digest of the archive; its length tells the algorithm.
type Checksum struct {
	Algorithm string // md5, sha1, sha256 or sha512
	Hex       string // lower case
}
