package report

import (
	"fmt"
	"strings"
	"time"
)

// Took is how long the run lasted, 0 while it has not ended.
func (r Result) Took() time.Duration {
	if r.End == 0 || r.End < r.Start {
		return 0
	}
	return time.Duration(r.End-r.Start) * time.Millisecond
}

// Line tells the result in one line of plain text, without the node's name.
func (r Result) Line() string {
	var b strings.Builder
	b.WriteString(string(r.State))
	switch r.State {
	case OK:
		fmt.Fprintf(&b, " in %s", Duration(r.Took()))
		if r.Total > 0 {
			fmt.Fprintf(&b, ", %d of %s updated", r.Updated, Count(r.Total, "resource", "resources"))
		} else if r.NodeJSON != "" {
			fmt.Fprintf(&b, ", %s updated", Count(r.Updated, "resource", "resources"))
		}
		if r.Reboot {
			b.WriteString(", reboot wanted")
		}
	case Failed, Interrupted:
		if r.Phase != "" {
			fmt.Fprintf(&b, " in phase %s", r.Phase)
		}
		if r.Exit != 0 {
			fmt.Fprintf(&b, ", exit %d", r.Exit)
		}
		if t := r.Took(); t > 0 {
			fmt.Fprintf(&b, " after %s", Duration(t))
		}
		if r.Error != "" {
			b.WriteString(": " + firstLine(r.Error))
		}
	default:
		if r.Error != "" {
			b.WriteString(": " + firstLine(r.Error))
		}
	}
	return b.String()
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// Count writes how many there are of what has these names.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Duration writes d as people read it: 0.4s, 12s, 3m41s, 2h14m, 5d3h.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return strings.Replace(fmt.Sprintf("%.1fs", d.Seconds()), ".0s", "s", 1)
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// Bytes writes n as people read it, by powers of 1000: 812 B, 38 MB, 1.2 GB.
func Bytes(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, suffix := float64(n), ""
	for _, s := range []string{"kB", "MB", "GB", "TB", "PB", "EB"} {
		value, suffix = value/unit, s
		if value < 999.5 {
			break
		}
	}
	if value < 9.95 {
		return fmt.Sprintf("%.1f %s", value, suffix)
	}
	return fmt.Sprintf("%.0f %s", value, suffix)
}
