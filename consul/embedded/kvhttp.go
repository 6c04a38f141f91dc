package embedded

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// maxValue is the most that a value, and a transaction's body, may hold.
const maxValue = 512 << 10

func kvGet(q *request) (answer, error) {
	key, list, keys := q.rest, q.has("recurse"), q.has("keys")
	if key == "" && !list && !keys {
		return answer{}, badRequest("Missing key name")
	}
	s := &q.c.store
	return q.ask(func() (result, error) {
		switch {
		case keys:
			pairs, index := s.list(key)
			out := names(pairs, key, q.query.Get("separator"))
			if len(out) == 0 && key != "" {
				return result{index: index, missing: true}, nil
			}
			return result{index: index, json: out}, nil
		case list:
			pairs, index := s.list(key)
			if len(pairs) == 0 {
				return result{index: index, missing: true}, nil
			}
			return result{index: index, json: pairs}, nil
		}
		p, ok := s.get(key)
		switch {
		case !ok:
			return result{index: s.last, missing: true}, nil
		case q.has("raw"):
			return result{index: p.ModifyIndex, plain: p.Value, header: http.Header{
				"Content-Type":            {"text/plain; charset=utf-8"},
				"X-Content-Type-Options":  {"nosniff"},
				"Content-Security-Policy": {"sandbox"},
			}}, nil
		}
		return result{index: p.ModifyIndex, json: []pair{p}}, nil
	})
}

func kvPut(q *request) (answer, error) {
	if q.rest == "" {
		return answer{}, badRequest("Missing key name")
	}
	if err := q.conflicting("acquire", "release", "cas"); err != nil {
		return answer{}, err
	}
	p := pair{Key: q.rest}
	var err error
	if p.Flags, err = q.number("flags"); err != nil {
		return answer{}, err
	}
	if p.ModifyIndex, err = q.number("cas"); err != nil {
		return answer{}, err
	}
	if p.Value, err = q.body("kv_max_value_size"); err != nil {
		return answer{}, err
	}
	done := true
	var invalid error
	c := q.c
	err = c.write(func(index uint64) {
		switch {
		case q.has("cas"):
			_, done = c.store.cas(p, index)
		case q.has("acquire"):
			p.Session = q.query.Get("acquire")
			if invalid = c.mayHold(p.Session); invalid == nil && c.delayed(p.Key) {
				done = false
			} else if invalid == nil {
				_, done = c.store.acquire(p, index)
			}
		case q.has("release"):
			if p.Session = q.query.Get("release"); p.Session == "" {
				invalid = errMissingSession
				return
			}
			_, done = c.store.release(p, index)
		default:
			c.store.set(p, index, false)
		}
	})
	if invalid != nil {
		err = broken("raft apply failed: %v", invalid)
	}
	return answer{json: done}, err
}

func kvDelete(q *request) (answer, error) {
	if q.rest == "" && !q.has("recurse") {
		return answer{}, badRequest("Missing key name")
	}
	if err := q.conflicting("recurse", "cas"); err != nil {
		return answer{}, err
	}
	modified, err := q.number("cas")
	if err != nil {
		return answer{}, err
	}
	done := true
	s := &q.c.store
	err = q.c.write(func(index uint64) {
		switch {
		case q.has("recurse"):
			s.deleteTree(q.rest, index)
		case q.has("cas"):
			done = s.deleteCAS(q.rest, modified, index)
		default:
			s.delete(q.rest, index)
		}
	})
	return answer{json: done}, err
}

// conflicting refuses more than one of the parameters.
func (q *request) conflicting(params ...string) error {
	var found []string
	for _, p := range params {
		if q.has(p) {
			found = append(found, p+"="+q.query.Get(p))
		}
	}
	if len(found) > 1 {
		return badRequest("Conflicting flags: %s", strings.Join(found, "&"))
	}
	return nil
}

// number reads a parameter, 0 where it is not there.
func (q *request) number(param string) (uint64, error) {
	if !q.has(param) {
		return 0, nil
	}
	n, err := strconv.ParseUint(q.query.Get(param), 10, 64)
	if err != nil {
		return 0, broken("%v", err)
	}
	return n, nil
}

// body reads what was sent, up to maxValue; setting is the name of Consul's
// own limit. It is nil when empty.
func (q *request) body(setting string) ([]byte, error) {
	tooLarge := func(n string) error {
		return refuse(http.StatusRequestEntityTooLarge, "Request body(%s bytes) too large, max size: %d bytes. See %s.", n, maxValue, setting)
	}
	if q.ContentLength > maxValue {
		return nil, tooLarge(fmt.Sprint(q.ContentLength))
	}
	data, err := io.ReadAll(io.LimitReader(q.Body, maxValue+1))
	switch {
	case err != nil:
		return nil, badRequest("%v", err)
	case len(data) > maxValue:
		return nil, tooLarge("unknown")
	case len(data) == 0:
		return nil, nil
	}
	return data, nil
}
