package rollout

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gurney/event"
	"gurney/kv"
)

// Version is the schema version of records and deployments.
const Version = 1

// MaxManifest is the most a deployment's manifest may have, in bytes: it
// stands in Consul's memory, base64-encoded.
const MaxManifest = 32 << 10

// ErrNoDeployment is in the chain when a record names a deployment that does
// not stand in the store.
var ErrNoDeployment = errors.New("no such deployment")

// AppKey is where the app's record stands.
func AppKey(app string) string { return "apps/" + app }

// LockKey is what drivers of the app lock.
func LockKey(app string) string { return "locks/" + app }

// DeploymentKey is where a deployment stands.
func DeploymentKey(app, id string) string { return DeploymentPrefix(app) + id }

// DeploymentPrefix is what the keys of an app's deployments begin with.
func DeploymentPrefix(app string) string { return "deployments/" + app + "/" }

// NewID mints a deployment's id: the minute in UTC, for people, and four
// digits of chance.
func NewID(now time.Time) string {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return now.UTC().Format("20060102-1504-") + hex.EncodeToString(b[:])
}

// ReadRecord returns the app's record, nil where there is none. An empty
// answer of a stale read is nil too: it is never a deletion.
func ReadRecord(ctx context.Context, s kv.Store, app string, c kv.Consistency) (*Record, uint64, error) {
	p, err := s.Get(ctx, AppKey(app), c)
	if err != nil {
		return nil, 0, fmt.Errorf("read record of %s: %w", app, err)
	}
	if p == nil {
		return nil, 0, nil
	}
	r, err := DecodeRecord(p.Value)
	if err != nil {
		return nil, 0, fmt.Errorf("record of %s: %w", app, err)
	}
	return r, p.ModifyIndex, nil
}

// DecodeRecord reads the value of apps/<app>.
func DecodeRecord(data []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if r.V > Version {
		return nil, fmt.Errorf("schema version %d is newer than this gurney reads (%d): upgrade it", r.V, Version)
	}
	if r.Seq <= 0 {
		return nil, errors.New("it has no seq")
	}
	refs := []*Ref{r.Current}
	if r.Rollout != nil {
		refs = append(refs, &r.Rollout.Ref)
	}
	for _, ref := range refs {
		// It becomes a part of keys, and of paths on every node.
		if ref != nil && !event.ValidID(ref.ID) {
			return nil, fmt.Errorf("%q is no deployment's id", ref.ID)
		}
	}
	return &r, nil
}

// ReadDeployment returns a deployment, ErrNoDeployment where it is not there.
func ReadDeployment(ctx context.Context, s kv.Store, app, id string, c kv.Consistency) (*Deployment, error) {
	p, err := s.Get(ctx, DeploymentKey(app, id), c)
	if err != nil {
		return nil, fmt.Errorf("read deployment %s of %s: %w", id, app, err)
	}
	if p == nil {
		return nil, fmt.Errorf("deployment %s of %s: %w", id, app, ErrNoDeployment)
	}
	var d Deployment
	if err := json.Unmarshal(p.Value, &d); err != nil {
		return nil, fmt.Errorf("decode deployment %s of %s: %w", id, app, err)
	}
	if d.V > Version {
		return nil, fmt.Errorf("deployment %s of %s: schema version %d is newer than this gurney reads (%d)", id, app, d.V, Version)
	}
	return &d, nil
}

// next is the seq of the next change: it grows by every change, whatever the
// clocks of those who write do.
func next(r *Record, now time.Time) int64 {
	if r == nil {
		return now.UnixMilli()
	}
	return max(r.Seq+1, now.UnixMilli())
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // of strings, numbers and times: never
	}
	return data
}

// writeRecord is the operation that replaces the record read at index; 0
// where there was none.
func writeRecord(app string, r Record, index uint64) kv.Op {
	r.V = Version
	return kv.Op{Verb: kv.CAS, Key: AppKey(app), Value: encode(r), Index: index}
}

func writeDeployment(d Deployment) kv.Op {
	d.V = Version
	return kv.Op{Verb: kv.Set, Key: DeploymentKey(d.App, d.ID), Value: encode(d)}
}
