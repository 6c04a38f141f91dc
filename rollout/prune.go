package rollout

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gurney/kv"
	"gurney/report"
)

// What stays in the store for each app.
const (
	keepDeployments = 50
	keepResults     = 5 // deployments whose results and markers stay
)

// prune deletes deployments, results and markers beyond those that are kept;
// never those of a deployment that the record names. Ids sort by their minute,
// and a deployment's ModifyIndex is no help: outcomes are written late.
func (d *Driver) prune(ctx context.Context, app string) error {
	r, _, err := ReadRecord(ctx, d.Store, app, kv.Default)
	if err != nil {
		return err
	}
	if r == nil {
		return nil // an empty answer is no reason to delete
	}
	named := map[string]bool{}
	if r.Current != nil {
		named[r.Current.ID] = true
	}
	if r.Rollout != nil {
		named[r.Rollout.ID] = true
	}
	var ops []kv.Op
	deployments, err := d.Store.Keys(ctx, DeploymentPrefix(app), kv.Default)
	if err != nil {
		return fmt.Errorf("list deployments of %s: %w", app, err)
	}
	for _, id := range beyond(ids(deployments, DeploymentPrefix(app)), keepDeployments, named) {
		ops = append(ops, kv.Op{Verb: kv.Delete, Key: DeploymentKey(app, id)})
	}
	for _, tree := range []string{report.AppPrefix(app), report.FailedAppPrefix(app)} {
		keys, err := d.Store.Keys(ctx, tree, kv.Default)
		if err != nil {
			return fmt.Errorf("list %s: %w", tree, err)
		}
		for _, id := range beyond(ids(keys, tree), keepResults, named) {
			ops = append(ops, kv.Op{Verb: kv.DeleteTree, Key: tree + id + "/"})
		}
	}
	var errs []error
	for batch := range slices.Chunk(ops, kv.MaxOps) {
		if err := d.Store.Txn(ctx, batch...); err != nil {
			errs = append(errs, fmt.Errorf("prune %s: %w", app, err))
		}
	}
	return errors.Join(errs...)
}

// minted is what NewID makes; another id is that of a URL event, from before
// the app had a record.
var minted = regexp.MustCompile(`^\d{8}-\d{4}-[0-9a-f]{4}$`)

// ids are the distinct first parts of keys below prefix, the oldest first:
// those of URL events, then the others by their minute.
func ids(keys []string, prefix string) []string {
	var out []string
	for _, k := range keys {
		id, _, _ := strings.Cut(strings.TrimPrefix(k, prefix), "/")
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b string) int {
		if m, n := minted.MatchString(a), minted.MatchString(b); m != n {
			if n {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(out)
}

// beyond are the ids that are older than the newest keep and not named.
func beyond(ids []string, keep int, named map[string]bool) []string {
	if len(ids) <= keep {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(ids[:len(ids)-keep]), func(id string) bool { return named[id] })
}
