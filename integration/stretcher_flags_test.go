package integration_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gurney/report"
)

// noise is data that does not compress.
func noise(n int) string {
	data := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return string(data)
}

// byHand tells a story by the two ways that take flags.
func byHand(t *testing.T, story func(*yard)) {
	t.Helper()
	all := newYard(t)
	for _, way := range []string{"apply", "stretcher"} {
		t.Run(way, func(t *testing.T) {
			y, w := all.by(way), *all.world
			w.T, y.world = t, &w
			story(y)
		})
	}
}

// --max-band-width holds the download back.
func TestStretcherBandWidth(t *testing.T) {
	byHand(t, func(y *yard) {
		y.upload(stretcherManifest, []byte(y.archive("app/big.tgz", y.tarball("noise", noise(600_000)))+"dest: "+y.Root+"/app\n"))
		for _, flag := range []string{"--max-band-width=300KB", "--max-band-width=300000"} {
			began := time.Now()
			if c := y.kick("s3://acme/"+stretcherManifest, flag); c.State != report.OK {
				y.Errorf("%s: %s", c.State, c.Error)
			}
			if took := time.Since(began); took < 1900*time.Millisecond || took > 12*time.Second { // of bits it were 16
				y.Errorf("%s: 600 kB took %s", flag, took)
			}
		}
	})
}

// --retry says how often, and --retry-wait after how long, what the world broke
// is tried again; for the manifest as for the archive.
func TestStretcherRetry(t *testing.T) {
	byHand(t, func(y *yard) {
		tgz := y.tarball("REVISION", "one")
		var asked, failures atomic.Int32
		flaky := func(path string, data []byte) string {
			return y.Web.on(path, func(rw http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				if failures.Add(-1) >= 0 {
					rw.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(data))
			})
		}
		src := flaky("/app.tgz", tgz)
		whole := fmt.Sprintf("src: %s\nchecksum: %s\ndest: %s\n", src, hexDigest("sha256", tgz), filepath.Join(y.Root, "app"))
		manifests := map[string]string{
			"archive":  y.Web.serve("/m.yml", []byte(whole)),
			"manifest": flaky("/flaky.yml", []byte("commands: {pre: ['true']}\n")),
		}
		for what, at := range manifests {
			asked.Store(0)
			failures.Store(2)
			began := time.Now()
			if c := y.kick(at, "--retry=2", "--retry-wait=200ms"); c.State != report.OK || asked.Load() != 3 {
				y.Errorf("%s, twice broken: %s, %s, asked %d times", what, c.State, c.Error, asked.Load())
			}
			if took := time.Since(began); took < 250*time.Millisecond {
				y.Errorf("%s: two retries took %s", what, took)
			}
			asked.Store(0)
			failures.Store(9)
			c := y.kick(at, "--retry=1", "--retry-wait=10ms")
			if c.State != report.Failed || !strings.Contains(c.Error, "503") || asked.Load() != 2 {
				y.Errorf("%s, always broken: %s, %s, asked %d times", what, c.State, c.Error, asked.Load())
			}
		}
	})
}

