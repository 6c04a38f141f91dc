package strictyaml

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Value is the value of one key. Its methods read it as a type and say false
// where it is not one, the problem noted; a null leaves the default in place
// and is no problem.
type Value struct {
	doc  *Doc
	node *yaml.Node
	key  string // path, dots between its parts
}

// Key returns the path of keys to v, dots between them.
func (v *Value) Key() string { return v.key }

// Pos returns the line and column where v stands, from 1.
func (v *Value) Pos() (line, col int) { return v.node.Line, v.node.Column }

// Quoted says whether v was written as a quoted string.
func (v *Value) Quoted() bool {
	return v.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
}

// Null says whether v has no value.
func (v *Value) Null() bool { return isNull(v.node) }

// Problemf adds a problem at v's place.
func (v *Value) Problemf(format string, args ...any) {
	if v.doc.Unread != "" && strings.Contains(v.node.Value, v.doc.Unread) {
		return
	}
	v.doc.Problem(v.node.Line, v.node.Column, v.key, fmt.Sprintf(format, args...))
}

// String reads a string. Numbers and booleans are strings too, as written.
func (v *Value) String(to *string) bool {
	if isNull(v.node) {
		return false
	}
	if v.node.Kind != yaml.ScalarNode {
		v.Problemf("must be a string, is %s", kind(v.node))
		return false
	}
	text := v.node.Value
	// Ruby writes what is not plain ASCII so, with one ! or two.
	if v.node.Tag == "!!binary" || v.node.Tag == "!binary" {
		raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			v.Problemf("must be base64, as its tag says")
			return false
		}
		text = string(raw)
	}
	*to = text
	return true
}

// Bool reads true or false.
func (v *Value) Bool(to *bool) bool {
	var text string
	if !v.String(&text) {
		return false
	}
	b, err := ParseBool(text)
	if err != nil {
		v.Problemf("%v", err)
		return false
	}
	*to = b
	return true
}

// Int reads a decimal number.
func (v *Value) Int(to *int) bool {
	var text string
	if !v.String(&text) {
		return false
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		v.Problemf("must be a whole number")
		return false
	}
	*to = n
	return true
}

// Duration reads a duration as Go writes it: 90s, 1h30m.
func (v *Value) Duration(to *time.Duration) bool {
	var text string
	if !v.String(&text) {
		return false
	}
	d, err := ParseDuration(text)
	if err != nil {
		v.Problemf("%v", err)
		return false
	}
	*to = d
	return true
}

// Size reads a number of bytes: 1000000, 20GiB.
func (v *Value) Size(to *int64) bool {
	var text string
	if !v.String(&text) {
		return false
	}
	n, err := ParseSize(text)
	if err != nil {
		v.Problemf("%v", err)
		return false
	}
	*to = n
	return true
}

// ParseDuration is time.ParseDuration with an error that says what would be
// right. 0 alone needs a unit too, to be read by people as well.
func ParseDuration(s string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return 0, fmt.Errorf("%s has no unit: write %ss, %sm or %sh", s, s, s, s)
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("must be a duration such as 90s, 30m or 1h30m")
	}
	return d, nil
}

// ParseBool reads true or false, and the yes, no, on and off that YAML 1.1
// has for them, in any case of letters.
func ParseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "yes", "on":
		return true, nil
	case "false", "no", "off":
		return false, nil
	}
	return false, errors.New("must be true or false")
}
