package consul

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gurney/kv"
	"gurney/rollout"

	"github.com/hashicorp/consul/api"
	"github.com/rs/zerolog"
)

const (
	// sessionTTL is how long a lock outlives a holder that died; Consul may
	// take up to twice as long to notice.
	sessionTTL = 15 * time.Second
	// lockDelay keeps others out for a moment after a session was lost, so
	// that what its holder had under way can arrive. A release has none.
	lockDelay = time.Second
)

// LockOptions are what one kind of lock wants otherwise than another.
type LockOptions struct {
	TTL   time.Duration // of the session; Consul takes 10 s and more
	Delay time.Duration // lock-delay; Consul takes up to a minute
	// Watch holds a query open on the key, so that a loss is noticed at once
	// and not only when the session is renewed.
	Watch bool
}

// HeldError says that somebody else has the lock.
type HeldError struct {
	Key string // as Consul knows it
	By  string // the value that the holder gave
	// Delay is set when nobody holds it any more and only Consul's lock-delay
	// still runs: a second for a driver's lock.
	Delay bool
}

// Held lets callers know it without importing this package.
func (e *HeldError) Held() bool { return true }

func (e *HeldError) Error() string {
	if e.Delay {
		return fmt.Sprintf("lock %s: just lost by %s; free again after Consul's lock-delay", e.Key, orElse(e.By, "its holder"))
	}
	return fmt.Sprintf("lock %s: held by %s", e.Key, orElse(e.By, "somebody else"))
}

// Transient is true when waiting a second is all it takes.
func (e *HeldError) Transient() bool { return e.Delay }

// Lock takes the lock at key, with a value that tells people who has it, and
// renews its session until Unlock. It does not wait: a lock that somebody else
// has is a *HeldError. ctx is for the taking only.
//
// Lost is closed when the lock is no longer sure to be ours; writes that must
// not happen without it carry a kv.CheckSession on its key besides. Unlock
// removes the key, and to have lost the lock is no error there.
func (c *Client) Lock(ctx context.Context, key, value string) (rollout.Lock, error) {
	return c.LockWith(ctx, key, value, LockOptions{TTL: sessionTTL, Delay: lockDelay})
}

// LockWith is Lock with times of one's own.
func (c *Client) LockWith(ctx context.Context, key, value string, o LockOptions) (rollout.Lock, error) {
	// A look costs the servers nothing, a session and its end are written.
	p, err := c.Get(ctx, key, kv.Default)
	if err != nil {
		return nil, err
	}
	if p != nil && p.Session != "" {
		return nil, &HeldError{Key: c.full(key), By: string(p.Value)}
	}
	w := &api.WriteOptions{Datacenter: c.dc}
	id, _, err := c.api.Session().Create(&api.SessionEntry{
		Name: "gurney " + c.full(key), TTL: o.TTL.String(), LockDelay: o.Delay, Behavior: api.SessionBehaviorRelease,
	}, w.WithContext(ctx))
	if err != nil {
		return nil, c.wrap(ctx, "make a session for "+c.full(key), err)
	}
	l := &lock{c: c, key: key, session: id, ttl: o.TTL, changed: make(chan struct{}, 1), lost: make(chan struct{}), log: c.log.With().Str("lock", key).Str("session", id).Logger()}
	err = c.acquire(ctx, l, value)
	if err != nil {
		l.destroy(context.WithoutCancel(ctx))
		return nil, err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	l.renewing.Go(func() { l.renew(life) })
	if o.Watch {
		l.renewing.Go(func() { l.watch(life) })
	}
	return l, nil
}

// acquire puts the session on the key. Consul says no without saying why: the
// key tells whether somebody has it, else it is lock-delay.
func (c *Client) acquire(ctx context.Context, l *lock, value string) error {
	w := &api.WriteOptions{Datacenter: c.dc}
	got, _, err := c.api.KV().Acquire(&api.KVPair{Key: c.full(l.key), Value: []byte(value), Session: l.session}, w.WithContext(ctx))
	if err != nil {
		return c.wrap(ctx, "lock "+c.full(l.key), err)
	}
	if got {
		return nil
	}
	p, err := c.Get(ctx, l.key, kv.Default)
	if err != nil {
		return err
	}
	held := &HeldError{Key: c.full(l.key), Delay: p == nil || p.Session == ""}
	if p != nil {
		held.By = string(p.Value)
	}
	return held
}

type lock struct {
	c            *Client
	key, session string
	ttl          time.Duration
	changed      chan struct{} // the key looks as if it were somebody else's
	lost         chan struct{}
	log          zerolog.Logger
	stop         context.CancelFunc
	renewing     sync.WaitGroup
}

func (l *lock) Session() string       { return l.session }
func (l *lock) Lost() <-chan struct{} { return l.lost }

// renew keeps the session alive, and closes lost when it is gone, the key is
// somebody else's, or Consul was out of reach for so long that it may be.
func (l *lock) renew(ctx context.Context) {
	every := time.NewTicker(l.ttl / 3)
	defer every.Stop()
	sure := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		case <-l.changed:
		case <-time.After(time.Until(sure.Add(l.ttl))): // the ticks may miss it by as much as is between two
		}
		asked := time.Now()
		// An answer after the session may have ended comes too late.
		bound, cancel := context.WithDeadline(ctx, earlier(asked.Add(l.ttl/3), sure.Add(l.ttl)))
		ours, err := l.ours(bound)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && ours:
			sure = asked
			continue
		case err != nil && time.Since(sure) < l.ttl:
			l.log.Warn().Err(err).Msg("could not renew the lock's session, trying again")
			continue
		}
		l.log.Error().Err(err).Msg("lost the lock")
		close(l.lost)
		return
	}
}

