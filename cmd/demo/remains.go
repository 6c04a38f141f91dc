package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gurney/consul"
	"gurney/kv"
	"gurney/screen"
)

// store is everything that Gurney has in Consul, in the order of the keys.
func (d *demo) store(ctx context.Context) ([]kv.Pair, error) {
	return d.client.List(ctx, "", kv.Default)
}

// showRemains shows what the deployments left: results, keys and files.
func (d *demo) showRemains(ctx context.Context) error {
	d.tell.begin("What is left")
	if err := d.collect(ctx); err != nil {
		return err
	}
	var rows [][]string
	for _, r := range d.doc.Results {
		rows = append(rows, []string{r.ID, r.Node, strings.Join(r.States, ", "), r.NodeJSON,
			fmt.Sprintf("%d/%d updated", r.Updated, r.Total), fmt.Sprintf("%.1fs", r.Seconds)})
	}
	screen.WriteTable(d.tell.out, []string{"deployment", "node", "reported", "json", "resources", "took"}, rows)
	d.tell.say("\n")
	at := "http://" + d.consul.Addr(serverNode) + "/v1/kv/" + consul.DefaultPrefix + "?recurse"
	d.tell.shown("GET "+at, "GET", at)
	for _, k := range d.doc.Keys {
		d.tell.say("%-64s  %6d bytes\n", k.Key, k.Bytes)
	}
	d.tell.say("\n")
	if err := d.checkKeys(ctx); err != nil {
		return err
	}
	d.tell.say("\nOn each host's disk, such as %s's:\n\n", d.hosts[0].name)
	h := d.hosts[0]
	for _, f := range [][2]string{
		{h.name + "/srv/chef", "-> " + linkTo(filepath.Base(d.doc.Nodes[0].Release))},
		{h.name + "/etc/motd", strings.TrimSpace(d.doc.Nodes[0].Motd)},
		{h.name + "/state/runs/", "each run's result, its log and Chef's"},
		{h.name + "/agent.log", "what the agent says"},
	} {
		d.tell.say("%-20s  %s\n", f[0], f[1])
	}
	d.tell.say("\nTo read a run's log, now or later: . ./env, and\n\n$ gurney logs -c %s/gurney.yml %s\n", h.name, app)
	return nil
}

// collect fills in the document, as far as there is something: it is asked
// for after a failure too.
func (d *demo) collect(ctx context.Context) error {
	d.doc.Keys, d.doc.Results, d.doc.Nodes = []key{}, []result{}, []node{}
	if d.servers == nil {
		return nil
	}
	pairs, err := d.store(ctx)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		d.doc.Keys = append(d.doc.Keys, key{consul.DefaultPrefix + p.Key, len(p.Value)})
	}
	picked := map[string]string{}
	for _, id := range d.deployments() {
		for _, h := range d.hosts {
			words := d.words(id, h.name)
			if len(words) == 0 {
				continue
			}
			r := d.last(id, h.name)
			picked[h.name] = r.NodeJSON
			d.doc.Results = append(d.doc.Results, result{ID: id, Node: h.name, States: words,
				NodeJSON: r.NodeJSON, Updated: r.Updated, Total: r.Total, Seconds: r.Took().Seconds(), Error: r.Error})
		}
	}
	for _, h := range d.hosts {
		n := node{Node: h.name, Prefix: h.prefix, NodeJSON: picked[h.name], Dest: h.dest()}
		if to, err := os.Readlink(h.dest()); err == nil {
			n.Release = filepath.Join(filepath.Dir(h.dest()), to)
		}
		if motd, err := os.ReadFile(h.path("etc", "motd")); err == nil {
			n.Motd = string(motd)
		}
		d.doc.Nodes = append(d.doc.Nodes, n)
	}
	return nil
}