// --timeout bounds the whole: a manifest and an archive that never come, and a
// command that never ends.
func TestStretcherTimeout(t *testing.T) {
	byHand(t, func(y *yard) {
		gone := make(chan string, 8)
		var asked atomic.Bool
		stuck := func(path, head string) string {
			return y.Web.on(path, func(rw http.ResponseWriter, r *http.Request) {
				asked.Store(true)
				rw.Header().Set("Content-Length", "1000000")
				_, _ = rw.Write([]byte(head))
				rw.(http.Flusher).Flush()
				<-r.Context().Done() // the client hung up
				gone <- path
			})
		}
		for what, at := range map[string]string{
			"manifest": stuck("/stuck.yml", "commands:\n"),
			"archive": y.Web.serve("/m.yml", fmt.Appendf(nil, "src: %s\nchecksum: %032d\ndest: %s/app\ncommands: {failure: ['touch %s/failed']}\n",
				stuck("/stuck.tgz", "\x1f\x8b"), 0, y.Root, y.Root)),
			"command": y.Web.serve("/sleep.yml", []byte("commands: {pre: ['sleep 1000 & sleep 1000'], failure: ['touch "+y.Root+"/failed-too']}\n")),
		} {
			asked.Store(false)
			var c carried
			for limit := 2 * time.Second; ; limit *= 4 {
				began := time.Now()
				c = y.kick(at, "--timeout="+limit.String(), "--retry-wait=10ms")
				if took := time.Since(began); took > limit+20*time.Second {
					y.Errorf("%s: it took %s", what, took)
				}
				if asked.Load() || exists(filepath.Join(y.Root, "failed-too")) && what == "command" || limit > 30*time.Second {
					break
				} // else the time was over before it had begun
			}
			if c.State != report.Failed || !strings.Contains(c.Error, "timeout") {
				y.Errorf("%s: %s, %s", what, c.State, c.Error)
			}
			if what != "command" {
				select {
				case <-gone:
				case <-time.After(20 * time.Second):
					y.Errorf("%s: the download goes on", what)
				}
			}
		}
		if !exists(filepath.Join(y.Root, "failed")) || !exists(filepath.Join(y.Root, "failed-too")) {
			y.Error("the failure commands did not run")
		}
	})
}

// The flags that change little: a random delay that is short, files by name.
func TestStretcherOtherFlags(t *testing.T) {
	byHand(t, func(y *yard) {
		y.upload(stretcherManifest, []byte(y.archive("app/v.tgz", y.tarball("REVISION", "one"))+"dest: "+y.Root+"/app\n"))
		c := y.kick("s3://acme/"+stretcherManifest, "--rsync-verbose", "--random-delay=10ms", "--timeout=1m")
		if c.State != report.OK || !strings.Contains(c.Log, "REVISION") {
			y.Errorf("%s; the log does not name the files:\n%s", c.State, c.Log)
		}
	})
}

// By its name: one dash or two, -vv behind --rsync-verbose, seconds without a
// unit; a wrong flag is 1, and so is a payload that is none.
func TestStretcherByName(t *testing.T) {
	y := newYard(t).by("stretcher")
	y.upload(stretcherManifest, []byte(y.archive("app/v.tgz", y.tarball("REVISION", "one"))+"dest: "+y.Root+"/app\n"))
	c := y.kick("s3://acme/"+stretcherManifest, "-timeout", "60", "-retry", "3", "-retry-wait", "1", "-random-delay", "0.01", "-max-band-width", "10MB", "-rsync-verbose", "-vv")
	if c.State != report.OK {
		t.Errorf("%s: %s", c.State, c.Output.Stderr)
	}
	if n := strings.Count(c.Output.Stderr, "no sources are configured"); n != 1 {
		t.Errorf("it warns %d times that any URL is taken:\n%s", n, c.Output.Stderr)
	}
	if out := y.command("", nil, "--version"); out.Status != 0 || !strings.Contains(out.Stdout, "version: ") {
		t.Errorf("--version: %+v", out)
	}
	for stdin, flags := range map[string][]string{
		"s3://acme/" + stretcherManifest: {"--timout", "1m"},
		"s3://acme/app/none.yml":         nil,
		"not a URL":                      nil,
		"":                               nil,
	} {
		if out := y.command(stdin, nil, flags...); out.Status != 1 || out.Stderr == "" {
			t.Errorf("%q %q: %+v", stdin, flags, out)
		}
		// Whatever it is, a watch must outlive it.
		if out := y.command(stdin, []string{"CONSUL_INDEX=7"}, flags...); out.Status != 0 || out.Stderr == "" && stdin != "" {
			t.Errorf("under consul watch, %q %q: %+v", stdin, flags, out)
		}
	}
}
