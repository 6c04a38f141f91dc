package embedded

import (
	"hash/fnv"
	"maps"
	"net/http"
	"strconv"
)

// local runs f with the agent's own data, under the mutex. No servers are
// asked.
func (q *request) local(f func(a *agent) (answer, error)) (answer, error) {
	q.c.mu.Lock()
	defer q.c.mu.Unlock()
	return f(q.agent)
}

// localService is how an agent shows a service.
type localService struct {
	ID, Service       string
	Tags              []string
	Meta              map[string]string // never null here
	Port              int
	Address           string
	Weights           weights
	EnableTagOverride bool
	ContentHash       string `json:",omitempty"`
	Datacenter        string
}

func (a *agent) show(s service) localService {
	meta := map[string]string{}
	maps.Copy(meta, s.Meta)
	return localService{
		ID: s.ID, Service: s.Service, Tags: s.Tags, Meta: meta, Port: s.Port, Address: s.Address,
		Weights: s.Weights, EnableTagOverride: s.EnableTagOverride, Datacenter: a.c.dc,
	}
}

func agentServices(q *request) (answer, error) {
	return q.local(func(a *agent) (answer, error) {
		out := make(map[string]localService, len(a.services))
		for id, s := range a.services {
			out[id] = a.show(s)
		}
		return answer{json: out}, nil
	})
}

// agentService answers at once, also to ?hash: it does not wait.
func agentService(q *request) (answer, error) {
	return q.local(func(a *agent) (answer, error) {
		s, ok := a.services[q.rest]
		if !ok {
			return answer{}, refuse(http.StatusNotFound, "unknown service ID: %s", q.rest)
		}
		out := a.show(s)
		sum := fnv.New64a()
		_, _ = sum.Write(encode(out, false)) // never fails
		out.ContentHash = strconv.FormatUint(sum.Sum64(), 16)
		return answer{json: out, header: http.Header{"X-Consul-Contenthash": {out.ContentHash}}}, nil
	})
}

func serviceRegister(q *request) (answer, error) {
	var in struct {
		ID, Name          string
		Tags              []string
		Meta              map[string]string
		Port              int
		Address           string
		Weights           *weights
		EnableTagOverride bool
		Check             *checkDefinition
		Checks            []checkDefinition
	}
	if err := q.decode(&in); err != nil {
		return answer{}, err
	}
	if in.Name == "" {
		return answer{}, badRequest("Missing service name")
	}
	s := service{
		ID: orElse(in.ID, in.Name), Service: in.Name, Tags: append([]string{}, in.Tags...), Meta: in.Meta,
		Port: in.Port, Address: in.Address, Weights: weights{1, 1}, EnableTagOverride: in.EnableTagOverride,
	}
	if in.Weights != nil {
		s.Weights = *in.Weights
	}
	definitions := in.Checks
	if in.Check != nil {
		definitions = append(definitions, *in.Check)
	}
	var checks []*localCheck
	for i, d := range definitions {
		if d.empty() {
			continue
		}
		k, err := q.agent.check(d, &s)
		if err != nil {
			return answer{}, err
		}
		if k.CheckID == "" {
			k.CheckID = "service:" + s.ID
			if len(definitions) > 1 {
				k.CheckID += ":" + strconv.Itoa(i+1)
			}
		}
		k.Name = orElse(k.Name, "Service '"+s.Service+"' check")
		checks = append(checks, k)
	}
	return q.local(func(a *agent) (answer, error) {
		a.register(s, checks, q.has("replace-existing-checks"))
		return answer{}, nil
	})
}

func serviceDeregister(q *request) (answer, error) {
	return q.local(func(a *agent) (answer, error) {
		if !a.deregister(q.rest) {
			return answer{}, unknownService(q.rest)
		}
		return answer{}, nil
	})
}

func unknownService(id string) error {
	return refuse(http.StatusNotFound, "Unknown service ID %q. Ensure that the service ID is passed, not the service name.", id)
}

// nodeMaint puts the node into maintenance, which is a check that is critical.
// The first reason stays.
func nodeMaint(q *request) (answer, error) {
	return q.maintenance("node", nil, nodeMaintenance)
}

func serviceMaint(q *request) (answer, error) {
	if q.rest == "" {
		return answer{}, badRequest("Missing service ID")
	}
	return q.maintenance("service", &q.rest, serviceMaintenance+q.rest)
}

func (q *request) maintenance(what string, serviceID *string, checkID string) (answer, error) {
	if !q.has("enable") {
		return answer{}, badRequest("Missing value for enable")
	}
	enable, err := strconv.ParseBool(q.query.Get("enable"))
	if err != nil {
		return answer{}, badRequest("Invalid value for enable: %q", q.query.Get("enable"))
	}
	k := &localCheck{healthCheck: healthCheck{
		Node: q.agent.node, CheckID: checkID, Name: "Node Maintenance Mode", Status: critical, Type: maintenanceType, ServiceTags: []string{},
		Notes: orElse(q.query.Get("reason"), "Maintenance mode is enabled for this "+what+", but no reason was provided. This is a default message."),
	}}
	return q.local(func(a *agent) (answer, error) {
		if serviceID != nil {
			s, ok := a.services[*serviceID]
			if !ok {
				return answer{}, unknownService(*serviceID)
			}
			k.Name, k.ServiceID, k.ServiceName, k.ServiceTags = "Service Maintenance Mode", s.ID, s.Service, s.Tags
		}
		switch _, on := a.checks[checkID]; {
		case enable && !on:
			a.addCheck(k)
		case !enable:
			a.removeCheck(checkID)
		}
		a.sync()
		return answer{}, nil
	})
}
