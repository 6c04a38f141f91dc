package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// results are all that was measured. Times are in seconds unless their name
// says otherwise, memory in MB of 1,048,576 bytes.
type results struct {
	Tree      sizes             `json:"tree"`
	Dir       string            `json:"dir"`
	Memory    bool              `json:"in_memory"`
	Load      float64           `json:"load"` // before it began
	CPUs      int               `json:"cpus"`
	Stretcher sample            `json:"stretcher"`
	Gz        sample            `json:"gurney_tar_gz"`
	Zst       sample            `json:"gurney_tar_zst"`
	Runs      map[string]sample `json:"gurney_apply"`
	Accepted  sample            `json:"accepted_ms"`
	Handler   sample            `json:"handler_ms"`
	Peaks     []peak            `json:"peak_mb"`
	Idle      float64           `json:"idle_mb"`
	IdleAfter string            `json:"idle_after"`
	Figures   []figure          `json:"figures"`
	Met       bool              `json:"met"`
}

type peak struct {
	Archive string `json:"archive"`
	MB      sample `json:"mb"`
}

func (r *results) reacted(d deployed) {
	r.Accepted = append(r.Accepted, float64(d.accepted.Microseconds())/1000)
	r.Handler = append(r.Handler, float64(d.handler.Microseconds())/1000)
}

// figure is one promise and what came of it.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Least float64 `json:"at_least,omitempty"`
	Most  float64 `json:"at_most,omitempty"`
	Unit  string  `json:"unit"`
	Range string  `json:"range"`
	Met   bool    `json:"met"`
}

// judge compares with what was promised.
func (r *results) judge() {
	ratio := func(name string, s sample, least float64) {
		r.Figures = append(r.Figures, figure{Name: name, Value: s.median(), Least: least, Unit: "×", Range: spread(s, 2)})
	}
	ratio("Stretcher's way ÷ gurney, tar.gz", r.Stretcher.over(r.Gz), 2)
	ratio("Stretcher's way on tar.gz ÷ gurney, tar.zst", r.Stretcher.over(r.Zst), 4)
	for _, p := range r.Peaks {
		r.Figures = append(r.Figures, figure{Name: "peak memory, run and agent, " + p.Archive, Value: p.MB.max(), Most: 80, Unit: " MB", Range: spread(p.MB, 1)})
	}
	r.Figures = append(r.Figures,
		figure{Name: "accepted ÷ consul watch's handler", Value: r.Accepted.median() / r.Handler.median(), Most: 1.5, Unit: "×", Range: spread(r.Accepted.over(r.Handler), 2)},
		figure{Name: "agent's memory, idle for " + r.IdleAfter, Value: r.Idle, Most: 30, Unit: " MB"})
	r.Met = true
	for i := range r.Figures {
		f := &r.Figures[i]
		f.Met = f.Value >= f.Least && (f.Most == 0 || f.Value <= f.Most)
		r.Met = r.Met && f.Met
	}
}

func spread(s sample, digits int) string {
	return fmt.Sprintf("%.*f–%.*f", digits, s.min(), digits, s.max())
}

func (r *results) write(w io.Writer, format string) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	times := newTable("", "median", "min–max")
	row := func(name string, s sample, unit string, digits int) {
		times.AppendRow(table.Row{name, fmt.Sprintf("%.*f %s", digits, s.median(), unit), spread(s, digits)})
	}
	row("Stretcher's way, tar.gz", r.Stretcher, "s", 2)
	row("gurney, event to result, tar.gz", r.Gz, "s", 2)
	row("gurney, event to result, tar.zst", r.Zst, "s", 2)
	for _, rec := range recipes[:2] {
		row("gurney apply, "+rec.label, r.Runs[rec.label], "s", 2)
	}
	row("fire's return → accepted", r.Accepted, "ms", 1)
	row("fire's return → consul watch's handler", r.Handler, "ms", 1)
	figures := newTable("promised", "limit", "measured", "min–max", "")
	for _, f := range r.Figures {
		limit, verdict := fmt.Sprintf("≥ %g%s", f.Least, f.Unit), "met"
		if f.Most > 0 {
			limit = fmt.Sprintf("≤ %g%s", f.Most, f.Unit)
		}
		if !f.Met {
			verdict = "MISSED"
		}
		figures.AppendRow(table.Row{f.Name, limit, fmt.Sprintf("%.2f%s", f.Value, f.Unit), f.Range, verdict})
	}
	where := "in memory"
	if !r.Memory {
		where = "on a disk, which is measured too"
	}
	_, err := fmt.Fprintf(w, "%d files, %.0f MB; %d pairs, %s; %d processors, load %.1f before\n\n%s\n\n%s\n",
		r.Tree.Files, mib(r.Tree.Bytes), len(r.Stretcher), where, r.CPUs, r.Load, times.Render(), figures.Render())
	return err
}

func newTable(head ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.Style().Options = table.OptionsNoBorders
	t.AppendHeader(head)
	return t
}
