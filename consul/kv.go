package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gurney/kv"

	"github.com/hashicorp/consul/api"
)

// full gives the key as Consul knows it. A key that begins with a slash is
// not under the prefix: "/dashboard/x" is Consul's "dashboard/x". Consul's own
// keys begin with none, so nothing is lost by it.
func (c *Client) full(key string) string {
	if raw, ok := strings.CutPrefix(key, "/"); ok {
		return raw
	}
	return c.prefix + key
}

// short undoes full, for keys below what the caller asked for: who asked with
// a slash gets his answer with one.
func (c *Client) short(asked, key string) string {
	if strings.HasPrefix(asked, "/") {
		return "/" + key
	}
	return strings.TrimPrefix(key, c.prefix)
}

func (c *Client) pair(asked string, p *api.KVPair) kv.Pair {
	return kv.Pair{Key: c.short(asked, p.Key), Value: p.Value, ModifyIndex: p.ModifyIndex, Flags: p.Flags, Session: p.Session}
}

// read are the options of one read.
func (c *Client) read(ctx context.Context, how kv.Consistency) *api.QueryOptions {
	q := &api.QueryOptions{Datacenter: c.dc, AllowStale: how == kv.Stale}
	return q.WithContext(ctx)
}

// Get implements kv.Store. A key that begins with a slash is taken outside of
// the prefix, here and in every other method.
func (c *Client) Get(ctx context.Context, key string, how kv.Consistency) (*kv.Pair, error) {
	p, _, err := c.api.KV().Get(c.full(key), c.read(ctx, how))
	if err != nil {
		return nil, c.wrap(ctx, "read "+c.full(key), err)
	}
	if p == nil {
		return nil, nil
	}
	pair := c.pair(key, p)
	return &pair, nil
}

// List implements kv.Store. A list of which the token may see only a part is
// kv.ErrForbidden.
func (c *Client) List(ctx context.Context, prefix string, how kv.Consistency) ([]kv.Pair, error) {
	op := "list " + c.full(prefix)
	ps, meta, err := c.api.KV().List(c.full(prefix), c.read(ctx, how))
	if err != nil {
		return nil, c.wrap(ctx, op, err)
	}
	if err := c.whole(ctx, metaOf(meta, c.dc), op, readKeys(c.full(prefix))); err != nil {
		return nil, err
	}
	return c.pairs(prefix, ps), nil
}

func (c *Client) pairs(asked string, ps api.KVPairs) []kv.Pair {
	if len(ps) == 0 {
		return nil
	}
	out := make([]kv.Pair, len(ps))
	for i, p := range ps {
		out[i] = c.pair(asked, p)
	}
	return out
}

// Keys implements kv.Store.
func (c *Client) Keys(ctx context.Context, prefix string, how kv.Consistency) ([]string, error) {
	op := "list the keys of " + c.full(prefix)
	keys, meta, err := c.api.KV().Keys(c.full(prefix), "", c.read(ctx, how))
	if err != nil {
		return nil, c.wrap(ctx, op, err)
	}
	if err := c.whole(ctx, metaOf(meta, c.dc), op, readKeys(c.full(prefix))); err != nil {
		return nil, err
	}
	for i, k := range keys {
		keys[i] = c.short(prefix, k)
	}
	return keys, nil
}

// GetIndexed reads key and, when index is not 0, waits for it to change first:
// until what stands there has an index above that one, or wait is over (at
// most 10 minutes; 0 is Consul's 5; Consul adds up to a sixteenth). The index
// returned is for the next call. It can come back lower than the one given,
// after a restore or when the servers' data was replaced; start again from 0
// then. The pair is nil where the key does not exist.
func (c *Client) GetIndexed(ctx context.Context, key string, index uint64, wait time.Duration) (*kv.Pair, uint64, error) {
	bound, cancel := waiting(ctx, index, wait)
	defer cancel()
	q := c.read(bound, kv.Default)
	q.WaitIndex, q.WaitTime = index, wait
	p, meta, err := c.api.KV().Get(c.full(key), q)
	if err != nil {
		return nil, 0, c.wrap(ctx, "watch "+c.full(key), err)
	}
	if p == nil {
		return nil, meta.LastIndex, nil
	}
	pair := c.pair(key, p)
	return &pair, meta.LastIndex, nil
}

