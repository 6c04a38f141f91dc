package embedded

import (
	"maps"
	"net/http"
	"slices"
)

// askCatalog is ask; Consul says of these answers besides whose they are.
func (q *request) askCatalog(query func(t *catalog) (uint64, any)) (answer, error) {
	consistency := "leader"
	switch {
	case q.has("stale"):
		consistency = "stale"
	case q.has("consistent"):
		consistency = "consistent"
	}
	header := http.Header{"X-Consul-Effective-Consistency": {consistency}}
	return q.ask(func() (result, error) {
		index, out := query(&q.c.catalog)
		return result{index: index, json: out, header: header}, nil
	})
}

// nodeView is how the catalog shows a node.
type nodeView struct {
	ID, Node, Address, Datacenter string
	TaggedAddresses               map[string]string
	Meta                          map[string]string
	CreateIndex, ModifyIndex      uint64
}

func (c *Cluster) showNode(n *node) nodeView {
	return nodeView{n.ID, n.Node, n.Address, c.dc, taggedAddresses(n), nodeMeta(), n.CreateIndex, n.ModifyIndex}
}

func taggedAddresses(n *node) map[string]string {
	return map[string]string{"lan": n.Address, "lan_ipv4": n.Address, "wan": n.Address, "wan_ipv4": n.Address}
}

// serviceView is how catalog and health show a service below its node.
type serviceView struct {
	ID, Service, Address     string
	Tags                     []string
	Meta                     map[string]string
	Port                     int
	Weights                  weights
	EnableTagOverride        bool
	CreateIndex, ModifyIndex uint64
}

func showService(s service) serviceView {
	return serviceView{s.ID, s.Service, s.Address, s.Tags, s.Meta, s.Port, s.Weights, s.EnableTagOverride, s.CreateIndex, s.ModifyIndex}
}

func catalogNodes(q *request) (answer, error) {
	return q.askCatalog(func(t *catalog) (uint64, any) {
		out := []nodeView{}
		for _, n := range t.sorted() {
			out = append(out, q.c.showNode(n))
		}
		return t.nodesAt, out
	})
}

func catalogNode(q *request) (answer, error) {
	if q.rest == "" {
		return answer{}, badRequest("Missing node name")
	}
	return q.askCatalog(func(t *catalog) (uint64, any) {
		type found struct {
			Node     nodeView
			Services map[string]serviceView
		}
		n := t.nodes[q.rest]
		if n == nil {
			return t.nodesAt, (*found)(nil)
		}
		out := &found{q.c.showNode(n), map[string]serviceView{}}
		for id, s := range n.services {
			out.Services[id] = showService(s)
		}
		return max(t.nodesAt, t.servicesAt), out
	})
}

func catalogServices(q *request) (answer, error) {
	return q.askCatalog(func(t *catalog) (uint64, any) {
		out := map[string][]string{}
		for _, n := range t.sorted() {
			for _, id := range slices.Sorted(maps.Keys(n.services)) {
				s := n.services[id]
				if out[s.Service] == nil {
					out[s.Service] = []string{}
				}
				for _, tag := range s.Tags {
					if !slices.Contains(out[s.Service], tag) {
						out[s.Service] = append(out[s.Service], tag)
					}
				}
			}
		}
		return t.servicesAt, out
	})
}

// instance is a service with the node that it is on.
type instance struct {
	node    *node
	service service
}

// instances finds the services of that name that have all tags, by node and
// id, and when anything about that name was changed.
func (t *catalog) instances(name string, tags []string) (out []instance, index uint64) {
	index = t.servicesAt
	for _, n := range t.sorted() {
		for _, id := range slices.Sorted(maps.Keys(n.services)) {
			s := n.services[id]
			if s.Service != name {
				continue
			}
			index = t.namedAt[name]
			if !slices.ContainsFunc(tags, func(tag string) bool { return !s.tagged(tag) }) {
				out = append(out, instance{n, s})
			}
		}
	}
	return out, index
}

func catalogService(q *request) (answer, error) {
	if q.rest == "" {
		return answer{}, badRequest("Missing service name")
	}
	type view struct {
		ID, Node, Address, Datacenter string
		TaggedAddresses, NodeMeta     map[string]string
		ServiceKind                   string
		ServiceID, ServiceName        string
		ServiceTags                   []string
		ServiceAddress                string
		ServiceWeights                weights
		ServiceMeta                   map[string]string
		ServicePort                   int
		ServiceEnableTagOverride      bool
		CreateIndex, ModifyIndex      uint64
	}
	return q.askCatalog(func(t *catalog) (uint64, any) {
		found, index := t.instances(q.rest, q.query["tag"])
		out := []view{}
		for _, i := range found {
			n, s := i.node, i.service
			out = append(out, view{
				ID: n.ID, Node: n.Node, Address: n.Address, Datacenter: q.c.dc, TaggedAddresses: taggedAddresses(n), NodeMeta: nodeMeta(),
				ServiceID: s.ID, ServiceName: s.Service, ServiceTags: s.Tags, ServiceAddress: s.Address, ServiceWeights: s.Weights,
				ServiceMeta: s.Meta, ServicePort: s.Port, ServiceEnableTagOverride: s.EnableTagOverride,
				CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex,
			})
		}
		return index, out
	})
}
