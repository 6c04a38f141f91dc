package artifact

import (
	"archive/tar"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUnpackTable says what each archive leaves in an empty stage.
func TestUnpackTable(t *testing.T) {
	long := strings.Repeat("n", 180)
	for _, c := range []struct {
		name    string
		archive []member
		after   []string
	}{
		{"no entries", nil, nil},
		{"root as ./", []member{directory("./"), file("./REVISION", "1f"), directory("./nodes/"), file("./nodes/web.json", "{}")},
			[]string{"f REVISION 1f", "d nodes", "f nodes/web.json {}"}},
		{"directories without entries", []member{file("a/b/c", "x")}, []string{"d a", "d a/b", "f a/b/c x"}},
		{"a directory after what is in it", []member{file("a/b", "x"), directory("a")}, []string{"d a", "f a/b x"}},
		{"an empty file", []member{file("a", "")}, []string{"f a "}},
		{"doubled slashes and dots in names", []member{file("a//./b", "x")}, []string{"d a", "f a/b x"}},
		{"a name of two dots and more", []member{file("..a/b..", "x")}, []string{"d ..a", "f ..a/b.. x"}},
		{"a name with a backslash, a blank, a newline", []member{file("a\\b", "1"), file("c d", "2"), file("e\nf", "3")},
			[]string{"f a\\b 1", "f c d 2", "f e\nf 3"}},
		{"unicode, composed and not", []member{file("caf\u00e9/\u65e5\u672c", "1"), file("cafe\u0301", "2")},
			[]string{"f cafe\u0301 2", "d caf\u00e9", "f caf\u00e9/\u65e5\u672c 1"}},
		{"names longer than ustar has, in PAX", []member{file("d/"+long+"/"+long, "x").with(func(h *tar.Header) { h.Format = tar.FormatPAX })},
			[]string{"d d", "d d/" + long, "f d/" + long + "/" + long + " x"}},
		{"names longer than ustar has, in GNU", []member{
			file(long+"/"+long, "x").with(func(h *tar.Header) { h.Format = tar.FormatGNU }),
			symlink("l", long+"/"+long).with(func(h *tar.Header) { h.Format = tar.FormatGNU }),
		}, []string{"l l -> " + long + "/" + long, "d " + long, "f " + long + "/" + long + " x"}},
		{"extended attributes are passed over", []member{file("a", "x").with(func(h *tar.Header) {
			h.PAXRecords = map[string]string{"SCHILY.xattr.user.note": "n", "SCHILY.xattr.security.capability": "c"}
		})}, []string{"f a x"}},
		{"git's global header", []member{{h: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header",
			PAXRecords: map[string]string{"comment": "1f2e"}}}, file("a", "x")}, []string{"f a x"}},
		{"symlinks that point anywhere", []member{symlink("log", "/srv/shared/log"), symlink("up", "../../.."), symlink("self", "self"), file("a", "x")},
			[]string{"f a x", "l log -> /srv/shared/log", "l self -> self", "l up -> ../../.."}},
		{"hard links, also to a symlink, and to itself", []member{file("a/b", "x"), hardlink("c/d", "a/b"), hardlink("e", "./a/b"), symlink("s", "nowhere"), hardlink("s2", "s"), hardlink("a/b", "a/b")},
			[]string{"d a", "f a/b x", "d c", "f c/d x", "f e x", "l s -> nowhere", "l s2 -> nowhere"}},
		{"a later file wins", []member{file("a", "first"), file("a", "second")}, []string{"f a second"}},
		{"a later file does not write through a hard link", []member{file("a", "first"), hardlink("b", "a"), file("b", "second")},
			[]string{"f a first", "f b second"}},
		{"a later file replaces a symlink, not its target", []member{file("t", "target"), symlink("a", "t"), file("a", "x")},
			[]string{"f a x", "f t target"}},
		{"a later symlink replaces a file", []member{file("a", "x"), symlink("a", "t")}, []string{"l a -> t"}},
		{"a later hard link replaces a file", []member{file("a", "x"), file("b", "y"), hardlink("a", "b")}, []string{"f a y", "f b y"}},
		{"a later directory replaces a file and a symlink", []member{file("a", "x"), symlink("b", "/tmp"), directory("a/"), directory("b"), file("b/c", "y")},
			[]string{"d a", "d b", "f b/c y"}},
		{"a directory twice", []member{directory("a"), file("a/b", "x"), directory("a")}, []string{"d a", "f a/b x"}},
		{"files around the size that a worker takes", []member{file("a", noise(smallFile)), file("b", noise(smallFile+1)), file("b", noise(smallFile-1))},
			[]string{"f a " + brief(noise(smallFile)), "f b " + brief(noise(smallFile-1))}},
		{"GNU tar's label", []member{{h: tar.Header{Typeflag: tar.TypeReg, Name: "release 7", ModTime: then}}, file("a", "x")}, []string{"f a x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			archive := tarOf(t, c.archive...)
			if c.name == "GNU tar's label" {
				archive = relabel(archive)
			}
			stage, stats, err := unpackHere(t, &Fetcher{}, "x.tar", archive)
			must(t, err)
			slices.Sort(c.after)
			got := entriesOf(t, stage)
			slices.Sort(got)
			if !slices.Equal(got, c.after) {
				t.Errorf("got:\n%q\nwant:\n%q", got, c.after)
			}
			if stats.Format != formatTar || stats.Fetched != int64(len(archive)) {
				t.Errorf("stats are %+v, of %d bytes", stats, len(archive))
			}
		})
	}
}

