package agent

import (
	"context"

	"gurney/kv"
	"gurney/report"
	"gurney/rollout"
)

// What a node told once can be lost: servers whose data was wiped and put back
// from a backup have what stood there then. A driver would wait for such a
// node for ever, so the agent looks at its own result whenever it looks at
// everything, by one stale read of one key, and tells it again where it is
// gone. It writes nothing while all is well.

// tellAgain tells the result of the app's work again where the store has lost
// it. Only a look at everything asks for that, and only once the store has shown
// a record as new as the journal's: one that lags, or that is being filled, is
// no proof of a loss.
func (a *Agent) tellAgain(ctx context.Context, p *app, want rollout.Want) {
	w := p.Work
	if p.refresh || !p.audit {
		return
	}
	p.audit = false
	if w == nil || w.Told == nil || w.ID != want.ID || want.Retry > w.Retry || !p.Record.Names(w.ID) {
		return // nothing was told, or something else will be
	}
	lost, err := a.lost(ctx, p)
	if err != nil {
		p.log.Warn().Err(err).Msg("whether Consul still has this node's result is not known")
	}
	if lost {
		p.log.Warn().Str("id", w.ID).Str("state", string(w.Told.State)).Msg("Consul has lost this node's result: telling it again")
		a.tell(p, w.ID, "again", *w.Told)
	}
}

// lost says whether what was told last of the work is gone. Any server may say
// that it is not; that it is, is the leader's word. A letter that is on its way
// is no loss, and one that was put aside would be so again.
func (a *Agent) lost(ctx context.Context, p *app) (bool, error) {
	posted, err := a.o.Dir.Posted(p.name, p.Work.ID)
	if err != nil || posted {
		return false, err
	}
	for _, how := range []kv.Consistency{kv.Stale, kv.Default} {
		pair, err := a.o.Consul.Get(ctx, report.Key(p.name, p.Work.ID, a.o.Node), how)
		if err != nil {
			return false, err
		}
		if pair == nil {
			continue
		}
		// What can't be read is nothing that this node has told.
		if has, err := report.Decode(pair.Value); err == nil && !before(has, *p.Work.Told) {
			return false, nil
		}
	}
	return true, nil
}

// before says whether result r is from before what was told last. It goes by
// their starts, so that two hosts of one name do not overwrite each other for
// ever.
func before(r, told report.Result) bool {
	return r.Start < told.Start || r.Start == told.Start && told.State.Final() && !r.State.Final()
}
