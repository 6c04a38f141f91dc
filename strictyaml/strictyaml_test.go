package strictyaml

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

// sample is read by every test here.
type sample struct {
	name  string
	wait  time.Duration
	on    bool
	n     int
	list  []string
	env   map[string]string
	child string
}

func read(doc string) (sample, *Doc) {
	var s sample
	d := Parse("f.yml", []byte(doc))
	d.Keys(Keys{
		"name":   func(v *Value) { v.String(&s.name) },
		"wait":   func(v *Value) { v.Duration(&s.wait) },
		"on":     func(v *Value) { v.Bool(&s.on) },
		"n":      func(v *Value) { v.Int(&s.n) },
		"list":   func(v *Value) { v.Strings(&s.list) },
		"env":    func(v *Value) { v.Map(&s.env) },
		"nested": func(v *Value) { v.Keys(Keys{"child": func(v *Value) { v.String(&s.child) }}) },
	})
	return s, d
}

func TestRead(t *testing.T) {
	tests := []struct {
		doc  string
		want sample
	}{
		{"", sample{}},
		{"# nothing\n---\n", sample{}},
		{"name: 012\nwait: 90s\non: Yes\nn: 3\n", sample{name: "012", wait: 90 * time.Second, on: true, n: 3}},
		{"list:\n- a\n-\n- ~\n- 1\nenv: {A: b, C: }", sample{list: []string{"a", "1"}, env: map[string]string{"A": "b", "C": ""}}},
		{"name: null\nlist:\nenv:\nnested:\n", sample{env: map[string]string{}}},
		{"name: &n x\nnested: {child: *n}", sample{name: "x", child: "x"}},
		{"nested: {<<: {child: merged}}", sample{child: "merged"}},
		{"nested: {<<: [{child: first}, {child: second}]}", sample{child: "first"}},
		{"nested: {<<: {child: merged}, child: own}", sample{child: "own"}},
		{"nested: &a {<<: *a, child: x}", sample{child: "x"}},
		{"name: !!binary aGU=", sample{name: "he"}},
	}
	for _, tt := range tests {
		got, d := read(tt.doc)
		wrong, unknown := d.Problems()
		if len(wrong)+len(unknown) > 0 || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q\ngot  %+v, %v %v\nwant %+v", tt.doc, got, wrong, unknown, tt.want)
		}
	}
}

func TestProblems(t *testing.T) {
	tests := []struct{ doc, want string }{
		{"[]", "f.yml:1:1: must be a mapping (known keys: env, list, n, name, nested, on, wait), is a list"},
		{"name: [a]", "f.yml:1:7: name: must be a string, is a list"},
		{"list: a", "f.yml:1:7: list: must be a list, is a single value"},
		{"list:\n- a\n- {b: c}", "f.yml:3:3: list: must be a string, is a mapping"},
		{"env: [a]", "f.yml:1:6: env: must be a mapping (names and strings), is a list"},
		{"nested: x", "f.yml:1:9: nested: must be a mapping (known keys: child), is a single value"},
		{"n: 1.5", "f.yml:1:4: n: must be a whole number"},
		{"on: 1", "f.yml:1:5: on: must be true or false"},
		{"name: a\nname: b", "f.yml:2:1: name: given twice, first on line 1"},
		{"? [a]\n: b", "f.yml:1:3: a key must be a word, is a list"},
		{"<<: a", "f.yml:1:5: << merges mappings only, not a single value"},
		{"name: !!binary é", "f.yml:1:7: name: must be base64, as its tag says"},
		{"n: x\non: x\nn: y", "f.yml:1:4: n: must be a whole number\nf.yml:2:5: on: must be true or false\nf.yml:3:1: n: given twice, first on line 1"},
		{"a: 1\n---\nb: 2", "f.yml:2:1: a second document; one file holds one"},
		{"name: \"x\n", "f.yml:2: not YAML: found unexpected end of stream"},
		{"name: x\n wait: *y", "f.yml:2: not YAML: mapping values are not allowed in this context"},
		{"name: x\nlist: [a,\nwait: 1s\n", "f.yml:2: not YAML: did not find expected ',' or ']'"},
		{"name: x\nlist:\n - a\n wait: 1s\n", "f.yml:3: not YAML: did not find expected '-' indicator"},
		{"name: @x", "f.yml:1: not YAML: found character that cannot start any token"},
		{"]", "f.yml:1: not YAML: did not find expected node content"},
		{"name: *hunter2", "f.yml: not YAML: unknown anchor (quote a value that begins with *) referenced"},
	}
	for _, tt := range tests {
		_, d := read(tt.doc)
		if wrong, _ := d.Problems(); wrong.Error() != tt.want {
			t.Errorf("%q\ngot  %s\nwant %s", tt.doc, wrong.Error(), tt.want)
		}
	}
}

func TestUnknownKeys(t *testing.T) {
	for doc, want := range map[string]string{
		"naem: x":             "f.yml:1:1: naem: no such key; did you mean name?",
		"nested: {chlid: x}":  "f.yml:1:10: nested.chlid: no such key; did you mean child?",
		"Wait: x":             "f.yml:1:1: Wait: no such key; did you mean wait?",
		"something_else: x":   "f.yml:1:1: something_else: no such key",
		"nested:\n  childs: ": "f.yml:2:3: nested.childs: no such key; did you mean child?",
	} {
		_, d := read(doc)
		wrong, unknown := d.Problems()
		if len(wrong) > 0 || len(unknown) != 1 || unknown[0].Error() != want || !unknown[0].Unknown {
			t.Errorf("%q: got %v and %v, want %s", doc, wrong, unknown, want)
		}
	}
}

func TestUnread(t *testing.T) {
	d := Parse("f.yml", []byte("a: x%y\nb: z"))
	d.Unread = "%"
	n := 7
	d.Keys(Keys{"a": func(v *Value) { v.Int(&n) }, "b": func(v *Value) { v.Int(&n) }})
	wrong, _ := d.Problems()
	if len(wrong) != 1 || wrong[0].Key != "b" || n != 7 {
		t.Errorf("got %v, n %d; want one problem, of b", wrong, n)
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"timout", "timeout", 1}, {"chlid", "child", 1}, {"abc", "xyz", 3}, {"kitten", "sitting", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%s, %s: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestProblemsAsError(t *testing.T) {
	if err := (Problems{}).Err(); err != nil {
		t.Errorf("no problems: got %v", err)
	}
	var p Problem
	if err := (Problems{{File: "a", Key: "k", Msg: "m"}}).Err(); !errors.As(err, &p) || p.Key != "k" || err.Error() != "a: k: m" {
		t.Errorf("got %v", err)
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]string{
		"1h30m": "", "0s": "", "0": "0 has no unit: write 0s, 0m or 0h", "1.5": "1.5 has no unit: write 1.5s, 1.5m or 1.5h",
		"": "must be a duration such as 90s, 30m or 1h30m", "1d": "must be a duration such as 90s, 30m or 1h30m",
	} {
		_, err := ParseDuration(s)
		if got := errText(err); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "512": 512, "512b": 512, "10MB": 10e6, "10 mib": 10 << 20, "1.5k": 1500, "20GiB": 20 << 30,
		"": -1, "GB": -1, "-1": -1, "10TB": -1, "1e30": -1, "NaN": -1, "inf": -1, "0x10": -1,
	} {
		got, err := ParseSize(s)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: got %d (%v), want %d", s, got, err, want)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
