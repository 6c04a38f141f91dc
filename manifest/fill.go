package manifest

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
)

// topKey matches a line that sets src or checksum at the document's top level.
var topKey = regexp.MustCompile(`(?m)^(src|checksum)[ \t]*:.*\n?`)

// Fill returns doc with src and checksum set to the archive that was just
// uploaded. It works on the lines, not on parsed YAML: a manifest may be a
// template that is no YAML before the node renders it, and its comments stay.
// A src or checksum that spans lines is an error.
func Fill(doc []byte, src, checksum string) ([]byte, error) {
	lines := map[string]string{
		"src":      "src: " + strconv.Quote(src) + "\n",
		"checksum": "checksum: " + checksum + "\n",
	}
	for _, at := range topKey.FindAllIndex(doc, -1) {
		if next := doc[at[1]:]; len(next) > 0 && (next[0] == ' ' || next[0] == '\t') {
			key, _, _ := bytes.Cut(doc[at[0]:at[1]], []byte(":"))
			return nil, fmt.Errorf("%d: %s spans lines; leave it out, it is filled in", 1+bytes.Count(doc[:at[0]], []byte("\n")), key)
		}
	}
	out := topKey.ReplaceAllFunc(doc, func(line []byte) []byte {
		key, _, _ := bytes.Cut(line, []byte(":"))
		name := string(bytes.TrimSpace(key))
		fresh := lines[name]
		delete(lines, name)
		return []byte(fresh)
	})
	missing := lines["src"] + lines["checksum"]
	if missing == "" {
		return out, nil
	}
	// After the comments and the document's start that may stand at its head.
	head := 0
	for head < len(out) {
		line, _, _ := bytes.Cut(out[head:], []byte("\n"))
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 && trimmed[0] != '#' && !bytes.Equal(trimmed, []byte("---")) {
			break
		}
		head = min(head+len(line)+1, len(out))
	}
	if head > 0 && out[head-1] != '\n' {
		missing = "\n" + missing
	}
	return append(append(append([]byte{}, out[:head]...), missing...), out[head:]...), nil
}
