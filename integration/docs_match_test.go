package integration_test

import (
	"regexp"
	"strings"
)

// What differs from run to run, by what it is called in the comparison. The
// pages show values as they were seen once, which reads better than holes.
var varies = []struct {
	what *regexp.Regexp
	as   string
}{
	// The pages are for those who have Chef.
	{regexp.MustCompile(`^warn( +chef-solo .*) \(stand-in\): .*$`), "ok$1"},
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`\b\d{8}-\d{4}-[0-9a-f]{4}\b`), "ID"},
	{regexp.MustCompile(`\bapply-\d{8}-\d{6}\.\d{3}\b`), "ID"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "SHA256"},
	{regexp.MustCompile(`\bsha256 [0-9a-f]{4}…`), "sha256 HEX"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d \d\d:\d\d\b`), "TIME"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "TIME"},
	{regexp.MustCompile(`\b(\d+d\d+h|\d+h\d\dm|\d+m\d\ds|\d+(\.\d)?s)\b`), "DURATION"},
	{regexp.MustCompile(`\b\d+(\.\d)? ([kMGT]B|B)\b`), "SIZE"},
	{regexp.MustCompile(`"(seq|start|end|seconds)": ?\d+(\.\d+)?`), `"$1": NUMBER`},
	{regexp.MustCompile(`\b127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`\b\w+@[\w.-]+\b`), "OPERATOR"},
	{regexp.MustCompile(` +`), " "}, // columns are as wide as what stands in them
}

func normal(text string) string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		for _, v := range varies {
			line = v.what.ReplaceAllString(line, v.as)
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}

// matches says whether got is what a page promises. … stands for anything in
// a line, and for any number of lines where it is alone on one.
func matches(want, got string) bool {
	var re strings.Builder
	re.WriteString(`\A`)
	for line := range strings.SplitSeq(normal(want), "\n") {
		if line == "…" {
			re.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		var parts []string
		for part := range strings.SplitSeq(line, "…") {
			parts = append(parts, regexp.QuoteMeta(part))
		}
		re.WriteString(strings.Join(parts, `[^\n]*`) + `\n`)
	}
	re.WriteString(`\z`)
	return regexp.MustCompile(re.String()).MatchString(normal(got) + "\n")
}
