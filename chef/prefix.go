package chef

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

const prefixVariable = "HOSTNAME_PREFIX"

// prefixFileMax is the most that is read of a prefix file, in bytes.
const prefixFileMax = 64 << 10

// readPrefixFile returns the value of HOSTNAME_PREFIX in a file that a shell
// could source, "" when the file is not there or does not set it.
func readPrefixFile(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read hostname_prefix_file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, prefixFileMax))
	if err != nil {
		return "", fmt.Errorf("read hostname_prefix_file: %w", err)
	}
	return parsePrefix(string(data)), nil
}

// parsePrefix reads assignments as a shell would: the last one wins, quotes
// come off, a comment begins after a blank.
func parsePrefix(text string) string {
	value := ""
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "export"); ok && strings.TrimLeft(rest, " \t") != rest {
			line = strings.TrimLeft(rest, " \t")
		}
		if rest, ok := strings.CutPrefix(line, prefixVariable+"="); ok {
			value = unquote(rest)
		}
	}
	return value
}

// unquote takes one word as a shell does, without expansions.
func unquote(s string) string {
	var b strings.Builder
	var quote byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote = c
		case c == ' ' || c == '\t' || c == ';':
			return b.String()
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
