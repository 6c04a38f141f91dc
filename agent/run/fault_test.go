package run

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gurney/agent/state"
	"gurney/artifact"
	"gurney/chef"
	"gurney/report"
)

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

// serves gives the archive by HTTP as answer says, and returns its URL and how
// often it was asked.
func (f *fixture) serves(answer func(n int64, w http.ResponseWriter)) (url string, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(asked.Add(1), w) }))
	f.Cleanup(s.Close)
	f.options = func(o *Options) { o.Fetcher.Sources["http"] = artifact.NewHTTP(o.Allow, nil) }
	return s.URL + "/src.tar", asked
}

// Whose fault it is decides whether trying again can help.
func TestWhoseFault(t *testing.T) {
	for status, world := range map[int]bool{403: false, 404: false, 429: true, 500: true, 503: true} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			f := newFixture(t)
			url, _ := f.serves(func(_ int64, w http.ResponseWriter) { w.WriteHeader(status) })
			e := f.run(t.Context(), "r1", "timeout: 42m\nsrc: "+url+"\nchecksum: SUM\ndest: DIR/dest\n")
			if e.Result.State != report.Failed || e.Result.Phase != report.PhaseFetch || e.Wait != world || e.Result.Release == world || e.Timeout.Minutes() != 42 {
				t.Errorf("%+v", e)
			}
		})
	}
	r := &runner{}
	for err, world := range map[error]bool{
		syscall.ENOSPC: true, syscall.EROFS: true, syscall.EIO: true, syscall.EDQUOT: true, syscall.ENOMEM: true,
		&chef.StartError{Err: syscall.ENOSPC}: true, &chef.StartError{Err: syscall.ENOENT}: false,
		os.ErrPermission: false, syscall.ENOENT: false, &CommandError{Err: os.ErrPermission}: false, &ConvergeError{}: false, &TimeoutError{}: false,
		&ConvergeError{Why: "file[/srv/x] (base::default line 4) had an error: Errno::ENOSPC: No space left on device"}: true,
	} {
		if got := r.world(fmt.Errorf("activate: %w", err)); got != world {
			t.Errorf("%v is the world's fault: %v", err, got)
		}
	}
	r.status.Phase = report.PhaseFetch
	for _, err := range []error{&TimeoutError{}, &artifact.SourceError{URL: "http://x/", Err: &TimeoutError{}}} {
		if !r.world(err) {
			t.Errorf("that a fetch takes too long is the release's fault: %v", err)
		}
	}
}

// Chef that somebody killed, or that had no memory, was interrupted: the
// release has attempts left. What it ran goes with it.
func TestKilledChefIsAnInterruption(t *testing.T) {
	f := newFixture(t)
	f.write("chef.sh", "setsid sh -c 'echo $$ > "+f.path("pid")+"; exec sleep 300' &\nuntil test -s "+f.path("pid")+"; do sleep 0.01; done; kill -9 $$")
	e := f.run(t.Context(), "r1", manifestOf("release"))
	if r := e.Result; r.State != report.Interrupted || r.Phase != report.PhaseChef || r.Release || e.Wait || !strings.Contains(r.Error, "signal KILL") {
		t.Errorf("%+v", e)
	}
	f.gone("pid")
}

// A checksum that does not match is fetched once more, and then believed.
func TestChecksumIsFetchedTwice(t *testing.T) {
	f := newFixture(t)
	good := f.read("src.tar")
	f.archive("changed in the middle")
	bad := f.read("src.tar")
	f.write("src.tar", good)
	answer := func(good bool, text string) func(int64, http.ResponseWriter) {
		return func(n int64, w http.ResponseWriter) {
			if good && n > 1 {
				text = f.read("src.tar")
			}
			_, _ = w.Write([]byte(text))
		}
	}
	url, asked := f.serves(answer(true, bad))
	f.ok("r1", "src: "+url+"\nchecksum: SUM\ndest: DIR/dest\nsync_strategy: release\n")
	if f.live() != "one" || asked.Load() != 2 {
		t.Errorf("%s is live after %d requests", f.live(), asked.Load())
	}
	url, asked = f.serves(answer(false, bad))
	r := f.fails("r2", report.PhaseFetch, "src: "+url+"\nchecksum: SUM\ndest: DIR/dest\nsync_strategy: release\n")
	if asked.Load() != 2 || f.live() != "one" || !strings.Contains(r.Error, sum(good)) {
		t.Errorf("after %d requests %+v", asked.Load(), r)
	}
	if left, _ := os.ReadDir(f.path("dest.releases")); len(left) != 2 { // r1 and what is noted of it
		t.Errorf("it left %v", left)
	}
}

