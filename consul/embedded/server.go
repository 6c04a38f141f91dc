package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// request is one request to one agent.
type request struct {
	*http.Request
	c     *Cluster
	agent *agent
	up    context.Context // ends with the agent's connections
	query url.Values
	rest  string // of the path, behind the endpoint's prefix, unescaped
}

// has says whether a parameter is there, with or without a value.
func (q *request) has(name string) bool { return q.query.Has(name) }

// answer is what an endpoint has to say. The zero answer is 200 without a body.
type answer struct {
	status int // 200 when 0
	header http.Header
	json   any    // the body, unless it is nil
	plain  []byte // the body where json is nil
}

// refusal is an answer that says no, in plain text.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return refuse(http.StatusBadRequest, format, args...)
}

// broken is a 500, which Consul answers to much that is the caller's fault.
func broken(format string, args ...any) error {
	return refuse(http.StatusInternalServerError, format, args...)
}

// handler is the HTTP API of one agent.
func (c *Cluster) handler(a *agent) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := a.lifetime()
		if up.Err() != nil {
			panic(http.ErrAbortHandler) // closes the connection
		}
		ans, err := c.serve(a, up, r)
		if up.Err() != nil || r.Context().Err() != nil {
			panic(http.ErrAbortHandler)
		}
		var no *refusal
		if errors.As(err, &no) {
			c.log.Debug().Str("node", a.node).Str("method", r.Method).Stringer("url", r.URL).Int("status", no.status).Str("answer", no.text).Msg("refused")
		}
		ans.write(w, err, r.URL.Query().Has("pretty"))
	})
}

// serve finds the endpoint and asks it.
func (c *Cluster) serve(a *agent, up context.Context, r *http.Request) (answer, error) {
	escaped := r.URL.EscapedPath()
	if clean := cleanPath(escaped); clean != escaped {
		u := url.URL{Opaque: clean, RawQuery: r.URL.RawQuery}
		return answer{status: http.StatusTemporaryRedirect, header: http.Header{"Location": {u.String()}}}, nil
	}
	e, rest, ok := find(escaped)
	if !ok {
		return answer{}, refuse(http.StatusNotFound, "Invalid URL path: not a recognized HTTP API endpoint")
	}
	serve, ok := e[r.Method]
	if !ok {
		allow := "OPTIONS"
		for _, m := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete} {
			if _, ok := e[m]; ok {
				allow += "," + m
			}
		}
		header := http.Header{"Allow": {allow}}
		if r.Method == http.MethodOptions {
			return answer{header: header}, nil
		}
		return answer{header: header}, refuse(http.StatusMethodNotAllowed, "method %s not allowed", r.Method)
	}
	name, err := url.PathUnescape(rest)
	if err != nil {
		return answer{}, badRequest("%v", err)
	}
	q := &request{Request: r, c: c, agent: a, up: up, query: r.URL.Query(), rest: name}
	if dc := q.query.Get("dc"); dc != "" && dc != c.dc {
		return answer{}, broken("No path to datacenter")
	}
	if q.has("filter") {
		return answer{}, badRequest("?filter is not supported by the embedded server")
	}
	return serve(q)
}

// cleanPath takes empty parts, "." and ".." out of a path, as Consul's mux
// does, and keeps the last slash. An escaped slash is no part's end.
func cleanPath(p string) string {
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

func (ans answer) write(w http.ResponseWriter, err error, pretty bool) {
	for k, v := range ans.header {
		w.Header()[k] = slices.Clone(v)
	}
	body, status := ans.plain, orElse(ans.status, http.StatusOK)
	var no *refusal
	switch {
	case errors.As(err, &no):
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		status, body = no.status, []byte(no.text)
	case err != nil:
		status, body = http.StatusInternalServerError, []byte(err.Error())
	case ans.json != nil:
		w.Header().Set("Content-Type", "application/json")
		body = encode(ans.json, pretty)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away needs no answer
}

func encode(v any, pretty bool) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if pretty {
		enc.SetIndent("", "    ")
	}
	if err := enc.Encode(v); err != nil {
		return []byte(err.Error()) // our own types: no value of them fails
	}
	if pretty {
		return buf.Bytes()
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// decode reads the request's body as JSON. An empty one leaves v as it is.
func (q *request) decode(v any) error {
	data, err := io.ReadAll(q.Body)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return badRequest("Request decode failed: %v", err)
	}
	return nil
}