// TestUnpackMetadata: modes, times and hard links are those of the archive, of
// symlinks their own, and of directories although their content came later.
func TestUnpackMetadata(t *testing.T) {
	at := func(s int64, ns int64) func(*tar.Header) {
		return func(h *tar.Header) { h.ModTime, h.Format = time.Unix(s, ns), tar.FormatPAX }
	}
	mode := func(m int64) func(*tar.Header) { return func(h *tar.Header) { h.Mode = m } }
	for _, mask := range []int{0o022, 0o077, 0} {
		old := syscall.Umask(mask)
		stage, _, err := unpackHere(t, &Fetcher{}, "x.tar", tarOf(t,
			directory("d").with(at(1_000_000_000, 123_456_789)).with(mode(0o750)),
			directory("d/shut").with(at(-7, 500_000_000)).with(mode(0o500)),
			file("d/shut/in", "x").with(mode(0o400)),
			file("d/suid", "x").with(mode(0o4755)),
			file("d/sgid", noise(smallFile+1)).with(mode(0o2771)).with(at(5, 6)),
			file("d/old", "x").with(at(-3, 250_000_000)).with(mode(0o666)),
			directory("d/tmp").with(mode(0o1777)),
			directory("d/again").with(mode(0)),
			directory("d/again").with(mode(0o711)),
			symlink("d/link", "suid").with(at(99, 42)),
			hardlink("d/twin", "d/suid"),
			directory("d").with(at(2_000_000_000, 1)).with(mode(0o755)), // the later counts
		))
		syscall.Umask(old)
		must(t, err)
		for name, want := range map[string]struct {
			mode os.FileMode
			time time.Time
		}{
			"d":         {os.ModeDir | 0o755, time.Unix(2_000_000_000, 1)},
			"d/shut":    {os.ModeDir | 0o500, time.Unix(-7, 500_000_000)},
			"d/shut/in": {0o400, then},
			"d/suid":    {0o755 | os.ModeSetuid, then},
			"d/twin":    {0o755 | os.ModeSetuid, then},
			"d/sgid":    {0o771 | os.ModeSetgid, time.Unix(5, 6)},
			"d/old":     {0o666, time.Unix(-3, 250_000_000)},
			"d/tmp":     {os.ModeDir | os.ModeSticky | 0o777, then},
			"d/again":   {os.ModeDir | 0o711, then},
			"d/link":    {os.ModeSymlink | 0o777, time.Unix(99, 42)},
		} {
			info, err := os.Lstat(filepath.Join(stage, name))
			must(t, err)
			if os.Geteuid() != 0 { // whose owner is not kept, its set-user-id is not either
				want.mode &^= os.ModeSetuid | os.ModeSetgid | os.ModeSticky
			}
			if info.Mode() != want.mode || !info.ModTime().Equal(want.time) {
				t.Errorf("umask %03o: %s is %v of %v, want %v of %v", mask, name, info.Mode(), info.ModTime(), want.mode, want.time)
			}
		}
		a, err := os.Stat(filepath.Join(stage, "d/suid"))
		must(t, err)
		b, err := os.Stat(filepath.Join(stage, "d/twin"))
		must(t, err)
		if !os.SameFile(a, b) {
			t.Error("the hard link is a copy")
		}
		must(t, clearDir(stage)) // or a test that is not root's leaves it behind
	}
}

// TestUnpackClearsItsStage: after an error nothing that is unproven stands in
// the stage, not even what only an open directory lets go of; and the next
// try finds it empty.
func TestUnpackClearsItsStage(t *testing.T) {
	archive := tarOf(t, directory("a/b").with(func(h *tar.Header) { h.Mode = 0o500 }), file("a/b/c", "x"), symlink("l", "a"),
		directory("a").with(func(h *tar.Header) { h.Mode = 0 }))
	path := filepath.Join(t.TempDir(), "x")
	stage := t.TempDir()
	must(t, os.WriteFile(path, archive, 0o600))
	f := &Fetcher{Sources: map[string]Source{"file": File{}}}
	for range 2 {
		_, err := f.Unpack(t.Context(), fileURL(path), sumOf("sha256", []byte("else")), stage)
		var sum *ChecksumError
		if !errors.As(err, &sum) {
			t.Fatalf("err = %v, want a wrong checksum", err)
		}
		if left := entriesOf(t, stage); len(left) > 0 {
			t.Fatalf("left in the stage: %q", left)
		}
	}
}

