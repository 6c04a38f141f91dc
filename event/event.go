// Package event is WHEN: Consul user events, their payloads, and the stream
// of those that this node has not seen yet.
package event

// Event is one Consul user event as GET /v1/event/list shows it.
type Event struct {
	ID      string // UUID; the only thing that tells two events apart
	Name    string // the app
	Payload []byte
	LTime   uint64 // Lamport time within one life of the cluster; not unique
	// Filters, evaluated by the receiving Consul agent: unanchored regular
	// expressions. Only used when firing.
	NodeFilter, ServiceFilter, TagFilter string
}
