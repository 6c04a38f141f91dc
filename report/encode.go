package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Version is the schema version that Encode writes as v.
const Version = 1

// Sizes of an encoded result in bytes. Each stands in the memory of every
// Consul server, once per node and deployment.
const (
	MaxOK      = 256
	MaxFailure = 1536
	maxError   = 400 // of the error's text, so that a tail always has room
	maxAgent   = 24
	maxName    = 40 // of the node JSON's name
)

// Encode returns r as JSON within its budget. What does not fit is cut where
// it is missed least: the head of the tail, the end of the error, the seconds
// of short phases.
func Encode(r Result) []byte {
	r.V = Version
	r.Error = cutEnd(clean(r.Error), maxError)
	r.Tail = cutHead(clean(r.Tail), MaxFailure)
	r.NodeJSON = cutEnd(clean(r.NodeJSON), maxName)
	r.Agent = cutEnd(clean(r.Agent), maxAgent)
	r.Seconds = RoundSeconds(r.Seconds)
	budget := MaxFailure
	if r.State == OK || r.State == Accepted {
		budget = MaxOK
		r.Error, r.Tail = "", ""
	}
	data := marshal(r)
	for len(data) > budget {
		switch {
		case r.Tail != "":
			// One byte of text takes up to six in JSON: by steps, not to lose more than needed.
			r.Tail = cutHead(r.Tail, max(0, len(r.Tail)-max((len(data)-budget)/2, 16)))
		case len(r.Seconds) > 1:
			r.Seconds = dropShortest(r.Seconds)
		case r.Agent != "":
			r.Agent = ""
		case r.Error != "":
			r.Error = cutEnd(r.Error, max(0, len(r.Error)-max(len(data)-budget, 16)))
		case r.NodeJSON != "":
			r.NodeJSON = ""
		default:
			return data
		}
		data = marshal(r)
	}
	return data
}

// Decode reads a result of this or an older schema.
func Decode(data []byte) (Result, error) {
	var r Result
	if err := json.Unmarshal(data, &r); err != nil {
		return Result{}, fmt.Errorf("decode result: %w", err)
	}
	if r.V > Version {
		return Result{}, fmt.Errorf("decode result: schema version %d is newer than this gurney reads (%d)", r.V, Version)
	}
	if r.State == "" {
		return Result{}, fmt.Errorf("decode result: it has no state")
	}
	return r, nil
}

// marshal leaves <, > and & as they are: escaped they take six bytes each.
func marshal(r Result) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		panic(err) // of strings and finite numbers: never
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// RoundSeconds is seconds as Encode writes them, also for who shows a result
// elsewhere: it keeps one decimal, none from 100 s on, and leaves out what
// rounds to nothing.
func RoundSeconds(in map[Phase]float64) map[Phase]float64 {
	out := map[Phase]float64{}
	for p, s := range in {
		unit := 10.0
		if s >= 100 {
			unit = 1
		}
		if s = math.Round(s*unit) / unit; s > 0 && !math.IsInf(s, 0) {
			out[p] = s
		}
	}
	return out
}

func dropShortest(in map[Phase]float64) map[Phase]float64 {
	least, found := Phase(""), math.Inf(1)
	for p, s := range in {
		if s < found || s == found && p < least {
			least, found = p, s
		}
	}
	delete(in, least)
	return in
}

// clean makes text fit for a terminal and for JSON: valid UTF-8, and no
// control characters but line ends and tabs.
func clean(s string) string {
	s = strings.ToValidUTF8(stripEscapes(s), "?")
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}

// stripEscapes removes the colour codes that commands print.
func stripEscapes(s string) string {
	if !strings.Contains(s, "\x1b") {
		return s
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		end := strings.IndexFunc(after, func(r rune) bool { return r >= '@' && r <= '~' })
		if end < 0 {
			return b.String()
		}
		s = after[end+1:]
	}
}

const ellipsis = "…"

func cutEnd(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	keep := max(0, limit-len(ellipsis))
	for keep > 0 && !utf8.RuneStart(s[keep]) {
		keep--
	}
	if keep == 0 {
		return ""
	}
	return s[:keep] + ellipsis
}

// cutHead keeps the end of s, from the beginning of a line where that costs
// no more than half.
func cutHead(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	from := len(s) - limit
	for from < len(s) && !utf8.RuneStart(s[from]) {
		from++
	}
	s = s[from:]
	if nl := strings.IndexByte(s, '\n'); nl >= 0 && nl < len(s)/2 {
		s = s[nl+1:]
	}
	return s
}

// Phases are all phases in their order.
func Phases() []Phase {
	return slices.Clone([]Phase{PhaseAccepted, PhaseManifest, PhaseFetch, PhasePre, PhaseSync, PhaseChef, PhaseActivate, PhasePost, PhaseReport})
}
