package standin

import "strings"

// statement is a line, or some where brackets hold them together.
type statement struct {
	line int
	text string
}

// statements splits Ruby into statements, leaving out comments.
func statements(content string) []statement {
	var out []statement
	depth := 0
	for i, line := range strings.Split(content, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if depth > 0 || strings.HasPrefix(line, ".") && len(out) > 0 {
			out[len(out)-1].text += " " + line
		} else {
			out = append(out, statement{i + 1, line})
		}
		depth = max(0, depth+brackets(line))
	}
	return out
}

// brackets counts those that a line leaves open, outside of strings.
func brackets(line string) (open int) {
	var quote byte
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			return open
		case c == '[' || c == '(':
			open++
		case c == ']' || c == ')':
			open--
		}
	}
	return open
}
