package embedded

import (
	"strconv"
	"strings"
)

// member is an agent as gossip knows it.
type member struct {
	Name                                  string
	Addr                                  string
	Port                                  int
	Tags                                  map[string]string
	Status                                int // serf's: 1 alive, 4 failed
	ProtocolMin, ProtocolMax, ProtocolCur int
	DelegateMin, DelegateMax, DelegateCur int
}

const (
	memberAlive  = 1
	memberFailed = 4
)

func (a *agent) member() member {
	m := member{
		Name: a.node, Addr: a.ip, Port: 8301, Status: memberAlive,
		Tags:        map[string]string{"build": version + ":", "dc": a.c.dc, "id": a.id, "role": "node", "segment": "", "vsn": "2", "vsn_min": "2", "vsn_max": "3"},
		ProtocolMin: 1, ProtocolMax: 5, ProtocolCur: 2, DelegateMin: 2, DelegateMax: 5, DelegateCur: 4,
	}
	if a == a.c.server {
		m.Tags["role"], m.Tags["port"], m.Tags["raft_vsn"] = "consul", "8300", "3"
	}
	if a.cut {
		m.Status = memberFailed
	}
	return m
}

func agentMembers(q *request) (answer, error) {
	return q.local(func(*agent) (answer, error) {
		var out []member
		for _, a := range q.c.agents {
			out = append(out, a.member())
		}
		return answer{json: out}, nil
	})
}

// agentSelf answers what people and tools look at. The real one has some 300
// settings more.
func agentSelf(q *request) (answer, error) {
	type m = map[string]any
	return q.local(func(a *agent) (answer, error) {
		c := a.c
		server := a == c.server
		return answer{json: m{
			"Config": m{
				"Datacenter": c.dc, "PrimaryDatacenter": c.dc, "NodeName": a.node, "NodeID": a.id,
				"Revision": "", "Server": server, "Version": version, "BindAddr": a.ip,
			},
			"DebugConfig": m{
				"KVMaxValueSize": maxValue, "TxnMaxReqLen": maxValue, "SessionTTLMin": c.ttlMin.String(),
				"HTTPAddrs": []string{"tcp://" + a.addr}, "ServerMode": server, "NodeName": a.node, "Datacenter": c.dc,
			},
			"Member": a.member(),
			"Meta":   nodeMeta(),
			"Stats": m{
				"agent": m{"checks": strconv.Itoa(len(a.checks)), "services": strconv.Itoa(len(a.services))},
				"consul": m{
					"leader": strconv.FormatBool(server && c.leader), "leader_addr": c.leaderAddr(), "server": strconv.FormatBool(server),
				},
				"raft":  m{"commit_index": strconv.FormatUint(c.index, 10)},
				"build": m{"version": version},
			},
		}}, nil
	})
}

func nodeMeta() map[string]string {
	return map[string]string{"consul-network-segment": "", "consul-version": version}
}

func (a *agent) rpcAddr() string { return a.ip + ":8300" }

// leaderAddr is "" without a leader.
func (c *Cluster) leaderAddr() string {
	if !c.leader {
		return ""
	}
	return c.server.rpcAddr()
}

func statusLeader(q *request) (answer, error) {
	return q.local(func(*agent) (answer, error) { return answer{json: q.c.leaderAddr()}, nil })
}

func statusPeers(q *request) (answer, error) {
	return answer{json: []string{q.c.server.rpcAddr()}}, nil
}

func datacenters(q *request) (answer, error) {
	return answer{json: []string{strings.ToLower(q.c.dc)}}, nil
}
