package embedded

import (
	"net/http"
)

func agentChecks(q *request) (answer, error) {
	return q.local(func(a *agent) (answer, error) {
		out := make(map[string]healthCheck, len(a.checks))
		for id, k := range a.checks {
			out[id] = k.healthCheck
		}
		return answer{json: out}, nil
	})
}

func checkRegister(q *request) (answer, error) {
	var d checkDefinition
	if err := q.decode(&d); err != nil {
		return answer{}, err
	}
	if d.Name == "" {
		return answer{}, badRequest("Missing check name")
	}
	if d.Status != "" && !validStatus(d.Status) {
		return answer{}, badRequest("Bad check status")
	}
	return q.local(func(a *agent) (answer, error) {
		var on *service
		if d.ServiceID != "" {
			s, ok := a.services[d.ServiceID]
			if !ok {
				return answer{}, refuse(http.StatusNotFound, "ServiceID %q does not exist", d.ServiceID)
			}
			on = &s
		}
		k, err := a.check(d, on)
		if err != nil {
			return answer{}, err
		}
		k.CheckID = orElse(k.CheckID, k.Name)
		a.addCheck(k)
		a.sync()
		return answer{}, nil
	})
}

func checkDeregister(q *request) (answer, error) {
	return q.local(func(a *agent) (answer, error) {
		if a.checks[q.rest] == nil {
			return answer{}, unknownCheck(q.rest)
		}
		a.removeCheck(q.rest)
		a.sync()
		return answer{}, nil
	})
}

// heartbeat serves /check/pass, warn and fail.
func heartbeat(status string) func(*request) (answer, error) {
	return func(q *request) (answer, error) { return q.heartbeat(status, q.query.Get("note")) }
}

func checkUpdate(q *request) (answer, error) {
	var in struct{ Status, Output string }
	if err := q.decode(&in); err != nil {
		return answer{}, err
	}
	if !validStatus(in.Status) {
		return answer{}, badRequest("Invalid check status: '%s'", in.Status)
	}
	return q.heartbeat(in.Status, in.Output)
}

func (q *request) heartbeat(status, output string) (answer, error) {
	return q.local(func(a *agent) (answer, error) {
		k := a.checks[q.rest]
		if k == nil {
			return answer{}, unknownCheck(q.rest)
		}
		if k.ttl == 0 {
			return answer{}, broken("CheckID %q does not have associated TTL", k.CheckID)
		}
		k.say(status, output)
		a.arm(k)
		a.sync()
		return answer{}, nil
	})
}

func unknownCheck(id string) error {
	return refuse(http.StatusNotFound, "Unknown check ID %q. Ensure that the check ID is passed, not the check name.", id)
}
