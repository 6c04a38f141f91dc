package rollout

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// These bytes stand in Consul, and are read by other versions of Gurney: the
// golden files are the format, written by hand.
func TestFormats(t *testing.T) {
	at := time.Date(2026, 11, 23, 14, 4, 9, 120e6, time.UTC)
	for _, c := range []struct {
		file  string
		value any
	}{
		{"record.json", &Record{
			V: 1, Seq: 1795442649120, Current: &Ref{ID: "20261120-0911-77ab", At: at, By: "bob@ops1", Retry: &Retry{Seq: 1795442649119, Nodes: []string{"web-1"}}},
			Rollout: &Rollout{Ref: Ref{ID: "20261123-1404-9f2c", At: at, By: "alice@ops1", Retry: &Retry{Seq: 1795442649120}}, Seq: 1795442649000,
				Selector: Selector{Node: "web", Service: "nginx", Tag: "blue"}, Open: map[string]string{"": "3fffffffffffffff"}, Paused: true, MaxFailures: 1},
		}},
		{"record-least.json", &Record{V: 1, Seq: 1795442649120, Rollout: &Rollout{
			Ref: Ref{ID: "20261123-1404-9f2c", At: at, By: "alice@ops1"}, Seq: 1795442649120, Open: map[string]string{"": AllOpen}}}},
		{"deployment.json", &Deployment{
			V: 1, App: "chef", ID: "20261123-1404-9f2c", URL: "s3://acme/chef/manifest.yml", SHA256: "5b8e", Manifest: []byte("src: s3://acme/chef.tar.zst\n"), Sig: "untrusted comment",
			At: at, By: "alice@ops1", Why: "rotate TLS certificates", Outcome: &Outcome{State: "done", At: at, OK: 29, Fail: 1, Held: 2},
		}},
	} {
		t.Run(c.file, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata", c.file))
			if err != nil {
				t.Fatal(err)
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, want); err != nil {
				t.Fatal(err)
			}
			if got := encode(c.value); !bytes.Equal(got, compact.Bytes()) {
				t.Errorf("%s\nwant\n%s", got, compact.Bytes())
			}
			back := reflect.New(reflect.TypeOf(c.value).Elem()).Interface()
			if err := json.Unmarshal(want, back); err != nil || !reflect.DeepEqual(back, c.value) {
				t.Errorf("read as %+v (%v)", back, err)
			}
		})
	}
}

func TestRecordsThatAreNotRead(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{`{"v":2,"seq":1}`, "schema version 2 is newer than this gurney reads (1): upgrade it"},
		{`{"v":1}`, "it has no seq"},
		{`{"v":1,"seq":-3}`, "it has no seq"},
		{`{"v":1,"seq":5,"current":{"id":"../../x"}}`, `"../../x" is no deployment's id`},
		{`{"v":1,"seq":5,"rollout":{"id":""}}`, `"" is no deployment's id`},
		{``, "decode"},
		{`[]`, "decode"},
	} {
		if r, err := DecodeRecord([]byte(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want %s", c.data, r, err, c.want)
		}
	}
	// What a later version adds is passed over.
	if r, err := DecodeRecord([]byte(`{"v":1,"seq":5,"colour":"blue"}`)); err != nil || r.Seq != 5 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Whatever the operators' clocks say, each change has a higher seq than the
// one before, and with right clocks it is the time.
func TestSeqGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clocks := rapid.SliceOfN(rapid.Int64Range(-1<<40, 1<<41), 1, 30).Draw(t, "clocks")
		var r *Record
		for _, ms := range clocks {
			now := time.UnixMilli(1700000000000 + ms)
			seq := next(r, now)
			switch {
			case r != nil && seq <= r.Seq:
				t.Fatalf("%d after %d", seq, r.Seq)
			case seq < now.UnixMilli():
				t.Fatalf("%d at %d: a restored backup could catch up with it", seq, now.UnixMilli())
			case seq != now.UnixMilli() && seq != r.Seq+1:
				t.Fatalf("%d is neither the time nor one more", seq)
			}
			r = &Record{Seq: seq}
		}
	})
}

func TestIDsSortByTheirMinute(t *testing.T) {
	at := time.Date(2026, 11, 23, 14, 4, 9, 0, time.FixedZone("", 7200))
	a, b := NewID(at), NewID(at.Add(time.Minute))
	if !minted.MatchString(a) || !strings.HasPrefix(a, "20261123-1204-") || a >= b {
		t.Errorf("%s, %s", a, b)
	}
}

func TestPruneOrder(t *testing.T) {
	keys := []string{
		"results/chef/20261123-1404-9f2c/web-1", "results/chef/20261123-1404-9f2c/web-2", "results/chef/20261120-0911-77ab/web-1",
		"results/chef/f3a1c9d2-0000-4000-8000-000000000000/web-1", "results/chef/9f3a1c9d-0000-4000-8000-000000000000/web-1",
	}
	got := ids(keys, "results/chef/")
	want := []string{"9f3a1c9d-0000-4000-8000-000000000000", "f3a1c9d2-0000-4000-8000-000000000000", "20261120-0911-77ab", "20261123-1404-9f2c"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q: the ids of events are older than any deployment", got)
	}
	if gone := beyond(got, 1, map[string]bool{"20261120-0911-77ab": true}); !reflect.DeepEqual(gone, want[:2]) {
		t.Errorf("%q go; the newest and the named stay", gone)
	}
}
