package embedded

func healthNode(q *request) (answer, error) {
	if q.rest == "" {
		return answer{}, badRequest("Missing node name")
	}
	return q.checks(func(n *node) bool { return n.Node == q.rest }, func(healthCheck) bool { return true })
}

func healthChecks(q *request) (answer, error) {
	if q.rest == "" {
		return answer{}, badRequest("Missing service name")
	}
	return q.checks(anyNode, func(k healthCheck) bool { return k.ServiceName == q.rest })
}

func healthState(q *request) (answer, error) {
	if q.rest == "" {
		return answer{}, badRequest("Missing check state")
	}
	return q.checks(anyNode, func(k healthCheck) bool { return q.rest == "any" || k.Status == q.rest })
}

func anyNode(*node) bool { return true }

// checks answers with the checks that pass the filters, by node and id.
func (q *request) checks(onNode func(*node) bool, filter func(healthCheck) bool) (answer, error) {
	return q.askCatalog(func(t *catalog) (uint64, any) {
		out := []healthCheck{}
		for _, n := range t.sorted() {
			if onNode(n) {
				out = append(out, n.checksOf(filter)...)
			}
		}
		return t.checksAt, out
	})
}

// healthService answers with the instances of a service, each with the checks
// of its node and then its own. ?passing leaves out those with a check that
// warns or is critical.
func healthService(q *request) (answer, error) {
	if q.rest == "" {
		return answer{}, badRequest("Missing service name")
	}
	passingOnly, err := q.flag("passing")
	if err != nil {
		return answer{}, err
	}
	type view struct {
		Node    nodeView
		Service serviceView
		Checks  []healthCheck
	}
	return q.askCatalog(func(t *catalog) (uint64, any) {
		found, index := t.instances(q.rest, q.query["tag"])
		out := []view{}
		for _, i := range found {
			checks := i.node.checksOf(func(k healthCheck) bool { return k.ServiceID == "" })
			checks = append(checks, i.node.checksOf(func(k healthCheck) bool { return k.ServiceID == i.service.ID })...)
			if !passingOnly || allPass(checks) {
				out = append(out, view{q.c.showNode(i.node), showService(i.service), checks})
			}
		}
		return index, out
	})
}

func allPass(checks []healthCheck) bool {
	for _, k := range checks {
		if k.Status != passing {
			return false
		}
	}
	return true
}
