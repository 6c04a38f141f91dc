package integration_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"gurney/report"
)

// What a web server says counts: a 404 without a body is no empty manifest that
// "succeeds", and an archive that is not there is no wrong checksum. It is
// reported also where no manifest could be read.
func TestStretcherStatusIsChecked(t *testing.T) {
	eachWay(t, func(y *yard) {
		empty := y.Web.serve("/empty.yml", nil)
		scalar := y.Web.serve("/scalar.yml", []byte("Not Found"))
		login := y.Web.serve("/login.yml", []byte("<html>\n<a href=\"x\">: log in</a>"))
		for at, want := range map[string]string{y.Web.URL + "/none.yml": "404", empty: "empty", scalar: "", login: "", "s3://acme/none.yml": "NoSuchKey"} {
			c := y.kick(at)
			if c.State != report.Failed || c.Phase != report.PhaseManifest || !strings.Contains(c.Error, want) || c.Error == "" {
				y.Errorf("%s: %+v", at, c.Result)
			}
		}
		c := y.deliver(fmt.Sprintf("src: %s/none.tgz\nchecksum: %032d\ndest: %s/app\n", y.Web.URL, 0, y.Root))
		if c.State != report.Failed || c.Phase != report.PhaseFetch || !strings.Contains(c.Error, "404") || exists(y.Root+"/app") {
			y.Errorf("an archive that is not there: %+v", c.Result)
		}
	})
}

// A body that breaks off is taken up where it broke, and an archive that a
// proxy refuses for a moment is asked for again.
func TestStretcherBodiesAreResumed(t *testing.T) {
	eachWay(t, func(y *yard) {
		tgz := y.tarball("noise", noise(300_000))
		var asked, again atomic.Int32
		src := y.Web.on("/app.tgz", func(rw http.ResponseWriter, r *http.Request) {
			if asked.Add(1) == 1 {
				rw.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			first, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
			from, _ := strconv.Atoi(first)
			if from > 0 {
				again.Add(1)
			}
			rw.Header().Set("ETag", `"one"`)
			rw.Header().Set("Accept-Ranges", "bytes")
			rw.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(tgz)-1, len(tgz)))
			rw.Header().Set("Content-Length", strconv.Itoa(len(tgz)-from))
			rw.WriteHeader(http.StatusPartialContent)
			_, _ = rw.Write(tgz[from:min(len(tgz), from+100_000)]) // and then it breaks off
		})
		y.delivered(fmt.Sprintf("src: %s\nchecksum: %s\ndest: %s/app\n", src, hexDigest("sha256", tgz), y.Root))
		if got := size(filepath.Join(y.Root, "app", "noise")); got != 300_000 {
			y.Errorf("%d bytes came", got)
		}
		if asked.Load() < 4 || again.Load() < 2 {
			y.Errorf("asked %d times, %d of them for what was missing", asked.Load(), again.Load())
		}
	})
}

// A command may print what it likes: the result stays small, and the log whole.
func TestStretcherHugeLogs(t *testing.T) {
	y := newYard(t)
	c := y.deliver("commands:\n  post:\n  - yes 'a line of much output' | head -c 30000000\n  - echo the end; exit 4\n  failure:\n  - wc -c > " + y.Root + "/told\n")
	if c.State != report.Failed || c.Exit != 4 || !strings.Contains(c.Tail, "the end") {
		t.Errorf("%+v", c.Result)
	}
	if n := len(report.Encode(c.Result)); n > report.MaxFailure {
		t.Errorf("the result has %d bytes", n)
	}
	if told, _ := strconv.Atoi(strings.TrimSpace(y.read(y.Root + "/told"))); told < 30_000_000 || len(c.Log) < 30_000_000 {
		t.Errorf("failure commands were told %d bytes, the log has %d", told, len(c.Log))
	}
}

// consul-kv-dashboard's row: under Consul's name for the node, one key for
// success and danger, so that the row ends on what is true.
func TestStretcherDashboard(t *testing.T) {
	y := newYard(t)
	y.set("report", "{dashboard: deploys}")
	for _, step := range []struct {
		more   string
		status uint64
		want   string
	}{{"", 0, "ok"}, {"  - false\n", 2, "failed in phase"}, {"", 0, "ok"}} {
		y.kick(y.counting("row", step.more))
		var keys []struct {
			Key   string
			Value []byte
			Flags uint64
		}
		y.json("/v1/kv/dashboard/?recurse", &keys)
		if len(keys) != 1 || !strings.HasPrefix(keys[0].Key, "dashboard/deploys/app-1") || keys[0].Flags%1000 != step.status || !strings.Contains(string(keys[0].Value), step.want) {
			t.Errorf("status %d wanted: %+v", step.status, keys)
		}
	}
}
