package event

import (
	"encoding/json"
	"fmt"
	"slices"
)

// keep is how many ids Seen remembers: four times Consul's ring of 256, so
// that a ring that is delivered again is still known.
const keep = 1024

// Seen is the ids of the events that this node has taken up. It is what a
// restarted watcher lacks: Consul hands it the whole ring again. Not safe for
// concurrent use.
type Seen struct {
	order []string
	ids   map[string]bool
}

// Has says whether the event was marked.
func (s *Seen) Has(id string) bool { return s.ids[id] }

// Clone is a copy that goes its own way.
func (s *Seen) Clone() *Seen {
	c := &Seen{}
	for _, id := range s.order {
		c.Mark(Event{ID: id})
	}
	return c
}

// Len is how many ids are remembered.
func (s *Seen) Len() int { return len(s.order) }

// Mark remembers the events, and forgets the oldest beyond the limit.
func (s *Seen) Mark(events ...Event) {
	if s.ids == nil {
		s.ids = map[string]bool{}
	}
	for _, e := range events {
		if e.ID == "" || s.ids[e.ID] {
			continue
		}
		s.ids[e.ID] = true
		s.order = append(s.order, e.ID)
	}
	if over := len(s.order) - keep; over > 0 {
		for _, id := range s.order[:over] {
			delete(s.ids, id)
		}
		s.order = slices.Clone(s.order[over:])
	}
}

// MarshalJSON writes the ids, the oldest first.
func (s *Seen) MarshalJSON() ([]byte, error) { return json.Marshal(s.order) }

// UnmarshalJSON replaces what was remembered.
func (s *Seen) UnmarshalJSON(data []byte) error {
	var ids []string
	if err := json.Unmarshal(data, &ids); err != nil {
		return fmt.Errorf("decode seen events: %w", err)
	}
	*s = Seen{}
	for _, id := range ids {
		s.Mark(Event{ID: id})
	}
	return nil
}