// watch makes renew look at once when the key changes hands. It only hastens:
// what it misses, renew finds.
func (l *lock) watch(ctx context.Context) {
	q := &api.QueryOptions{Datacenter: l.c.dc, WaitTime: 5 * time.Minute}
	for ctx.Err() == nil {
		p, meta, err := l.c.api.KV().Get(l.c.full(l.key), q.WithContext(ctx))
		if err != nil {
			q.WaitIndex = 0
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		q.WaitIndex = meta.LastIndex
		if p == nil || p.Session != l.session {
			select {
			case l.changed <- struct{}{}:
			default:
			}
			return
		}
	}
}

// WaitFree waits until nobody holds the lock at key, by a query that stays open
// on the servers, or until most is over. Whether the lock can be had then is for
// Lock to say: another may be quicker, or Consul's lock-delay run.
func (c *Client) WaitFree(ctx context.Context, key string, most time.Duration) error {
	var index uint64
	for end := time.Now().Add(most); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		p, at, err := c.GetIndexed(ctx, key, index, left)
		if err != nil {
			return err
		}
		if p == nil || p.Session == "" {
			return nil
		}
		if at < index {
			at = 0 // the servers were restored
		}
		index = at
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// ours renews the session and looks whether it still has the key.
func (l *lock) ours(ctx context.Context) (bool, error) {
	w := &api.WriteOptions{Datacenter: l.c.dc}
	entry, _, err := l.c.api.Session().Renew(l.session, w.WithContext(ctx))
	if err != nil {
		return false, l.c.wrap(ctx, "renew session "+l.session, err)
	}
	if entry == nil { // Consul does not know the session any more
		return false, nil
	}
	p, err := l.c.Get(ctx, l.key, kv.Default)
	if err != nil {
		return false, err
	}
	return p != nil && p.Session == l.session, nil
}

func (l *lock) Unlock(ctx context.Context) error {
	l.stop()
	l.renewing.Wait()
	// Released first: destroying the session of a held key starts lock-delay.
	err := l.c.Txn(ctx,
		kv.Op{Verb: kv.Verb(api.KVUnlock), Key: l.key, Session: l.session},
		kv.Op{Verb: kv.Delete, Key: l.key})
	if errors.Is(err, kv.ErrConflict) {
		err = nil // not ours any more
	}
	l.destroy(ctx)
	return err
}

// destroy ends the session. Where it fails the TTL does the same.
func (l *lock) destroy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	w := &api.WriteOptions{Datacenter: l.c.dc}
	if _, err := l.c.api.Session().Destroy(l.session, w.WithContext(ctx)); err != nil {
		l.log.Debug().Err(err).Msg("the lock's session ends by its TTL")
	}
}
