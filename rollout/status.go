package rollout

import (
	"context"
	"errors"
	"slices"
	"strings"

	"gurney/kv"
)

// Status is how an app stands: its record, and the nodes in what it names.
type Status struct {
	App     string
	Record  Record
	Current *View // nil where nothing is current
	Rollout *View // nil where none is on
	// Last is the deployment that is on, else current.
	Last *Deployment // nil where it is not there any more
}

// Apps lists the apps that have a record, sorted.
func (d *Driver) Apps(ctx context.Context) ([]string, error) {
	keys, err := d.Store.Keys(ctx, AppKey(""), kv.Stale)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, k := range keys {
		out = append(out, strings.TrimPrefix(k, AppKey("")))
	}
	slices.Sort(out)
	return out, nil
}

// Status reads how app stands; nil where it has no record.
func (d *Driver) Status(ctx context.Context, app string) (*Status, error) {
	r, _, err := ReadRecord(ctx, d.Store, app, kv.Default)
	if err != nil || r == nil {
		return nil, err
	}
	s := &Status{App: app, Record: *r}
	if r.Current != nil {
		v, err := d.Look(ctx, app, *r.Current, Selector{})
		if err != nil {
			return nil, err
		}
		s.Current = &v
	}
	if r.Rollout != nil {
		v, err := d.Look(ctx, app, r.Rollout.Ref, r.Rollout.Selector)
		if err != nil {
			return nil, err
		}
		s.Rollout = &v
	}
	if last, _ := r.latest(); last != nil {
		s.Last, err = ReadDeployment(ctx, d.Store, app, last.ID, kv.Default)
		if err != nil && !errors.Is(err, ErrNoDeployment) {
			return nil, err
		}
	}
	return s, nil
}
