package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		s    sample
		want float64
	}{{sample{3}, 3}, {sample{9, 1, 2}, 2}, {sample{4, 1, 2, 100}, 3}} {
		if got := c.s.median(); got != c.want {
			t.Errorf("median of %v: %v, wanted %v", c.s, got, c.want)
		}
	}
	if got := (sample{6, 9}).over(sample{2, 3}); got[0] != 3 || got[1] != 3 {
		t.Errorf("pair by pair: %v", got)
	}
}

// good is a measurement that meets every figure, none of them by much.
func good() *results {
	return &results{
		Stretcher: sample{4, 4, 4}, Gz: sample{1.9, 9, 1.9}, Zst: sample{0.9, 0.9, 9},
		Runs:     map[string]sample{recipes[0].label: {1}, recipes[1].label: {1}},
		Accepted: sample{14, 14}, Handler: sample{10, 10},
		Peaks: []peak{{"tar.gz -6", sample{60, 79}}}, Idle: 29, IdleAfter: "1m0s",
	}
}

// Each figure that is missed is told, and makes the whole missed.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		missed string
		spoil  func(*results)
	}{
		{"", func(*results) {}},
		{"gurney, tar.gz", func(r *results) { r.Gz = sample{2.1, 2.1, 1} }},
		{"gurney, tar.zst", func(r *results) { r.Zst = sample{1.1, 1.1, 0.1} }},
		{"peak memory, run and agent, tar.gz -6", func(r *results) { r.Peaks[0].MB[1] = 81 }},
		{"accepted ÷", func(r *results) { r.Accepted = sample{16, 16} }},
		{"idle for 1m0s", func(r *results) { r.Idle = 31 }},
	} {
		r := good()
		c.spoil(r)
		r.judge()
		if r.Met != (c.missed == "") {
			t.Errorf("%q: met is %t", c.missed, r.Met)
		}
		for _, f := range r.Figures {
			if wanted := c.missed == "" || !strings.Contains(f.Name, c.missed); f.Met != wanted {
				t.Errorf("%q: %s: met is %t", c.missed, f.Name, f.Met)
			}
		}
		var text, doc strings.Builder
		if err := r.write(&text, "text"); err != nil || strings.Contains(text.String(), "MISSED") == r.Met {
			t.Errorf("%q: %v\n%s", c.missed, err, text.String())
		}
		if err := r.write(&doc, "json"); err != nil || !json.Valid([]byte(doc.String())) {
			t.Errorf("%v: %s", err, doc.String())
		}
	}
}