// What the configuration forbids is refused, with nothing done.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fixture)
		text   string
		phase  report.Phase
	}{
		"dest":     {func(f *fixture) { f.config.Dests = []string{"/srv/web"} }, manifestOf("release"), report.PhaseFetch},
		"archive":  {func(f *fixture) { f.allow("s3://acme/") }, manifestOf("release"), report.PhaseFetch},
		"manifest": {func(f *fixture) { f.allow("s3://acme/"); f.spec = func(s *state.Spec) { s.URL = "s3://evil/m.yml" } }, commands, report.PhaseManifest},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			c.change(f)
			e := f.run(t.Context(), "r1", c.text)
			if r := e.Result; r.State != report.Refused || r.Release || e.Wait || r.Error == "" {
				t.Errorf("%+v", e)
			}
			for _, w := range []string{"pre1", "pre2", "post1", "chef"} {
				if strings.Contains(f.read("order"), w) {
					t.Errorf("it ran %s", f.read("order"))
				}
			}
		})
	}
}

func (f *fixture) allow(prefix string) {
	allow, err := artifact.ParseAllowlist([]string{prefix})
	f.must(err)
	f.options = func(o *Options) { o.Allow = allow }
}

func TestManifestsThatAreNone(t *testing.T) {
	f := newFixture(t)
	if r := f.fails("r1", report.PhaseManifest, "src: [\n"); !strings.Contains(r.Error, "standard input:") {
		t.Errorf("%+v", r)
	}
	if r := f.fails("r2", report.PhaseManifest, "app: site\n"+commands); !strings.Contains(r.Error, "app is site, but chef was deployed") {
		t.Errorf("%+v", r)
	}
	f.order()
}

// The manifest's word on maintenance beats the configuration's.
func TestMaintenanceInTheRun(t *testing.T) {
	for _, c := range []struct {
		config, manifest string
		want             report.State
	}{{"hold", "", report.Held}, {"skip", "", report.Skipped}, {"ignore", "", report.OK}, {"ignore", "hold", report.Held}, {"hold", "skip", report.Skipped}, {"skip", "ignore", report.OK}} {
		f := newFixture(t)
		f.config.Maintenance = c.config
		f.spec = func(s *state.Spec) { s.InMaintenance, s.MaintenanceReason = true, "disk" }
		text := commands
		if c.manifest != "" {
			text += "maintenance: " + c.manifest + "\n"
		}
		e := f.run(t.Context(), "r1", text)
		if e.Result.State != c.want || e.Hold != (c.want == report.Held) || c.want != report.OK && e.Result.Error != `maintenance: "disk"` {
			t.Errorf("%s, %s: %+v", c.config, c.manifest, e)
		}
		if ran := f.read("order") != ""; ran != (c.want == report.OK) {
			t.Errorf("%s, %s: it ran %q", c.config, c.manifest, f.read("order"))
		}
	}
}

// What the agent tries again is not told to the failure commands: its end is,
// once.
func TestFailureCommandsWaitForTheEnd(t *testing.T) {
	f := newFixture(t)
	url, _ := f.serves(func(_ int64, w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) })
	text := "timeout: 1h\nsrc: " + url + "\nchecksum: SUM\ndest: DIR/dest\ncommands: {failure: ['echo >>DIR/told']}\n"
	for i, c := range []struct {
		patience *state.Patience
		told     bool
	}{
		{nil, true},
		{&state.Patience{Start: time.Now(), Wait: time.Minute}, false},
		{&state.Patience{Start: time.Now(), Wait: 2 * time.Hour}, true},
		{&state.Patience{Start: time.Now(), Until: time.Now().Add(time.Second), Wait: time.Minute}, true},
	} {
		_ = os.Remove(f.path("told"))
		f.spec = func(s *state.Spec) { s.Patience = c.patience }
		e := f.run(t.Context(), fmt.Sprint("r", i), text)
		if _, err := os.Stat(f.path("told")); (err == nil) != c.told || e.Again == c.told || !e.Wait {
			t.Errorf("%+v: told %v, %+v", c.patience, err == nil, e)
		}
	}
}
