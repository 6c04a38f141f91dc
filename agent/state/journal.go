package state

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gurney/event"
	"gurney/report"
	"gurney/rollout"
)

// Journal is what the node knows of one app.
type Journal struct {
	App     string          `json:"app"`
	Born    int64           `json:"born,omitempty"`   // seq of the first record seen
	Record  *rollout.Record `json:"record,omitempty"` // the newest seen: one with a lower seq is ignored
	Touched rollout.Touched `json:"touched,omitzero"`
	// Drain is on while this app's run has the node out of service.
	Drain *Drain `json:"drain,omitempty"`
	// Event is the URL event, Stretcher's way, that waits for its turn.
	Event *URLEvent `json:"event,omitempty"`
	// Heard are the ids in hints that were not taken up yet: their events are
	// marked as seen by then, and are told to nobody again.
	Heard []string `json:"heard,omitempty"`
	// Work is the deployment that was taken up last.
	Work *Work `json:"work,omitempty"`
	// Green is when a run last ended well here, NotGreen since when the app is
	// not as it should be; zero: never, and it is.
	Green    time.Time `json:"green,omitzero"`
	NotGreen time.Time `json:"not_green,omitzero"`
	// Marked is the deployment whose marker of a failure this node wrote last.
	Marked string `json:"marked,omitempty"`
	// Past are the ids that were taken up or reported superseded, the oldest
	// first.
	Past []string `json:"past,omitempty"`
	// Own are the ids of URL events whose results this node wrote, the oldest
	// first: there is no driver to prune them.
	Own []string `json:"own,omitempty"`
}

// keepPast is how many ids a journal remembers.
const keepPast = 50

// Knows says whether the deployment was taken up here, or reported superseded.
func (j *Journal) Knows(id string) bool { return slices.Contains(j.Past, id) }

// Note remembers the deployment for Knows.
func (j *Journal) Note(id string) {
	if j.Knows(id) {
		return
	}
	j.Past = append(j.Past, id)
	if over := len(j.Past) - keepPast; over > 0 {
		j.Past = slices.Clone(j.Past[over:])
	}
}

// URLEvent is an event whose payload is a manifest's URL.
type URLEvent struct {
	ID  string    `json:"id"`
	URL string    `json:"url"`
	At  time.Time `json:"at"` // when it was heard
}

// Drain is a node out of service for a run.
type Drain struct {
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`            // the run starts then
	Before  []string  `json:"before,omitempty"` // services that were critical before
	Touched bool      `json:"touched,omitempty"`
	Idle    bool      `json:"idle,omitempty"` // nothing was touched: it ends at once
	Note    string    `json:"note,omitempty"` // what its end waits for
}

// DrainWish is a manifest's wish to have the node drained for its run.
type DrainWish struct {
	Wait *time.Duration `json:"wait,omitempty"` // nil: as configured
}

// Work is one deployment on this node, from its acceptance to its end.
type Work struct {
	ID      string       `json:"id"`
	URL     string       `json:"url,omitempty"` // of a URL event's manifest; may hold secrets
	Rollout bool         `json:"rollout,omitempty"`
	Retry   int64        `json:"retry,omitempty"` // seq of the retry that it answers
	State   report.State `json:"state"`           // accepted, held, or final
	Note    string       `json:"note,omitempty"`  // why it is held, skipped or refused
	Since   time.Time    `json:"since"`           // of the state
	Start   time.Time    `json:"start"`           // of the work
	Attempt int          `json:"attempt"`         // runs begun
	Cut     int          `json:"cut,omitempty"`   // runs that were interrupted, or that Chef wants again
	Again   bool         `json:"again,omitempty"` // Chef once more on what stands here, to mend drift
	Was     report.State `json:"was,omitempty"`   // the state before it
	Drain   *DrainWish   `json:"drain,omitempty"` // what a URL's manifest wants, once its run has read it
	Run     string       `json:"run,omitempty"`   // name of the run that goes on
	// Told is the last result that was posted of it, as it stands in Consul.
	Told     *report.Result `json:"told,omitempty"`
	NotUntil time.Time      `json:"not_until,omitzero"`
	Deadline time.Time      `json:"deadline,omitzero"` // for trying again what is the world's fault
}

// Journal returns the app's journal, an empty one where there is none.
func (d Dir) Journal(app string) (*Journal, error) {
	j := &Journal{App: app}
	_, err := read(d.journal(app), j)
	return j, err
}

// SaveJournal writes it.
func (d Dir) SaveJournal(j *Journal) error { return write(d.journal(j.App), j) }

func (d Dir) journal(app string) string { return d.join("apps", app+".json") }

// Apps are the apps that have a journal.
func (d Dir) Apps() ([]string, error) {
	entries, err := os.ReadDir(d.join("apps"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if app, ok := strings.CutSuffix(e.Name(), ".json"); ok && event.ValidApp(app) {
			out = append(out, app)
		}
	}
	return out, nil
}

// Remember notes a URL event's id and returns those whose results are to be
// deleted so that at most keep stay.
func (j *Journal) Remember(id string, keep int) (forgotten []string) {
	if slices.Contains(j.Own, id) {
		return nil
	}
	j.Own = append(j.Own, id)
	if over := len(j.Own) - keep; over > 0 {
		forgotten = slices.Clone(j.Own[:over])
		j.Own = slices.Clone(j.Own[over:])
	}
	return forgotten
}

// Seen returns the ids of the events taken up; fresh says that this node
// never kept any.
func (d Dir) Seen() (seen *event.Seen, fresh bool, err error) {
	seen = &event.Seen{}
	found, err := read(d.join("seen.json"), seen)
	return seen, !found, err
}

// SaveSeen writes them.
func (d Dir) SaveSeen(s *event.Seen) error { return write(filepath.Join(d.path, "seen.json"), s) }
