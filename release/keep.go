package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

const (
	before     = "before-" // the directory that stood at dest
	metaSuffix = ".json"
	asideLink  = ".link"
)

// meta is what is kept about a release beside its tree.
type meta struct {
	Proven   time.Time `json:"proven"`
	Previous string    `json:"previous,omitempty"` // Activation.Previous
	Changed  bool      `json:"changed,omitempty"`  // a mirror wrote into the tree since
}

func metaPath(dest, id string) string {
	return filepath.Join(releases(dest), "."+id+metaSuffix)
}

func readMeta(dest, id string) meta {
	var m meta
	if data, err := os.ReadFile(metaPath(dest, id)); err == nil {
		_ = json.Unmarshal(data, &m) // lost: then the tree's own time counts
	}
	return m
}

func writeMeta(dest, id string, m meta) error {
	data, err := json.Marshal(m)
	if err == nil {
		// Never through a symlink, and whole or not at all.
		err = renameio.WriteFile(metaPath(dest, id), append(data, '\n'), 0o644, renameio.WithTempDir(releases(dest)))
	}
	if err != nil {
		return fmt.Errorf("note release %s: %w", id, err)
	}
	return nil
}

// Existing is the tree of a release that is proven and still here as it was.
func Existing(dest, id string) (dir string, ok bool) {
	if !validID.MatchString(id) {
		return "", false
	}
	dir = filepath.Join(releases(filepath.Clean(dest)), id)
	info, err := os.Lstat(dir)
	return dir, err == nil && info.IsDir() && !readMeta(filepath.Clean(dest), id).Changed
}

// markChanged notes that place, where it is a release or in one, is about to be
// written to: with strategy rsync a dest that is a symlink is followed.
func markChanged(place string) error {
	for ; place != "/"; place = filepath.Dir(place) {
		id := filepath.Base(place)
		dest, ok := strings.CutSuffix(filepath.Dir(place), releases(""))
		if !ok || !validID.MatchString(id) {
			continue
		}
		if _, err := os.Lstat(metaPath(dest, id)); err != nil {
			continue // no release after all
		}
		m := readMeta(dest, id)
		m.Changed = true
		return writeMeta(dest, id, m)
	}
	return nil
}

// List tells the releases that dest has on disk, the oldest first.
func List(dest string) ([]Info, error) {
	dest = filepath.Clean(dest)
	entries, err := os.ReadDir(releases(dest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list releases: %w", err)
	}
	current := currentID(dest)
	previous := readMeta(dest, current).Previous
	var out []Info
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		i := Info{ID: e.Name(), Path: filepath.Join(releases(dest), e.Name()), Aside: strings.HasPrefix(e.Name(), before)}
		i.Current, i.Previous = i.ID == current, i.ID == previous || i.Path == previous
		if i.When = readMeta(dest, i.ID).Proven; i.When.IsZero() {
			info, err := e.Info()
			if err != nil {
				continue // gone meanwhile
			}
			i.When = info.ModTime()
		}
		out = append(out, i)
	}
	slices.SortStableFunc(out, func(a, b Info) int { return a.When.Compare(b.When) })
	return out, nil
}

// currentID is the release that dest points at, "" where it points elsewhere.
func currentID(dest string) string {
	target, err := os.Readlink(dest)
	if err != nil {
		return ""
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(dest), target)
	}
	if filepath.Dir(target) != releases(dest) {
		return ""
	}
	return filepath.Base(target)
}

// Prune removes the oldest releases so that keep stay, the current among
// them; never the current, never the one before it, and never a directory
// that stood at dest before Gurney came. It returns the ids that are gone.
func Prune(dest string, keep int) ([]string, error) {
	all, err := List(dest)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(i Info) bool { return i.Aside })
	over := len(all) - max(keep, 1)
	var gone []string
	for _, i := range all {
		if len(gone) >= over {
			break
		}
		if i.Current || i.Previous {
			continue
		}
		if err := putAside(i.Path); err != nil {
			return gone, fmt.Errorf("remove release %s: %w", i.ID, err)
		}
		if err := os.Remove(metaPath(dest, i.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return gone, fmt.Errorf("remove release %s: %w", i.ID, err)
		}
		gone = append(gone, i.ID)
	}
	return gone, nil
}
