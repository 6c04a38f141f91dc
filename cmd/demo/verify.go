package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gurney/release"
	"gurney/report"
)

// settle is how long the watch may lag behind the store. It reads it over the
// wire, as everybody does.
const settle = 5 * time.Second

// checkConverged looks up whether a deployment came to each of hosts: the node
// JSON, the files that its recipes write and no others, the results that stood
// in the store, and where dest points.
func (d *demo) checkConverged(hosts []*host, id, text string, states ...string) {
	d.checkEach(hosts, "took nodes/<prefix>.json, as the prefix file says", func(h *host) string {
		return differs(d.settled(id, h.name).NodeJSON, h.prefix)
	})
	d.checkEach(hosts, "have what Chef wrote for them", func(h *host) string { return wrongFiles(h, text) })
	d.checkEach(hosts, "reported "+strings.Join(states, ", "), func(h *host) string {
		d.settled(id, h.name)
		return differs(strings.Join(d.words(id, h.name), ", "), strings.Join(states, ", "))
	})
	d.checkEach(hosts, "srv/chef -> "+linkTo(id), func(h *host) string {
		to, err := os.Readlink(h.dest())
		if err != nil {
			return err.Error()
		}
		return differs(to, linkTo(id))
	})
}

// linkTo is where dest points, beside itself, once a release is live.
func linkTo(id string) string { return filepath.Join(app+".releases", id) }

// checkEach is one check over several hosts.
func (d *demo) checkEach(hosts []*host, what string, wrong func(*host) string) {
	var names, whys []string
	for _, h := range hosts {
		names = append(names, h.name)
		if why := wrong(h); why != "" {
			whys = append(whys, h.name+": "+why)
		}
	}
	d.tell.check(strings.Join(whys, "; "), "%s: %s", strings.Join(names, ", "), what)
}

// settled is the final result, which the watch has at once or soon; of a node
// that has none it is the last.
func (d *demo) settled(id, node string) report.Result {
	for late := time.After(settle); ; {
		r := d.last(id, node)
		_, changed := d.of(id, node)
		if r.State.Final() {
			return r
		}
		select {
		case <-changed:
		case <-late:
			return r
		}
	}
}

// written are the files that the recipes write, and for which role; "" for all.
var written = []struct{ path, role, text string }{
	{"etc/motd", "", "%s runs %s\n"},
	{"var/www/index.html", "web", "<h1>Hello from the web</h1>\n"},
	{"etc/db.conf", "db", "port = 5432\n"},
}

// wrongFiles says how a host's files differ from what its recipes write.
func wrongFiles(h *host, text string) string {
	for _, f := range written {
		data, err := os.ReadFile(h.path(f.path))
		mine := f.role == "" || f.role == h.prefix
		want := f.text
		if strings.Contains(want, "%") {
			want = fmt.Sprintf(want, h.name, text)
		}
		switch {
		case mine && err != nil:
			return err.Error()
		case mine && string(data) != want:
			return fmt.Sprintf("%s holds %q instead of %q", f.path, data, want)
		case !mine && !errors.Is(err, fs.ErrNotExist):
			return f.path + " is another role's, and is there"
		}
	}
	return ""
}

// checkHeld looks up that nothing at all was done on a host: it said that it
// holds, once, and has no release, no file and no run.
func (d *demo) checkHeld(h *host, id string) {
	why := differs(strings.Join(d.words(id, h.name), ", "), string(report.Held))
	if why == "" && !strings.Contains(d.last(id, h.name).Error, reason) {
		why = fmt.Sprintf("it does not say why: %q", d.last(id, h.name).Error)
	}
	for _, place := range []string{"srv", "etc", "var", filepath.Join("state", "runs")} {
		entries, err := os.ReadDir(h.path(place))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			why = err.Error()
		}
		if len(entries) > 0 {
			why = fmt.Sprintf("%s/%s is there", place, entries[0].Name())
		}
	}
	d.tell.check(why, "%s: says that it holds, and has done nothing", h.name)
}

// checkKept looks up that the release before is still on the disk, to go back to.
func (d *demo) checkKept(hosts []*host, id string) {
	d.checkEach(hosts, "keep "+id+" to go back to", func(h *host) string {
		all, err := release.List(h.dest())
		if err != nil {
			return err.Error()
		}
		if !slices.ContainsFunc(all, func(i release.Info) bool { return i.ID == id && i.Previous }) {
			return fmt.Sprintf("it is not the one before among %d releases", len(all))
		}
		return ""
	})
}

func differs(got, want string) string {
	if got == want {
		return ""
	}
	return fmt.Sprintf("%q instead of %q", got, want)
}

// checkKeys looks up that each host wrote what it should have, and that
// Consul holds nothing else of it.
func (d *demo) checkKeys(ctx context.Context) error {
	var want []string
	for _, id := range d.ids {
		for _, h := range d.hosts {
			want = append(want, report.Key(app, id, h.name))
		}
	}
	pairs, err := d.store(ctx)
	if err != nil {
		return err
	}
	var got []string
	for _, p := range pairs {
		if strings.HasPrefix(p.Key, "results/") || strings.HasPrefix(p.Key, "failed/") {
			got = append(got, p.Key)
		}
	}
	slices.Sort(want)
	d.tell.check(differs(strings.Join(got, " "), strings.Join(want, " ")),
		"two results of each host stand in Consul, and no failure")
	return nil
}
