package report

import (
	"fmt"
	"strings"
	"time"
)

// Key is where the result of one deployment on one node stands, below
// Gurney's prefix.
func Key(app, id, node string) string { return Prefix(app, id) + node }

// Prefix is what the keys of a deployment's results begin with.
func Prefix(app, id string) string { return AppPrefix(app) + id + "/" }

// AppPrefix is what the keys of all results of an app begin with.
func AppPrefix(app string) string { return "results/" + app + "/" }

// FailedKey is the marker of a node on which a deployment failed by the
// release's fault. Its value is empty: the breaker only counts.
func FailedKey(app, id, node string) string { return FailedPrefix(app, id) + node }

// FailedPrefix is what the markers of a deployment begin with.
func FailedPrefix(app, id string) string { return FailedAppPrefix(app) + id + "/" }

// FailedAppPrefix is what all markers of an app begin with.
func FailedAppPrefix(app string) string { return "failed/" + app + "/" }

// Node takes the node's name out of a key of a result or a marker.
func Node(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

// The statuses of consul-kv-dashboard, in the last three digits of a row's
// flags (https://github.com/fujiwara/consul-kv-dashboard).
const (
	dashboardSuccess = 0
	dashboardWarning = 1
	dashboardDanger  = 2
)

// Dashboard is the row of consul-kv-dashboard that tells r: its key from the
// store's root, its text, and its flags, unix seconds * 1000 + status. node
// must be Consul's name for the node, else the page hides the row. It is one
// key for each app, overwritten; "info" is never used, for it outranks danger
// in the page's triggers and would stay.
func Dashboard(category, node, app string, r Result, at time.Time) (key, value string, flags uint64) {
	status := dashboardWarning
	switch r.State {
	case OK:
		status = dashboardSuccess
	case Failed, Interrupted, Refused:
		status = dashboardDanger
	}
	return fmt.Sprintf("dashboard/%s/%s/%s", category, node, app), r.Line(), uint64(at.Unix())*1000 + uint64(status)
}
