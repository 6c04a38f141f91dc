package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// RefusedError is a dest that no release may be brought to.
type RefusedError struct{ Dest, Reason string }

func (e *RefusedError) Error() string { return fmt.Sprintf("dest %q: %s", e.Dest, e.Reason) }

// protected are the system's own directories. Those that begin with /lib
// (/lib64 and the like) count too; /usr/local is everybody's.
var protected = []string{"/bin", "/boot", "/dev", "/etc", "/proc", "/run", "/sbin", "/sys", "/usr"}

// CheckDest refuses what would be a disaster to mirror into or to replace: a
// relative path, the root, a top-level directory, and what stands in the
// system's own directories, unless allowed (the configuration's dests) names
// it or a directory above it. Where allowed is not empty dest must be in one
// of its directories. Symlinks above dest are followed first, and for rsync,
// which writes into what dest points at, dest itself: all of these places have
// to do. The error is a *RefusedError, or the disk's.
func CheckDest(dest string, s Strategy, allowed []string) error {
	if !filepath.IsAbs(dest) {
		return &RefusedError{dest, "an absolute path is wanted"}
	}
	clean := filepath.Clean(dest)
	place, err := realPlace(clean)
	if err != nil {
		return fmt.Errorf("dest %q: %w", dest, err)
	}
	places := []string{place}
	if s == Rsync {
		end, err := filepath.EvalSymlinks(place)
		if err == nil && end != place {
			places = append(places, end)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("dest %q: %w", dest, err)
		}
	}
	if err := checkPlace(dest, clean, place, allowed); err != nil {
		return err
	}
	for _, p := range places {
		if err := checkPlace(dest, p, p, allowed); err != nil {
			return err
		}
	}
	return nil
}

// checkPlace judges path, which is at place, for dest.
func checkPlace(dest, path, place string, allowed []string) error {
	named, listed := false, len(allowed) == 0
	for _, a := range allowed {
		// One that is a symlink means what it points at, too.
		real, end, err := places(a)
		if err != nil {
			return fmt.Errorf("dests %q: %w", a, err)
		}
		if within(place, real) || within(place, end) {
			listed = true
			named = named || real != "/" && end != "/"
		}
	}
	clean := filepath.Clean(dest)
	switch {
	case !listed:
		return &RefusedError{dest, "in none of the configured dests" + via(clean, place)}
	case path == "/":
		return &RefusedError{dest, "the root directory is never a dest"}
	case filepath.Dir(path) == "/" && !exactly(path, allowed):
		return &RefusedError{dest, "a top-level directory is never a dest" + via(clean, place) + "; take one inside it"}
	case isSystems(path) && !named:
		return &RefusedError{dest, "the system's own directories are no dest" + via(clean, place) + ", unless the configured dests name it"}
	}
	return nil
}

func exactly(p string, allowed []string) bool {
	for _, a := range allowed {
		if filepath.Clean(a) == p {
			return true
		}
	}
	return false
}

func via(clean, place string) string {
	if clean == place {
		return ""
	}
	return " (it is really " + place + ")"
}

func isSystems(p string) bool {
	if within(p, "/usr/local") && p != "/usr/local" {
		return false
	}
	for _, dir := range protected {
		if within(p, dir) {
			return true
		}
	}
	top, _, _ := strings.Cut(p[1:], "/")
	return strings.HasPrefix(top, "lib")
}

// within says whether p is dir or inside it, by whole segments.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// realPlace resolves the symlinks above p as far as it exists; p itself may be
// one, and stays.
func realPlace(p string) (string, error) {
	if p == "/" {
		return p, nil
	}
	parent, rest := filepath.Dir(p), filepath.Base(p)
	for {
		real, err := filepath.EvalSymlinks(parent)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if _, err := os.Lstat(parent); err == nil {
			return "", fmt.Errorf("%s is a symlink to nowhere", parent)
		}
		parent, rest = filepath.Dir(parent), filepath.Join(filepath.Base(parent), rest)
	}
}

// places are where p is, and what it points at where it is a symlink: the same
// place else, and where it is not there yet.
func places(p string) (real, end string, err error) {
	if real, err = realPlace(filepath.Clean(p)); err != nil {
		return "", "", err
	}
	if end, err = filepath.EvalSymlinks(real); err != nil {
		end = real
	}
	return real, end, nil
}

// CheckApart refuses a dest that holds the state directory, or stands in it:
// what a release replaces or mirrors away would be the journals. "" is none. The
// error is a *RefusedError, or the disk's.
func CheckApart(dest, state string) error {
	if state == "" {
		return nil
	}
	_, a, err := places(dest)
	if err != nil {
		return fmt.Errorf("dest %q: %w", dest, err)
	}
	_, b, err := places(state)
	if err != nil {
		return fmt.Errorf("state_dir %q: %w", state, err)
	}
	if within(a, b) || a != "/" && within(b, a) { // the root is CheckDest's to refuse
		return &RefusedError{dest, "state_dir " + state + " is in the way: neither may stand in the other"}
	}
	return nil
}

// isMount says whether p is a mount point: it would be left behind by a rename.
func isMount(p string) (bool, error) {
	real, err := filepath.EvalSymlinks(p)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// proc_pid_mountinfo(5): the fifth field, with blanks as \040 and the like.
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 && unescape.Replace(f[4]) == real {
			return true, nil
		}
	}
	return false, nil
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
