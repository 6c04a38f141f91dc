package artifact

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestBrokenBodies: an archive comes whole although its bodies break off. With
// ranges and a tag it goes on where it was; without, it begins anew.
func TestBrokenBodies(t *testing.T) {
	archive := tarOf(t, file("a", noise(900_000)), file("b", noise(10)))
	size := len(archive)
	for _, c := range []struct {
		name     string
		set      func(*origin)
		part     int64
		cutAfter int
		cuts     int
		mostSent int // bytes
	}{
		{"nothing breaks", func(*origin) {}, 0, 0, 0, size},
		{"ranges: goes on", func(*origin) {}, 0, 300_000, 3, size},
		{"ranges in parts", func(*origin) {}, 64 << 10, 10_000, 3, size},
		{"ranges in parts of an odd size", func(*origin) {}, 77_777, 10_001, 3, size},
		{"ranges: breaks more often than is tried", func(*origin) {}, 0, 90_000, 9, size},
		{"breaks before the first byte", func(*origin) {}, 0, 0, 3, size},
		{"breaks at the last byte", func(*origin) {}, 0, size - 1, 1, size},
		{"no tag, one part: begins anew", func(o *origin) { o.etag = "" }, 0, 300_000, 2, size + 600_000},
		{"no tag, more parts: read as one", func(o *origin) { o.etag = "" }, 64 << 10, 300_000, 1, size + 500_000},
		{"a weak tag", func(o *origin) { o.etag = `W/"one"` }, 64 << 10, 300_000, 1, size + 500_000},
		{"no ranges: begins anew", func(o *origin) { o.noRanges = true }, 0, 300_000, 2, size + 600_000},
		{"neither ranges nor length", func(o *origin) { o.noLength = true }, 0, 300_000, 2, size + 600_000},
		{"neither, and it breaks where a buffer ends", func(o *origin) { o.noLength = true }, 0, 256 << 10, 2, size + 600_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOrigin(t, archive)
			c.set(o)
			o.cutAfter, o.cuts = c.cutAfter, c.cuts
			f := webFetcher(t)
			f.Part = c.part
			var last, total atomic.Int64
			f.OnProgress = func(done, of int64) { last.Store(done); total.Store(of) }
			stage := t.TempDir()
			stats, err := f.Unpack(t.Context(), o.parsed("/x"), sumOf("sha256", archive), stage)
			must(t, err)
			o.Close() // waits for the last answer to be counted
			if got := entriesOf(t, stage); len(got) != 2 || got[0] != "f a "+brief(noise(900_000)) {
				t.Errorf("got %q", got)
			}
			if o.cuts > 0 {
				t.Errorf("%d of the cuts did not happen", o.cuts)
			}
			if o.sent > c.mostSent {
				t.Errorf("%d bytes were sent for %d, want at most %d", o.sent, size, c.mostSent)
			}
			if stats.Fetched != int64(size) || last.Load() != int64(size) || total.Load() != int64(size) && !o.noLength {
				t.Errorf("stats %+v, progress %d of %d, want %d", stats, last.Load(), total.Load(), size)
			}
		})
	}
}

// TestChangedInMidDownload: two objects are never joined to one.
func TestChangedInMidDownload(t *testing.T) {
	before := tarOf(t, file("a", noise(600_000)))
	after := tarOf(t, file("b", strings.Repeat("new ", 150_000)))
	for _, c := range []struct {
		name string
		set  func(*origin)
		part int64
	}{
		{"the server knows If-Match", func(*origin) {}, 0},
		{"in parts", func(*origin) {}, 50_000},
		{"the server passes over If-Match", func(o *origin) { o.noMatch = true }, 0},
		{"it has no tags", func(o *origin) { o.etag = "" }, 0},
		{"it has no ranges", func(o *origin) { o.noRanges = true }, 0},
	} {
		for _, wanted := range [][]byte{after, before} {
			o := newOrigin(t, before)
			c.set(o)
			o.cutAfter, o.cuts = 20_000, 1
			o.onCut = func(o *origin) {
				o.content = after
				if o.etag != "" {
					o.etag = `"two"`
				}
			}
			f := webFetcher(t)
			f.Part, f.Workers = c.part, 1
			stage := t.TempDir()
			_, err := f.Unpack(t.Context(), o.parsed("/x"), sumOf("sha256", wanted), stage)
			var sum *ChecksumError
			if got := entriesOf(t, stage); bytes.Equal(wanted, after) && (err != nil || len(got) != 1 || !strings.HasPrefix(got[0], "f b ")) {
				t.Errorf("%s: err = %v, got %q, want the new one", c.name, err, got)
			} else if bytes.Equal(wanted, before) && (!errors.As(err, &sum) || sum.Got != sumOf("sha256", after).Hex) {
				t.Errorf("%s: err = %v, want the new one's checksum to be wrong", c.name, err)
			}
		}
	}
}

