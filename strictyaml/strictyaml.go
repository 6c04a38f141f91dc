// Package strictyaml reads a YAML document that people wrote, by the keys it
// may have, and says everything that is wrong with it at once: each problem
// with its place, the path of its key, and what would be right.
//
//	bytes → Parse → Doc → Doc.Keys(known keys) → a Value for each key that is there
//	                 └─ problems, collected on the way, sorted by line
//
// Anchors, aliases and merge keys work; a key given twice is a problem. No
// problem ever quotes a value of its own accord.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Doc is one YAML document and the problems found in it so far.
type Doc struct {
	// Unread marks a part of the text that is not known yet: no problem is
	// made of a value that contains it. "" marks nothing.
	Unread string

	file     string
	root     *yaml.Node // nil: nothing in it, or unparsed
	unparsed bool
	problems Problems
}

// Parse reads the one document in data; file is its name in problems. A text
// that is no YAML, or more than one document, is a problem of the Doc.
func Parse(file string, data []byte) *Doc {
	d := &Doc{file: file}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		switch err := dec.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return d
		case err != nil:
			d.unparsed = true
			d.problems = append(d.problems, d.syntax(err))
			return d
		}
		switch root := doc.Content[0]; {
		case isNull(root): // a --- with nothing after it is none
		case d.root == nil:
			d.root = root
		default:
			d.Problem(doc.Line, doc.Column, "", "a second document; one file holds one")
			return d
		}
	}
}

// Empty says whether there is nothing in the document but comments.
func (d *Doc) Empty() bool { return d.root == nil && !d.unparsed }

// Problem adds a problem at a place of the file.
func (d *Doc) Problem(line, col int, key, msg string) {
	d.problems = append(d.problems, Problem{File: d.file, Line: line, Col: col, Key: key, Msg: msg})
}

// Problems returns what was found so far, in the order of lines: the wrong
// values, and apart from them the unknown keys.
func (d *Doc) Problems() (wrong, unknown Problems) {
	for _, p := range d.problems {
		if p.Unknown {
			unknown = append(unknown, p)
		} else {
			wrong = append(wrong, p)
		}
	}
	wrong.Sort()
	unknown.Sort()
	return wrong, unknown
}

// Keys reads the document's top level, a mapping of known keys, and returns
// whether it is one. An empty document is an empty mapping.
func (d *Doc) Keys(known Keys) bool {
	switch {
	case d.unparsed:
		return false
	case d.root == nil:
		return true
	}
	return (&Value{doc: d, node: d.root}).Keys(known)
}

var (
	yamlLine = regexp.MustCompile(`^line (\d+): `)
	yamlName = regexp.MustCompile(`'[^']*'`)
	// yamlParser are the errors of the library's parser, which counts lines
	// from 0 there; its scanner's count from 1.
	yamlParser = regexp.MustCompile(`^did not find expected (key|'-' indicator|',' or|node content|<)`)
	// yamlScanner are those that have a line, as the library's reader's and its
	// resolver's have not.
	yamlScanner = regexp.MustCompile(`^(found|could not find|did not find|mapping|block)`)
)

// syntax makes a problem of the YAML library's error. What that quotes may be
// a piece of a value (a password that begins with * is an alias to it), so
// the quotes go.
func (d *Doc) syntax(err error) Problem {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		line, _ = strconv.Atoi(m[1])
		msg = msg[len(m[0]):]
	} else if yamlScanner.MatchString(msg) && !yamlParser.MatchString(msg) {
		line = 1 // which the library leaves out
	}
	if yamlParser.MatchString(msg) {
		line++
	}
	if name, _, found := strings.Cut(msg, "'"); found && strings.HasPrefix(name, "unknown anchor") {
		msg = yamlName.ReplaceAllString(msg, "(quote a value that begins with *)")
	}
	return Problem{File: d.file, Line: line, Msg: fmt.Sprintf("not YAML: %s", msg)}
}
