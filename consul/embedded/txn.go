package embedded

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// maxTxnOps is how many operations Consul 1.22 takes in one transaction. Older
// ones took 64.
const maxTxnOps = 128

// txnOp is one operation of a transaction. Those on the catalog are not
// supported.
type txnOp struct {
	KV *struct {
		Verb    string
		Key     string
		Value   []byte
		Flags   uint64
		Index   uint64
		Session string
	}
	Node, Service, Check, Intention *json.RawMessage
}

type txnResult struct{ KV pair }

type txnError struct {
	OpIndex int
	What    string
}

// txnAnswer is the body; the fields below Errors are there for a transaction
// that only reads.
type txnAnswer struct {
	Results []txnResult
	Errors  []txnError
	*readMeta
}

type readMeta struct {
	Index, LastContact    int64
	KnownLeader           bool
	ConsistencyLevel      string
	NotModified           bool
	Backend               int
	ResultsFilteredByACLs bool
}

var writingVerbs = []string{"set", "cas", "lock", "unlock", "delete", "delete-cas", "delete-tree"}

func txn(q *request) (answer, error) {
	data, err := q.body("txn_max_req_len")
	if err != nil {
		return answer{}, err
	}
	var ops []txnOp
	if err := json.Unmarshal(data, &ops); err != nil {
		return answer{}, badRequest("Failed to parse body: %v", err)
	}
	if len(ops) > maxTxnOps {
		return answer{}, refuse(http.StatusRequestEntityTooLarge, "Transaction contains too many operations (%d > %d)", len(ops), maxTxnOps)
	}
	writes := false
	for _, op := range ops {
		if op.Node != nil || op.Service != nil || op.Check != nil || op.Intention != nil {
			return answer{}, badRequest("only KV operations are supported by the embedded server")
		}
		writes = writes || op.KV != nil && slices.Contains(writingVerbs, op.KV.Verb)
	}
	c := q.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.leader && (writes || !q.has("stale")) {
		return answer{}, errNoLeader
	}
	var out txnAnswer
	if writes {
		c.commit(func(index uint64) { out = c.transact(ops, index) })
	} else {
		out = c.transact(ops, c.index)
		out.readMeta = &readMeta{Index: 1, KnownLeader: c.leader}
	}
	return out.answer(c), nil
}

// answer is 200, or 409 with the errors.
func (out txnAnswer) answer(c *Cluster) answer {
	header := http.Header{}
	if m := out.readMeta; m != nil {
		if !c.leader {
			m.LastContact = time.Since(c.since).Milliseconds()
		}
		header.Set("X-Consul-Knownleader", strconv.FormatBool(m.KnownLeader))
		header.Set("X-Consul-Lastcontact", strconv.FormatInt(m.LastContact, 10))
	}
	ans := answer{header: header, json: out}
	if len(out.Errors) > 0 {
		ans.status = http.StatusConflict
	}
	return ans
}

// transact does all of ops or, when one fails, nothing. Like Consul it goes on
// after a failure, so that all that is wrong comes in one answer.
func (c *Cluster) transact(ops []txnOp, index uint64) txnAnswer {
	before := c.store
	out := txnAnswer{Results: []txnResult{}}
	for i, op := range ops {
		if op.KV == nil {
			continue
		}
		pairs, err := c.operate(op, index)
		if err != nil {
			out.Errors = append(out.Errors, txnError{i, err.Error()})
		}
		for _, p := range pairs {
			out.Results = append(out.Results, txnResult{p})
		}
	}
	if out.Errors != nil {
		c.store, out.Results = before, nil
	}
	return out
}

// operate does one operation. What it returns goes into the results: with
// their values for a read, without for a write or a check, nothing for a
// deletion.
func (c *Cluster) operate(op txnOp, index uint64) ([]pair, error) {
	o, s := op.KV, &c.store
	if o.Key == "" && o.Verb != "get-tree" && o.Verb != "delete-tree" {
		return nil, fmt.Errorf("Must provide key") //nolint:staticcheck // Consul's words
	}
	p := pair{Key: o.Key, Value: o.Value, Flags: o.Flags, ModifyIndex: o.Index, Session: o.Session}
	old, exists := s.get(o.Key)
	var done bool
	switch o.Verb {
	case "get":
		if !exists {
			return nil, fmt.Errorf("key %q doesn't exist", o.Key)
		}
		return []pair{old}, nil
	case "get-or-empty":
		old.Key = o.Key
		return []pair{old}, nil
	case "get-tree":
		pairs, _ := s.list(o.Key)
		return pairs, nil
	case "delete":
		s.delete(o.Key, index)
		return nil, nil
	case "delete-tree":
		s.deleteTree(o.Key, index)
		return nil, nil
	case "delete-cas":
		if !s.deleteCAS(o.Key, o.Index, index) {
			return nil, fmt.Errorf("failed to delete key %q, index is stale", o.Key)
		}
		return nil, nil
	case "check-not-exists":
		if exists {
			return nil, fmt.Errorf("key %q exists", o.Key)
		}
		return nil, nil
	case "check-index", "check-session":
		p = old
		if err := check(o.Verb, o.Key, old, exists, o.Index, o.Session); err != nil {
			return nil, err
		}
	case "set":
		p = s.set(p, index, false)
	case "cas":
		if p, done = s.cas(p, index); !done {
			return nil, fmt.Errorf("failed to set key %q, index is stale", o.Key)
		}
	case "lock":
		if err := c.mayHold(o.Session); err != nil {
			return nil, err
		}
		if c.delayed(o.Key) {
			return nil, fmt.Errorf("failed to lock key %q due to lock delay", o.Key)
		}
		if p, done = s.acquire(p, index); !done {
			return nil, fmt.Errorf("failed to lock key %q, lock is already held", o.Key)
		}
	case "unlock":
		if p, done = s.release(p, index); !done {
			return nil, fmt.Errorf("failed to unlock key %q, lock isn't held, or is held by another session", o.Key)
		}
	default:
		return nil, fmt.Errorf("unknown KV operation: %s", o.Verb)
	}
	p.Value = nil
	return []pair{p}, nil
}

func check(verb, key string, p pair, exists bool, index uint64, session string) error {
	what := verb[len("check-"):]
	switch {
	case !exists:
		return fmt.Errorf("failed to check %s, key %q doesn't exist", what, key)
	case verb == "check-index" && p.ModifyIndex != index:
		return fmt.Errorf("failed index check for key %q, current modify index %d != %d", key, p.ModifyIndex, index)
	case verb == "check-session" && p.Session != session:
		return fmt.Errorf("failed session check for key %q, current session %q != %q", key, p.Session, session)
	}
	return nil
}