// ListIndexed is GetIndexed for all that stands below prefix. A deletion
// raises the index, too.
func (c *Client) ListIndexed(ctx context.Context, prefix string, index uint64, wait time.Duration) ([]kv.Pair, uint64, error) {
	bound, cancel := waiting(ctx, index, wait)
	defer cancel()
	q := c.read(bound, kv.Default)
	q.WaitIndex, q.WaitTime = index, wait
	op := "watch " + c.full(prefix)
	ps, meta, err := c.api.KV().List(c.full(prefix), q)
	if err != nil {
		return nil, 0, c.wrap(ctx, op, err)
	}
	if err := c.whole(ctx, metaOf(meta, c.dc), op, readKeys(c.full(prefix))); err != nil {
		return nil, 0, err
	}
	return c.pairs(prefix, ps), meta.LastIndex, nil
}

// waiting bounds a blocking query. A connection that died without a word
// would otherwise hold it for ever: Consul answers within wait and a sixteenth
// of it, and a leader that is being elected may hold a request for 7 s more
// (rpc_hold_timeout).
func waiting(ctx context.Context, index uint64, wait time.Duration) (context.Context, context.CancelFunc) {
	const grace = 15 * time.Second
	if index == 0 {
		return context.WithTimeout(ctx, grace)
	}
	if wait <= 0 {
		wait = 5 * time.Minute
	}
	wait = min(wait, 10*time.Minute)
	return context.WithTimeout(ctx, wait+wait/16+grace)
}

// Txn implements kv.Store. It is one request and one Raft entry, also with a
// single operation; more than kv.MaxOps are refused before they are sent. A
// value above Consul's limit (512 KiB for the whole request) is not transient.
func (c *Client) Txn(ctx context.Context, ops ...kv.Op) error {
	if len(ops) == 0 {
		return nil
	}
	if len(ops) > kv.MaxOps {
		return fmt.Errorf("write %s and others: %d operations, Consul takes at most %d in one transaction", c.full(ops[0].Key), len(ops), kv.MaxOps)
	}
	// The library's own Txn drops the HTTP status, and without it no leader
	// and no permission look alike.
	var body api.TxnOps
	for _, op := range ops {
		k := &api.KVTxnOp{Verb: api.KVOp(op.Verb), Key: c.full(op.Key), Value: op.Value, Index: op.Index, Flags: op.Flags, Session: op.Session}
		body = append(body, &api.TxnOp{KV: k})
	}
	q := &api.WriteOptions{Datacenter: c.dc}
	_, err := c.api.Raw().Write("/v1/txn", body, nil, q.WithContext(ctx))
	if err == nil {
		return nil
	}
	op := "write " + c.full(ops[0].Key)
	if len(ops) > 1 {
		op = fmt.Sprintf("%s and %d more", op, len(ops)-1)
	}
	return c.wrap(ctx, op, rolledBack(err, ops))
}

// rolledBack tells apart what a 409 can mean: Consul answers it for a check
// that did not hold, and also for what the token may not write.
func rolledBack(err error, ops []kv.Op) error {
	var se api.StatusError
	if !errors.As(err, &se) || se.Code != http.StatusConflict {
		return err
	}
	var resp api.TxnResponse
	if json.Unmarshal([]byte(se.Body), &resp) != nil || len(resp.Errors) == 0 {
		return err
	}
	var what []string
	for _, e := range resp.Errors {
		s := e.What
		if e.OpIndex >= 0 && e.OpIndex < len(ops) {
			s = fmt.Sprintf("%s %s: %s", ops[e.OpIndex].Verb, ops[e.OpIndex].Key, e.What)
		}
		what = append(what, s)
	}
	return api.StatusError{Code: se.Code, Body: strings.Join(what, "; ")}
}
