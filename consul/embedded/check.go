package embedded

import (
	"fmt"
	"slices"
	"time"
)

const (
	passing  = "passing"
	warning  = "warning"
	critical = "critical"
)

const (
	// serfHealth is the check of whether gossip reaches the node.
	serfHealth = "serfHealth"

	ttlType         = "ttl"
	maintenanceType = "maintenance"

	nodeMaintenance    = "_node_maintenance"
	serviceMaintenance = "_service_maintenance:" // and the service's id
)

// maxOutput is how many bytes Consul keeps of a check's output.
const maxOutput = 4096

// healthCheck is a check as an agent or the catalog has it.
type healthCheck struct {
	Node        string
	CheckID     string
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string // never nil
	Type        string
	Interval    string
	Timeout     string
	ExposedPort int
	Definition  struct{}
	CreateIndex uint64
	ModifyIndex uint64
}

// same says whether there is nothing to tell the servers: the output alone is
// not worth it.
func (k healthCheck) same(l healthCheck) bool {
	return k.CheckID == l.CheckID && k.Name == l.Name && k.Status == l.Status && k.Notes == l.Notes &&
		k.ServiceID == l.ServiceID && k.ServiceName == l.ServiceName && slices.Equal(k.ServiceTags, l.ServiceTags) && k.Type == l.Type
}

// localCheck is a check on its agent: one with a TTL, or a maintenance.
type localCheck struct {
	healthCheck
	ttl   time.Duration // 0 for a maintenance
	timer *time.Timer
}

func (k *localCheck) stop() {
	if k.timer != nil {
		k.timer.Stop()
		k.timer = nil
	}
}

// expire is what happens when nobody has spoken for the TTL.
func (k *localCheck) expire() {
	k.Status = critical
	last := k.Output
	k.Output = "TTL expired"
	if last != "" {
		k.Output += " (last output before timeout follows): " + last
	}
}

// say is a heartbeat.
func (k *localCheck) say(status, output string) {
	if len(output) > maxOutput {
		output = fmt.Sprintf("%s ... (captured %d of %d bytes)", output[:maxOutput], maxOutput, len(output))
	}
	k.Status, k.Output = status, output
}

// checkDefinition is a check in a registration.
type checkDefinition struct {
	ID, CheckID, Name, Notes, Status, ServiceID string

	TTL                                                                  string
	HTTP, TCP, UDP, GRPC, Interval, AliasNode, AliasService              string
	H2PING, OSService, DockerContainerID, DeregisterCriticalServiceAfter string
	Args, ScriptArgs                                                     []string
}

func (d checkDefinition) empty() bool {
	return d.TTL == "" && d.Interval == "" && d.AliasNode == "" && d.AliasService == "" && d.kind() == ""
}

// kind names what the embedded server can't do.
func (d checkDefinition) kind() string {
	for _, k := range []struct {
		name string
		set  bool
	}{
		{"HTTP", d.HTTP != ""}, {"TCP", d.TCP != ""}, {"UDP", d.UDP != ""}, {"GRPC", d.GRPC != ""}, {"H2PING", d.H2PING != ""},
		{"OSService", d.OSService != ""}, {"Docker", d.DockerContainerID != ""}, {"Args", len(d.Args)+len(d.ScriptArgs) > 0},
		{"Alias", d.AliasNode != "" || d.AliasService != ""}, {"DeregisterCriticalServiceAfter", d.DeregisterCriticalServiceAfter != ""},
	} {
		if k.set {
			return k.name
		}
	}
	return ""
}

// check makes a check of its definition, on service s or, where s is nil, on
// the node.
func (a *agent) check(d checkDefinition, s *service) (*localCheck, error) {
	if kind := d.kind(); kind != "" {
		return nil, badRequest("Invalid check: the embedded server knows TTL checks only, not %s", kind)
	}
	if d.TTL == "" {
		return nil, badRequest("Invalid check: TTL must be > 0 for TTL checks")
	}
	ttl, err := time.ParseDuration(d.TTL)
	if err != nil {
		return nil, badRequest("Request decode failed: %v", err)
	}
	if ttl <= 0 {
		return nil, badRequest("Invalid check: TTL must be > 0 for TTL checks")
	}
	k := &localCheck{ttl: ttl, healthCheck: healthCheck{
		Node: a.node, CheckID: orElse(d.CheckID, d.ID), Name: d.Name, Notes: d.Notes, Type: ttlType,
		Status: orElse(d.Status, critical), ServiceTags: []string{},
	}}
	if !validStatus(k.Status) {
		return nil, badRequest("Status for checks must 'passing', 'warning', 'critical'")
	}
	if s != nil {
		k.ServiceID, k.ServiceName, k.ServiceTags = s.ID, s.Service, s.Tags
	}
	return k, nil
}

func validStatus(s string) bool { return s == passing || s == warning || s == critical }
