package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"gurney/kv"

	"github.com/hashicorp/consul/api"
)

// answer is what Consul says of an answer's completeness.
type answer struct {
	filtered bool   // something was left out
	policy   string // for whom no rule speaks; "" where ACLs are off
	dc       string // who was asked; "": the local agent's own
}

func metaOf(m *api.QueryMeta, dc string) answer {
	return answer{m.ResultsFilteredByACLs, m.DefaultACLPolicy, dc}
}

func headerOf(h http.Header) answer {
	return answer{filtered: h.Get("X-Consul-Results-Filtered-By-Acls") == "true", policy: h.Get("X-Consul-Default-Acl-Policy")}
}

// readNode and readService are the rights to see one by its name, or with ""
// all of them.
func readNode(name string) permission {
	return permission{Resource: "node", Access: "read", Segment: name}
}

func readService(name string) permission {
	return permission{Resource: "service", Access: "read", Segment: name}
}

func readKeys(prefix string) permission {
	return permission{Resource: "key", Access: "read", Segment: prefix}
}

// nodeOf is the local agent's node, "" where none of its checks is seen.
func nodeOf(checks map[string]api.AgentCheck) string {
	for _, check := range checks {
		return check.Node
	}
	return ""
}

// whole turns an incomplete answer into an error. Half of an answer looks like
// all of one: a node in service, a breaker that did not trip, a deployment that
// is complete.
//
// Consul leaves out what a token may not see, with status 200 and a header that
// says so. To who comes without a token it does not even say so. Whether such an
// answer is a true one, as it is where the anonymous token may read nodes and
// services, is asked of it then. A rule that hides a single one of what the
// others allow goes unnoticed there.
func (c *Client) whole(ctx context.Context, a answer, op string, needs ...permission) error {
	missing := needs
	if !a.filtered {
		if c.conf.Token != "" || a.policy != "deny" {
			return nil
		}
		var err error
		if missing, err = c.trust.missing(ctx, c, a.dc, needs); err != nil {
			return c.wrap(ctx, op, fmt.Errorf("ask what is seen without a token: %w", err))
		}
		if len(missing) == 0 {
			return nil
		}
	}
	names := make([]string, len(missing))
	for i, p := range missing {
		names[i] = p.String()
	}
	text := "part of the answer is hidden; needed: " + strings.Join(names, ", ")
	if c.conf.Token == "" {
		text += "; no token is set"
	}
	return &Error{Op: op, Addr: c.addr, Status: http.StatusOK, kind: kv.ErrForbidden, err: errors.New(text)}
}

// trustFor is how long a right that was there is believed in. Consul's agents
// do the same (acl.policy_ttl).
const trustFor = 30 * time.Second

// trust remembers the rights that are there without a token. One that is not is
// asked for each time, so that it is noticed at once when it comes.
type trust struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// missing returns those of needs that are not there, asking for what it does not
// remember in one request.
func (t *trust) missing(ctx context.Context, c *Client, dc string, needs []permission) ([]permission, error) {
	asked := time.Now()
	unknown := t.unknown(asked, dc, needs)
	if len(unknown) == 0 {
		return nil, nil
	}
	allowed, err := c.allowed(ctx, dc, unknown)
	if err != nil {
		return nil, err
	}
	var missing []permission
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, p := range unknown {
		if !allowed[i] {
			missing = append(missing, p)
			continue
		}
		if t.until == nil {
			t.until = make(map[string]time.Time)
		}
		t.until[dc+" "+p.String()] = asked.Add(trustFor)
	}
	return missing, nil
}

// unknown returns those of needs that are not remembered, and forgets what is
// too old: keys are many in the life of a client.
func (t *trust) unknown(now time.Time, dc string, needs []permission) (out []permission) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, until := range t.until {
		if now.After(until) {
			delete(t.until, key)
		}
	}
	for _, p := range needs {
		if _, known := t.until[dc+" "+p.String()]; !known {
			out = append(out, p)
		}
	}
	return out
}
