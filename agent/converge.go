package agent

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"gurney/agent/state"
	"gurney/report"
)

// asking is somebody's wish that all apps run what they should now, also in
// maintenance: who ends one, or a node that is being born, wants to serve
// converged.
type asking struct {
	ctx  context.Context // ends with the asker's patience
	done chan []Standing
}

// Standing is how one app stands on this node.
type Standing struct {
	App   string       `json:"app"`
	ID    string       `json:"id,omitempty"`    // "": nothing is deployed
	State report.State `json:"state,omitempty"` // of the last result
	Error string       `json:"error,omitempty"`
}

// Good says whether the app runs what it should, or has nothing to run.
func (s Standing) Good() bool {
	return s.ID == "" || green(s.State)
}

// Converge asks the loop, and waits until every app is at rest.
func (a *Agent) Converge(ctx context.Context) ([]Standing, error) {
	q := &asking{ctx, make(chan []Standing, 1)}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case a.asked <- q:
	}
	select {
	case <-ctx.Done():
		a.poke() // held again
		return nil, ctx.Err()
	case s := <-q.done:
		return s, nil
	}
}

// ask takes the wish: the leader is asked for the records, and what failed is
// tried again.
func (a *Agent) ask(q *asking) {
	a.past = append(a.past, q)
	for _, p := range a.apps {
		p.refresh, p.stale = true, staleMost
		w := p.Work
		p.again = w != nil && w.State.Final() // what runs now is this time's try
		if p.again && p.Record == nil && w.URL != "" && !green(w.State) && p.Event == nil {
			p.Event = &state.URLEvent{ID: w.ID, URL: w.URL, At: time.Now()}
		}
		p.soon()
	}
}

// pastGate says whether somebody still waits for what he asked; a birth does from
// the first.
func (a *Agent) pastGate() bool {
	a.past = slices.DeleteFunc(a.past, func(q *asking) bool { return q.ctx.Err() != nil })
	return a.birth || len(a.past) > 0
}

// poke makes the loop look at everything again.
func (a *Agent) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// answer answers those who wait once every app is at rest.
func (a *Agent) answer() {
	if !a.pastGate() {
		return
	}
	var out []Standing
	for _, name := range a.o.Apps {
		p := a.apps[name]
		if !p.resting() {
			return
		}
		out = append(out, p.standing())
	}
	for _, q := range a.past {
		q.done <- out
	}
	a.past = nil
	for _, p := range a.apps {
		p.again = false
	}
}

// resting says whether nothing is on and nothing is to come for the app. A drain
// that waits for services to pass may wait for those that start only once
// somebody has his answer.
func (p *app) resting() bool {
	return !p.refresh && p.failed == 0 && p.Event == nil && (p.due.IsZero() || p.passing) && (p.Work == nil || p.Work.State.Final())
}

// standing is how the app stands in what is wanted, whatever was taken up here
// since and came to nothing.
func (p *app) standing() Standing {
	s := Standing{App: p.name}
	switch w := p.Work; {
	case p.Record != nil && p.wanted.ID == "":
	case p.Record != nil && (w == nil || w.ID != p.wanted.ID) && p.standsWell(p.wanted.ID):
		s.ID, s.State = p.wanted.ID, report.OK
	case w != nil:
		s.ID, s.State, s.Error = w.ID, w.State, w.Note
	}
	return s
}

func (a *Agent) serveConverge(w http.ResponseWriter, r *http.Request) {
	standings, err := a.Converge(r.Context())
	if err != nil {
		return // the asker is gone
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(standings)
}
