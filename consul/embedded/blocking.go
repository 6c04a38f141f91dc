package embedded

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// The bounds of ?wait, and how much Consul adds at random, so that queries
// that began together do not end together.
const (
	defaultWait = 5 * time.Minute
	maxWait     = 10 * time.Minute
	waitJitter  = 16 // one part in so many
)

// result is what a query found. Its index is that of the last change that it
// would have noticed.
type result struct {
	index   uint64
	json    any
	plain   []byte
	missing bool        // 404
	header  http.Header // besides the index
}

// ask runs a query of the servers' state, and with ?index again and again
// until its index has gone past that, or ?wait is over. It runs under the
// mutex, and must return nothing that changes afterwards.
func (q *request) ask(query func() (result, error)) (answer, error) {
	if q.has("stale") && q.has("consistent") {
		return answer{}, badRequest("Cannot specify ?stale with ?consistent, conflicting semantics.")
	}
	index, wait, err := q.waiting()
	if err != nil {
		return answer{}, err
	}
	c := q.c
	c.mu.Lock()
	defer c.mu.Unlock()
	var over <-chan time.Time
	var absent bool
	for {
		if !c.leader && !q.has("stale") {
			return answer{}, errNoLeader
		}
		r, err := query()
		if err != nil {
			return answer{}, err
		}
		r.index = max(r.index, 1) // 0 would make the next query not wait
		if absent && r.missing {
			index = max(index, r.index) // still not there: no news
		}
		absent = r.missing
		if index == 0 || r.index > index {
			return c.found(r), nil
		}
		if over == nil {
			timer := time.NewTimer(wait + rand.N(wait/waitJitter+1))
			defer timer.Stop()
			over = timer.C
		}
		if !q.sleep(over) {
			return c.found(r), nil
		}
	}
}

// sleep gives the mutex back until anything changes; false means that the
// time is over or nobody is waiting any more.
func (q *request) sleep(over <-chan time.Time) bool {
	c := q.c
	changed := c.changed
	c.mu.Unlock()
	defer c.mu.Lock()
	select {
	case <-changed:
		return true
	case <-over:
	case <-q.Context().Done():
	case <-q.up.Done():
	}
	return false
}

// waiting reads ?index and ?wait.
func (q *request) waiting() (index uint64, wait time.Duration, err error) {
	wait = defaultWait
	if s := q.query.Get("wait"); s != "" {
		if wait, err = time.ParseDuration(s); err != nil {
			return 0, 0, badRequest("Invalid wait time")
		}
	}
	if s := q.query.Get("index"); s != "" {
		if index, err = strconv.ParseUint(s, 10, 64); err != nil {
			return 0, 0, badRequest("Invalid index")
		}
	}
	if wait <= 0 {
		wait = defaultWait
	}
	return index, min(wait, maxWait), nil
}

// found makes an answer of what a query found.
func (c *Cluster) found(r result) answer {
	header := http.Header{}
	for k, v := range r.header {
		header[k] = v
	}
	header.Set("X-Consul-Index", strconv.FormatUint(r.index, 10))
	header.Set("X-Consul-Knownleader", strconv.FormatBool(c.leader))
	contact := int64(0)
	if !c.leader {
		contact = time.Since(c.since).Milliseconds()
	}
	header.Set("X-Consul-Lastcontact", strconv.FormatInt(contact, 10))
	header.Set("X-Consul-Query-Backend", "blocking-query")
	ans := answer{header: header, json: r.json, plain: r.plain}
	if r.missing {
		ans.status = http.StatusNotFound
	}
	return ans
}

var errNoLeader = broken("No cluster leader")

// write runs f as one Raft entry, under the mutex, if there is a leader.
func (c *Cluster) write(f func(index uint64)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.leader {
		return errNoLeader
	}
	c.commit(f)
	return nil
}

// flag reads a parameter that is on when it is there, unless it says false.
func (q *request) flag(name string) (bool, error) {
	v := q.query.Get(name)
	if !q.has(name) || v == "" {
		return q.has(name), nil
	}
	on, err := strconv.ParseBool(v)
	if err != nil {
		return false, badRequest("Invalid value for ?%s", name)
	}
	return on, nil
}
