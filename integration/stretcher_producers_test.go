package integration_test

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gurney/report"
)

// hexDigest is data's digest in hex: md5, sha1, sha256 or sha512.
func hexDigest(algorithm string, data []byte) string {
	h := map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}[algorithm]()
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

// tarball packs a tree of files, path and content by turns, with the very
// commands of capistrano-stretcher.
func (y *yard) tarball(files ...string) []byte {
	y.Helper()
	dir, err := os.MkdirTemp(y.Dir, "build")
	if err != nil {
		y.Fatal(err)
	}
	y.write(filepath.Join(dir, "app"), files...)
	y.sh(filepath.Join(dir, "app"), "chmod 755 . && ln -s /srv/shared/log log && tar -cf - --exclude tmp ./ | gzip > ../app.tgz")
	return []byte(y.read(filepath.Join(dir, "app.tgz")))
}

// archive uploads a tarball and returns the lines src and checksum for it.
func (y *yard) archive(key string, data []byte) string {
	y.Helper()
	y.upload(key, data)
	return fmt.Sprintf("src: s3://acme/%s\nchecksum: %s\n", key, hexDigest("sha256", data))
}

// capistrano is the manifest that capistrano-stretcher writes: Ruby's YAML,
// null items with their hyphen at the key's own indent.
func (y *yard) capistrano(release string) string {
	y.Helper()
	tgz := y.tarball("REVISION", release+"\n", "app.rb", "puts :"+release, "tmp/cache", "of the build", "run/app.pid", "1", "run/app.socket", "")
	dest := filepath.Join(y.Root, "releases", release)
	return "---\n" + y.archive("app/app-"+release+".tgz", tgz) + fmt.Sprintf(`dest: %q
commands:
  pre:
  - 
  post:
  - 
  - ln -nfs %s %s
  - 
  success:
  -
  failure:
  - 
excludes:
- "*.pid"
- "*.socket"
`, dest, dest, filepath.Join(y.Root, "current"))
}

// capistrano-stretcher: a release beside the last one, and a link to it; the
// manifest is overwritten, so only the event is new.
func TestStretcherCapistrano(t *testing.T) {
	eachWay(t, func(y *yard) {
		for _, release := range []string{"20261122093000", "20261123140400"} {
			y.delivered(y.capistrano(release))
			current := filepath.Join(y.Root, "current")
			if to, err := os.Readlink(current); err != nil || filepath.Base(to) != release {
				y.Fatalf("current is %q, %v", to, err)
			}
			if got := y.read(filepath.Join(current, "REVISION")); got != release+"\n" {
				y.Errorf("REVISION is %q", got)
			}
			if to, err := os.Readlink(filepath.Join(current, "log")); to != "/srv/shared/log" {
				y.Errorf("log points to %q, %v", to, err)
			}
			for _, name := range []string{"tmp", "run/app.pid", "run/app.socket"} {
				if exists(filepath.Join(current, name)) {
					y.Errorf("%s came along", name)
				}
			}
			if info, err := os.Stat(filepath.Join(current, ".")); err != nil || info.Mode().Perm() != 0o755 {
				y.Errorf("the release's directory: %v, %v", info.Mode(), err)
			}
		}
		if got := y.read(filepath.Join(y.Root, "releases", "20261122093000", "REVISION")); got != "20261122093000\n" {
			y.Errorf("the release before is %q", got)
		}
	})
}

// rake-stretcher keeps the manifest before as …_rollback.yml, and goes back
// by an event with that URL.
func TestStretcherRake(t *testing.T) {
	eachWay(t, func(y *yard) {
		dest := filepath.Join(y.Root, "app")
		manifest := func(release string) string {
			return y.archive("app/"+release+".tgz", y.tarball("REVISION", release, release+".rb", "")) + "dest: " + dest + "\n"
		}
		one, two := manifest("one"), manifest("second") // of other lengths: rsync goes by size and seconds
		y.delivered(one)
		y.upload("app/manifest_app_production_rollback.yml", []byte(one))
		y.delivered(two)
		if got := y.read(filepath.Join(dest, "REVISION")); got != "second" || exists(filepath.Join(dest, "one.rb")) {
			y.Errorf("REVISION %q; mirrored without deletion: %t", got, exists(filepath.Join(dest, "one.rb")))
		}
		if c := y.kick("s3://acme/app/manifest_app_production_rollback.yml"); c.State != report.OK {
			y.Fatalf("%s: %s", c.State, c.Error)
		}
		if got := y.read(filepath.Join(dest, "REVISION")); got != "one" || exists(filepath.Join(dest, "second.rb")) {
			y.Errorf("after the rollback REVISION is %q", got)
		}
	})
}

