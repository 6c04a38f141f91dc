package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// document is what -o json writes at the end.
type document struct {
	OK      bool     `json:"ok"`
	Errors  []string `json:"errors"` // what was not as told
	Chef    chefUsed `json:"chef"`
	Dir     string   `json:"dir"`
	Seconds float64  `json:"seconds"`
	Steps   []*step  `json:"steps"`
	Nodes   []node   `json:"nodes"`
	Results []result `json:"results"`
	Keys    []key    `json:"keys"`
}

// chefUsed is the chef-solo that converged.
type chefUsed struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	StandIn bool   `json:"stand_in"`
}

func (c chefUsed) String() string {
	if c.StandIn {
		return "the stand-in for chef-solo: no Chef is on PATH"
	}
	return c.Version
}

// node is how a host stands at the end.
type node struct {
	Node     string `json:"node"`
	Prefix   string `json:"prefix"`
	NodeJSON string `json:"node_json"` // picked last
	Dest     string `json:"dest"`
	Release  string `json:"release"` // where dest points; "": nothing is live
	Motd     string `json:"motd"`    // what Chef wrote there
}

// result is what one node reported of one deployment.
type result struct {
	ID       string   `json:"id"`
	Node     string   `json:"node"`
	States   []string `json:"states"` // each write, in order
	NodeJSON string   `json:"node_json"`
	Updated  int      `json:"updated"`
	Total    int      `json:"total"`
	Seconds  float64  `json:"seconds"`
	Error    string   `json:"error,omitempty"`
}

// key is one in Consul's store.
type key struct {
	Key   string `json:"key"`
	Bytes int    `json:"bytes"`
}

// conclude fills in how it all came out.
func (d *demo) conclude(err error, interrupted bool) {
	d.doc.Errors = append([]string{}, d.tell.failed()...)
	switch {
	case interrupted:
		d.doc.Errors = append(d.doc.Errors, "interrupted")
	case err != nil:
		d.doc.Errors = append(d.doc.Errors, err.Error())
	}
	d.doc.OK = len(d.doc.Errors) == 0
	d.doc.Steps = d.tell.steps
}

func writeDocument(w io.Writer, doc *document) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(doc)
}

// farewell is the last words, for people.
func (d *demo) farewell(stderr io.Writer, err error, interrupted bool) {
	switch {
	case interrupted:
		_, _ = fmt.Fprintln(stderr, "demo: interrupted")
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "demo: %v\n", err)
	}
	if n := len(d.tell.failed()); n > 0 {
		_, _ = fmt.Fprintf(stderr, "demo: %d not as told\n", n)
	}
	d.tell.say("\nTorn down; the files are kept: %s\n", d.dir)
	if d.doc.OK {
		d.tell.say("As told, in %.1f s.\n", d.doc.Seconds)
	}
}
