package embedded

import (
	"net/http"
	"strings"
)

// endpoint serves one path, by method.
type endpoint map[string]func(*request) (answer, error)

func get(f func(*request) (answer, error)) endpoint { return endpoint{http.MethodGet: f} }
func put(f func(*request) (answer, error)) endpoint { return endpoint{http.MethodPut: f} }

// routes are the paths behind /v1. One that ends in a slash stands for all
// that begin with it; the longest wins.
var routes = map[string]endpoint{
	"kv/": {http.MethodGet: kvGet, http.MethodPut: kvPut, http.MethodDelete: kvDelete},
	"txn": put(txn),

	"event/fire/": put(eventFire),
	"event/list":  get(eventList),

	"session/create":   put(sessionCreate),
	"session/renew/":   put(sessionRenew),
	"session/destroy/": put(sessionDestroy),
	"session/info/":    get(sessionInfo),
	"session/list":     get(sessionList),
	"session/node/":    get(sessionList),

	"agent/self":                 get(agentSelf),
	"agent/members":              get(agentMembers),
	"agent/services":             get(agentServices),
	"agent/service/":             get(agentService),
	"agent/service/register":     put(serviceRegister),
	"agent/service/deregister/":  put(serviceDeregister),
	"agent/service/maintenance/": put(serviceMaint),
	"agent/maintenance":          put(nodeMaint),
	"agent/checks":               get(agentChecks),
	"agent/check/register":       put(checkRegister),
	"agent/check/deregister/":    put(checkDeregister),
	"agent/check/pass/":          put(heartbeat(passing)),
	"agent/check/warn/":          put(heartbeat(warning)),
	"agent/check/fail/":          put(heartbeat(critical)),
	"agent/check/update/":        put(checkUpdate),

	"catalog/datacenters": get(datacenters),
	"catalog/nodes":       get(catalogNodes),
	"catalog/node/":       get(catalogNode),
	"catalog/services":    get(catalogServices),
	"catalog/service/":    get(catalogService),

	"health/node/":    get(healthNode),
	"health/service/": get(healthService),
	"health/checks/":  get(healthChecks),
	"health/state/":   get(healthState),

	"status/leader": get(statusLeader),
	"status/peers":  get(statusPeers),

	"internal/acl/authorize": {http.MethodPost: noACL},
	"acl/":                   {http.MethodGet: noACL, http.MethodPut: noACL, http.MethodPost: noACL, http.MethodDelete: noACL},
}

func noACL(*request) (answer, error) {
	return answer{}, refuse(http.StatusUnauthorized, "ACL support disabled")
}

func find(path string) (e endpoint, rest string, ok bool) {
	path, ok = strings.CutPrefix(path, "/v1/")
	if !ok {
		return nil, "", false
	}
	if e, ok := routes[path]; ok {
		return e, "", true
	}
	for i := len(path); i > 0; i = strings.LastIndexByte(path[:i-1], '/') + 1 {
		if e, ok := routes[path[:i]]; ok && path[i-1] == '/' {
			return e, path[i:], true
		}
	}
	return nil, "", false
}