// A payload is a URL, with a newline or without; slashes are doubled where a
// script joined a prefix that ended in one.
func TestStretcherPayloads(t *testing.T) {
	eachWay(t, func(y *yard) {
		touched := filepath.Join(y.Root, "touched")
		manifest := []byte("commands:\n  pre:\n  - echo x >> " + touched + "\n")
		y.upload("app/m.yml", manifest)
		y.write(y.Dir, "m.yml", string(manifest))
		y.Web.serve("//app//m.yml", manifest)
		payloads := []string{
			"s3://acme/app/m.yml", "s3://acme/app/m.yml\n", "s3://acme//app/m.yml\r\n",
			y.Web.URL + "//app//m.yml\n", "file://" + y.Dir + "//m.yml",
		}
		for i, payload := range payloads {
			if c := y.kick(payload); c.State != report.OK {
				y.Errorf("%q: %s, %s", payload, c.State, c.Error)
			}
			if got := strings.Count(y.read(touched), "x"); got != i+1 {
				y.Fatalf("%q: ran %d times, wanted %d", payload, got, i+1)
			}
		}
	})
}

// Archives come from S3, from the web and from files; their checksum is of
// four kinds and in either case.
func TestStretcherSources(t *testing.T) {
	eachWay(t, func(y *yard) {
		tgz := y.tarball("REVISION", "one")
		y.upload("app/one.tgz", tgz)
		y.write(y.Dir, "one.tgz", string(tgz))
		sources := []string{"s3://acme//app/one.tgz", y.Web.serve("/app//one.tgz", tgz), "file://" + y.Dir + "/one.tgz", "s3://acme/app/one.tgz"}
		for i, algorithm := range []string{"md5", "sha1", "sha256", "sha512"} {
			dest, sum := filepath.Join(y.Root, algorithm), hexDigest(algorithm, tgz)
			if i%2 == 0 {
				sum = strings.ToUpper(sum)
			}
			y.delivered(fmt.Sprintf("src: %s\nchecksum: %q\ndest: %s\n", sources[i], sum, dest))
			if got := y.read(filepath.Join(dest, "REVISION")); got != "one" {
				y.Errorf("%s: REVISION is %q", sources[i], got)
			}
			wrong := hexDigest(algorithm, []byte("something else"))
			c := y.deliver(fmt.Sprintf("src: %s\nchecksum: %s\ndest: %s\n", sources[i], wrong, dest+"-wrong"))
			if c.State != report.Failed || !strings.Contains(c.Error, "checksum") || exists(dest+"-wrong") {
				y.Errorf("wrong %s: %s, %s; dest there: %t", algorithm, c.State, c.Error, exists(dest+"-wrong"))
			}
		}
	})
}

// A manifest may be larger than what fits into Consul: only its URL goes there.
// What is larger than anybody writes is refused before it is read.
func TestStretcherLargeManifest(t *testing.T) {
	eachWay(t, func(y *yard) {
		padding := strings.Repeat("# what somebody had to say\n", 20_000)
		if c := y.kick(y.counting("large", padding)); c.State != report.OK || y.ran() != "large" {
			y.Errorf("%d bytes: %s, %s", len(padding), c.State, c.Error)
		}
		if c := y.kick(y.counting("larger", padding+padding)); c.State != report.Failed || !strings.Contains(c.Error, "larger than") || y.ran() != "large" {
			y.Errorf("%d bytes: %s, %s", 2*len(padding), c.State, c.Error)
		}
	})
}
