// Package report is RESULT: what became of one deployment on one node, the
// keys under which it stands in Consul KV, its sizes and its wording.
package report

// State is how one deployment stands on one node.
type State string

// The states, in the words of results, logs, metrics and screens.
const (
	Accepted    State = "accepted"
	Held        State = "held"
	OK          State = "ok"
	Failed      State = "failed"
	Skipped     State = "skipped"
	Superseded  State = "superseded"
	Interrupted State = "interrupted"
	Refused     State = "refused"
)

// Final says whether no further result follows without a new decision. Held
// and accepted are not final.
func (s State) Final() bool { return s != "" && s != Accepted && s != Held }

// Phase is a part of a run.
type Phase string

// The phases in their order for strategy release; rsync and mv run chef before activate/post too.
const (
	PhaseAccepted Phase = "accepted"
	PhaseManifest Phase = "manifest"
	PhaseFetch    Phase = "fetch" // with verify and unpack
	PhasePre      Phase = "pre"
	PhaseSync     Phase = "sync"
	PhaseChef     Phase = "chef"
	PhaseActivate Phase = "activate"
	PhasePost     Phase = "post"
	PhaseReport   Phase = "report"
)

// Result is the record of one deployment on one node. JSON names are short:
// it stands in every Consul server's memory, once per node.
type Result struct {
	V        int               `json:"v"`
	State    State             `json:"state"`
	Phase    Phase             `json:"phase,omitempty"` // where it stands or ended; empty when ok
	Error    string            `json:"error,omitempty"`
	Start    int64             `json:"start"`          // unix milliseconds
	End      int64             `json:"end,omitempty"`  // unix milliseconds
	Seconds  map[Phase]float64 `json:"sec,omitempty"`  // per phase; those under 0.05 s left out
	NodeJSON string            `json:"json,omitempty"` // "web" for nodes/web.json
	Updated  int               `json:"updated,omitempty"`
	Total    int               `json:"total,omitempty"`
	Exit     int               `json:"exit,omitempty"` // exit code of the failed command or of chef-solo
	Attempt  int               `json:"attempt,omitempty"`
	Retry    int64             `json:"retry,omitempty"` // seq of the last retry that it answers
	Agent    string            `json:"agent,omitempty"` // Gurney's version
	Reboot   bool              `json:"reboot,omitempty"`
	Release  bool              `json:"release,omitempty"` // failed by the release's fault: marked, counted, not retried
	Tail     string            `json:"tail,omitempty"`    // bounded end of the output
}