// TestWhoseFault: what may pass is tried again, and is still told as the
// world's when it does not; what won't is asked once.
func TestWhoseFault(t *testing.T) {
	archive := tarOf(t, file("a", "x"))
	for _, c := range []struct {
		status int
		times  int
		asked  int
		ok     bool
		world  bool
	}{
		{503, 2, 3, true, false},
		{500, 4, 5, true, false},
		{503, 99, 5, false, true},
		{502, 99, 5, false, true},
		{429, 99, 5, false, true},
		{408, 1, 2, true, false},
		{501, 99, 1, false, false},
		{404, 99, 1, false, false},
		{403, 99, 1, false, false},
		{401, 99, 1, false, false},
		{410, 99, 1, false, false},
		{400, 99, 1, false, false},
		{204, 99, 1, false, false},
		{304, 99, 1, false, false},
	} {
		for way, fetch := range map[string]func(*Fetcher, *origin) error{
			"unpack": func(f *Fetcher, o *origin) error {
				_, err := f.Unpack(t.Context(), o.parsed("/x"), sumOf("sha256", archive), t.TempDir())
				return err
			},
			"spool": func(f *Fetcher, o *origin) error {
				return f.Spool(t.Context(), o.parsed("/x"), sumOf("sha256", archive), filepath.Join(t.TempDir(), "x"))
			},
			"read": func(f *Fetcher, o *origin) error {
				_, _, err := f.Read(t.Context(), o.parsed("/x"), 1<<20)
				return err
			},
		} {
			o := newOrigin(t, archive)
			o.statuses = slices.Repeat([]int{c.status}, c.times)
			err := fetch(webFetcher(t), o)
			var source *SourceError
			if c.ok != (err == nil) || err != nil && (!errors.As(err, &source) || source.Status != c.status || transient(err) != c.world) {
				t.Errorf("%s, %d×%d: err = %v, want ok %v, the world's %v", way, c.times, c.status, err, c.ok, c.world)
			}
			if o.asked() != c.asked {
				t.Errorf("%s, %d×%d: asked %d times, want %d", way, c.times, c.status, o.asked(), c.asked)
			}
		}
	}
	t.Run("bodies that always break", func(t *testing.T) {
		for _, set := range []func(*origin){func(*origin) {}, func(o *origin) { o.noRanges = true }, func(o *origin) { o.noLength = true }} {
			o := newOrigin(t, archive)
			set(o)
			o.cuts, o.cutAfter = 1000, 1
			f := webFetcher(t)
			f.Retries = 2
			_, err := f.Unpack(t.Context(), o.parsed("/x"), sumOf("sha256", archive), t.TempDir())
			if err == nil || !transient(err) || o.asked() > 4 {
				t.Errorf("err = %v after %d requests, want the world's", err, o.asked())
			}
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		o := newOrigin(t, archive)
		u := o.parsed("/x")
		o.Close()
		_, _, err := webFetcher(t).Read(t.Context(), u, 9)
		if err == nil || !transient(err) {
			t.Errorf("err = %v, want the world's", err)
		}
	})
	t.Run("a scheme that nobody reads", func(t *testing.T) {
		u := newOrigin(t, archive).parsed("/x?token=s3cret")
		u.Scheme = "ftp"
		_, err := webFetcher(t).Unpack(t.Context(), u, sumOf("md5", nil), t.TempDir())
		if err == nil || transient(err) || !strings.Contains(err.Error(), `"ftp"`) {
			t.Errorf("err = %v", err)
		}
	})
}

// TestRead is the manifest's way.
func TestRead(t *testing.T) {
	for _, c := range []struct {
		name string
		body string
		set  func(*origin)
		want string // in the error; "" reads
	}{
		{"whole", "src: x\n", func(*origin) {}, ""},
		{"as large as allowed", strings.Repeat("x", 100), func(*origin) {}, ""},
		{"larger", strings.Repeat("x", 101), func(*origin) {}, "larger than 100 bytes"},
		{"larger, of no known length", strings.Repeat("x", 101), func(o *origin) { o.noLength = true }, "larger than 100 bytes"},
		{"empty", "", func(*origin) {}, "it is empty"},
		{"broken twice", "src: x\n", func(o *origin) { o.cuts, o.cutAfter = 2, 3 }, ""},
		{"broken twice, of no known length", "src: x\n", func(o *origin) { o.cuts, o.cutAfter, o.noLength = 2, 3, true }, ""},
		{"always broken", "src: x\n", func(o *origin) { o.cuts, o.cutAfter = 99, 3 }, "unexpected EOF"},
	} {
		o := newOrigin(t, []byte(c.body))
		c.set(o)
		data, info, err := webFetcher(t).Read(t.Context(), o.parsed("/x?token=s3cret"), 100)
		if c.want == "" && (err != nil || string(data) != c.body || info.URL != o.URL+"/x") {
			t.Errorf("%s: %q, %+v, err = %v", c.name, data, info, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: err = %v, want it to say %s", c.name, err, c.want)
		}
	}
}

// TestPartsSideBySide: as many requests as workers are under way at a time,
// and no more. The server answers none until all are there.
func TestPartsSideBySide(t *testing.T) {
	archive := tarOf(t, file("a", noise(1_000_000)))
	o := newOrigin(t, archive)
	f := webFetcher(t)
	f.Part, f.Workers = 50_000, 3
	var first, under, most atomic.Int64
	full := make(chan struct{})
	o.before = func(r *http.Request) {
		if first.Add(1) == 1 {
			return // tells the size, before there is anything to share out
		}
		n := under.Add(1)
		defer under.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == 2 { // the first worker has the first answer's body
			select {
			case <-full:
			default:
				close(full)
			}
		}
		select {
		case <-full:
		case <-time.After(10 * time.Second):
			t.Error("no second request came beside the first")
		}
	}
	_, err := f.Unpack(t.Context(), o.parsed("/x"), sumOf("sha256", archive), t.TempDir())
	must(t, err)
	o.Close() // waits for the last answer to be counted
	if m := most.Load(); m < 2 || m > 3 {
		t.Errorf("%d requests at a time, want 2 to 3", m)
	}
	if o.sent != len(archive) {
		t.Errorf("%d bytes were sent for %d", o.sent, len(archive))
	}
}

// TestBandwidth: 1 MB at 100 kB/s takes 10 s, and a cancel does not wait for
// that.
func TestBandwidth(t *testing.T) {
	archive := tarOf(t, file("a", noise(1_000_000)))
	path := filepath.Join(t.TempDir(), "x")
	must(t, os.WriteFile(path, archive, 0o600))
	synctest.Test(t, func(t *testing.T) {
		f := &Fetcher{Sources: map[string]Source{"file": File{}}, Bandwidth: 100_000, Part: 64 << 10}
		began := time.Now()
		must(t, f.Spool(t.Context(), fileURL(path), sumOf("md5", archive), filepath.Join(t.TempDir(), "to")))
		if took := time.Since(began); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began = time.Now()
		err := f.Spool(ctx, fileURL(path), sumOf("md5", archive), filepath.Join(t.TempDir(), "to"))
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 3*time.Second {
			t.Errorf("err = %v after %v", err, took)
		}
	})
}

// TestRangesEnd: behind a balancer one server may know ranges and the next
// none. The download begins anew, in one stream; nothing of what was unpacked
// or hashed before stays. Where that breaks too it is the world's fault.
func TestRangesEnd(t *testing.T) {
	archive := tarOf(t, file("a", noise(200_000)), file("b", noise(300_000)))
	for _, c := range []struct {
		name   string
		broken bool
	}{{"and the whole comes", false}, {"and the whole breaks off", true}} {
		for way, fetch := range map[string]func(*Fetcher, *url.URL, string) error{
			"unpack": func(f *Fetcher, u *url.URL, dir string) error {
				stats, err := f.Unpack(t.Context(), u, sumOf("sha256", archive), dir)
				if err == nil && (stats.Fetched != int64(len(archive)) || stats.Files != 2) {
					t.Errorf("stats are %+v", stats)
				}
				return err
			},
			"spool": func(f *Fetcher, u *url.URL, dir string) error {
				return f.Spool(t.Context(), u, sumOf("sha256", archive), filepath.Join(dir, "a"))
			},
		} {
			t.Run(way+" "+c.name, func(t *testing.T) {
				var ranges, wholes atomic.Int32
				o := newOrigin(t, archive)
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					switch asked := r.Header.Get("Range"); {
					case asked == "":
						wholes.Add(1)
						if c.broken {
							w.Header().Set("Content-Length", strconv.Itoa(len(archive)))
							_, _ = w.Write(archive[:1000])
							_ = http.NewResponseController(w).Flush()
							panic(http.ErrAbortHandler)
						}
					case ranges.Add(1) > 3: // some are on disk by then
						w.Header().Set("ETag", o.etag)
						_, _ = w.Write(archive)
						return
					}
					o.ServeHTTP(w, r)
				}))
				defer server.Close()
				f := webFetcher(t)
				f.Part, f.Workers, f.Retries = 50_000, 1, 3
				u, err := url.Parse(server.URL + "/x")
				must(t, err)
				dir := t.TempDir()
				err = fetch(f, u, dir)
				if c.broken {
					if err == nil || !transient(err) || ranges.Load() != 4 || wholes.Load() != 2 {
						t.Errorf("err = %v after %d ranges and %d wholes", err, ranges.Load(), wholes.Load())
					}
					if left := entriesOf(t, dir); len(left) > 0 {
						t.Errorf("left: %q", left)
					}
					return
				}
				must(t, err)
				if ranges.Load() != 4 || wholes.Load() != 1 {
					t.Errorf("%d ranges and %d wholes were asked for", ranges.Load(), wholes.Load())
				}
				if way == "unpack" {
					if got := entriesOf(t, dir); len(got) != 2 || got[0] != "f a "+brief(noise(200_000)) || got[1] != "f b "+brief(noise(300_000)) {
						t.Errorf("got %q", got)
					}
				}
			})
		}
	}
}
