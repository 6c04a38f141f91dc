package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// watched is one event as `consul watch -type event` hands it to its handler.
type watched struct {
	ID      string
	Name    string
	Payload []byte
	LTime   uint64
}

// ParseInput reads what a handler finds on its standard input: the JSON list
// of `consul watch`, which is empty or null when a watch begins, or one plain
// line (Serf, ssh, `echo URL |`), which becomes an event without id and name.
// Under `consul watch` (CONSUL_INDEX is set) it is always the list.
func ParseInput(data []byte, underConsul bool) ([]Event, error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	if !underConsul && !bytes.HasPrefix(text, []byte("[")) {
		line, rest, _ := strings.Cut(string(text), "\n")
		if line == "" {
			return nil, errors.New("nothing on standard input: a manifest's URL is wanted, or the JSON of consul watch")
		}
		if strings.TrimSpace(rest) != "" {
			return nil, errors.New("standard input has several lines: one URL is wanted, or the JSON of consul watch")
		}
		return []Event{{Payload: []byte(strings.TrimSpace(line))}}, nil
	}
	if len(text) == 0 {
		return nil, nil
	}
	var list []watched
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("standard input is not the JSON list of consul watch: %w", err)
	}
	out := make([]Event, 0, len(list))
	for _, w := range list {
		out = append(out, Event{ID: w.ID, Name: w.Name, Payload: w.Payload, LTime: w.LTime})
	}
	return out, nil
}