// TestUnpackOwner: root gives what it unpacks to whom the archive names, by
// name where the machine knows it, else by number; others keep it.
func TestUnpackOwner(t *testing.T) {
	own := func(uid, gid int, uname, gname string) func(*tar.Header) {
		return func(h *tar.Header) { h.Uid, h.Gid, h.Uname, h.Gname = uid, gid, uname, gname }
	}
	me := [2]int{os.Geteuid(), os.Getegid()}
	root := me[0] == 0
	for _, c := range []struct {
		name string
		m    member
		want [2]int
	}{
		{"a number", file("f", "x").with(own(4321, 8765, "", "")), [2]int{4321, 8765}},
		{"a name wins over its number", file("f", "x").with(own(4321, 8765, "root", "root")), [2]int{0, 0}},
		{"an unknown name", file("f", "x").with(own(4321, 8765, "no-such-user", "no-such-group")), [2]int{4321, 8765}},
		{"a directory", directory("f").with(own(4321, 8765, "", "")), [2]int{4321, 8765}},
		{"a symlink, not its target", symlink("f", "../outside/victim").with(own(4321, 8765, "", "")), [2]int{4321, 8765}},
		{"a large file", file("f", noise(smallFile+1)).with(own(4321, 0, "", "")), [2]int{4321, 0}},
		{"root's", file("f", "x").with(own(0, 0, "", "")), [2]int{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stage, _, err := unpackHere(t, &Fetcher{}, "x.tar", tarOf(t, c.m))
			must(t, err)
			want := me
			if root {
				want = c.want
			}
			if got := ownerOf(t, filepath.Join(stage, "f")); got != want {
				t.Errorf("owner is %v, want %v", got, want)
			}
			if got := ownerOf(t, filepath.Join(stage, "../outside/victim")); got != me {
				t.Errorf("the symlink's target now belongs to %v", got)
			}
		})
	}
	t.Run("a number that the kernel has not", func(t *testing.T) {
		huge := file("f", "x").with(own(1<<32, 0, "", "")) // its low half is root's
		_, _, err := unpackHere(t, &Fetcher{}, "x.tar", tarOf(t, huge))
		var entry *EntryError
		if root && !errors.As(err, &entry) || !root && err != nil {
			t.Errorf("err = %v", err)
		}
	})
	if !root {
		return
	}
	t.Run("below a set-group-id directory", func(t *testing.T) {
		stage := t.TempDir()
		must(t, os.Chown(stage, 0, 8765))
		must(t, os.Chmod(stage, 0o755|os.ModeSetgid))
		archive := filepath.Join(t.TempDir(), "x.tar")
		must(t, os.WriteFile(archive, tarOf(t, file("f", "x")), 0o600))
		_, err := (&Fetcher{}).UnpackFile(t.Context(), archive, stage)
		must(t, err)
		if got := ownerOf(t, filepath.Join(stage, "f")); got != [2]int{0, 0} {
			t.Errorf("owner is %v, want the archive's 0:0", got)
		}
	})
}

func ownerOf(t *testing.T, path string) [2]int {
	t.Helper()
	var st syscall.Stat_t
	must(t, syscall.Lstat(path, &st))
	return [2]int{int(st.Uid), int(st.Gid)}
}

// The root that an archive names, as tar -C dir ./ does, gives the tree its owner
// and its time; the mode is dest_mode's.
func TestUnpackRoot(t *testing.T) {
	then := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	stage, _, err := unpackHere(t, &Fetcher{}, "x.tar", tarOf(t, directory("./").with(func(h *tar.Header) {
		h.Mode, h.Uid, h.Gid, h.ModTime = 0o2775, 4321, 8765, then
	}), file("./f", "x")))
	must(t, err)
	want := [2]int{4321, 8765}
	if os.Geteuid() != 0 {
		want = ownerOf(t, t.TempDir())
	}
	if got := ownerOf(t, stage); got != want {
		t.Errorf("owner is %v, want %v", got, want)
	}
	info, err := os.Stat(stage)
	must(t, err)
	if !info.ModTime().Equal(then) || info.Mode().Perm() == 0o775 {
		t.Errorf("%v %v", info.Mode(), info.ModTime())
	}
}
