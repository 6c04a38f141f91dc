package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gurney/agent/hold"
	"gurney/agent/state"
	"gurney/kv"
	"gurney/report"
)

// tell posts a result: one transaction, and so one entry in Consul's log. kind
// makes the letter's name, so that telling the same again is no second letter.
func (a *Agent) tell(p *app, id, kind string, r report.Result) {
	own := p.Work != nil && p.Work.ID == id
	if own {
		r.Retry = p.Work.Retry
	}
	value := report.Encode(r)
	ops := []kv.Op{{Verb: kv.Set, Key: report.Key(p.name, id, a.o.Node), Value: value}}
	if r.State == report.Failed && r.Release {
		ops = append(ops, kv.Op{Verb: kv.Set, Key: report.FailedKey(p.name, id, a.o.Node)})
		p.Marked = id
	}
	if r.State == report.OK && p.Marked == id {
		// It went well after all: a marker that stayed would halt the others.
		ops = append(ops, kv.Op{Verb: kv.Delete, Key: report.FailedKey(p.name, id, a.o.Node)})
		p.Marked = ""
	}
	// The row is the app's: what ran here, not what was turned away beside it.
	if a.o.Dashboard != "" && own && r.State.Final() && r.State != report.Superseded {
		key, value, flags := report.Dashboard(a.o.Dashboard, a.o.ConsulNode, p.name, r, time.Now())
		ops = append(ops, kv.Op{Verb: kv.Set, Key: "/" + key, Value: []byte(value), Flags: flags})
	}
	if r.State.Final() {
		for _, key := range p.forget {
			ops = append(ops, kv.Op{Verb: kv.Delete, Key: key})
		}
		p.forget = nil
	}
	if own {
		p.Work.Told = nil
		if told, err := report.Decode(value); err == nil { // as short as it stands there
			p.Work.Told = &told
		}
	}
	l := state.Letter{Name: fmt.Sprintf("%s@%s@%s", p.name, id, kind), At: time.Now(), Ops: ops}
	if err := a.unkept.post(a.o.Dir, l); err != nil {
		p.log.Error().Err(err).Str("id", id).Str("state", string(r.State)).Msg("the result can't be written down: it waits in memory")
	}
	select {
	case a.post <- struct{}{}:
	default:
	}
}

// deliver sends what waits in the outbox, in its order, each until Consul has
// taken it: elections and hours without a network are waited out.
func (a *Agent) deliver(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 200*time.Millisecond, 30*time.Second
	for {
		left, err := a.deliverAll(ctx)
		a.metrics.outbox.Set(float64(left))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			wait.Reset()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-a.post:
			}
			continue
		}
		next := wait.NextBackOff()
		a.log.Warn().Err(err).Int("waiting", left).Stringer("again_in", next.Round(time.Millisecond)).Msg("results can't be reported yet")
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(next):
		}
	}
}

// deliverAll sends letters until none is left or one can't be sent.
func (a *Agent) deliverAll(ctx context.Context) (left int, err error) {
	for {
		a.unkept.keep(a.o.Dir)
		letters, err := a.o.Dir.Outbox()
		if err != nil {
			// A broken letter must not hold those behind it.
			if broken, _ := a.o.Dir.PutLettersAside(); len(broken) > 0 {
				tellBroken(a.log, broken)
				a.lostLetter = true
				continue
			}
			return 0, err
		}
		if len(letters) == 0 {
			if a.lostLetter {
				a.lostLetter = false
				a.poke() // what it told is told again, now that nothing else of it is on its way
			}
			if left, err := a.unkept.send(ctx, a.send); err != nil || left == 0 {
				return left, err
			}
			continue
		}
		for i, l := range letters {
			if err := a.send(ctx, l); err != nil {
				return len(letters) - i, err
			}
		}
	} // more may have come meanwhile
}

// send sends one letter. The error is that it still waits.
func (a *Agent) send(ctx context.Context, l state.Letter) error {
	if l.Final() {
		hold.At(ctx.Done(), hold.Report)
	}
	err := a.o.Consul.Txn(ctx, l.Ops...)
	switch {
	case err == nil:
		if l.Final() {
			hold.At(ctx.Done(), hold.Sent)
		}
		return a.o.Dir.Sent(l)
	case ctx.Err() != nil:
		return ctx.Err() // the agent ends; the next one sends it
	case errors.Is(err, kv.ErrForbidden) || transient(err):
		return err // a token may be mended; the letter keeps
	}
	a.log.Error().Err(err).Str("letter", l.Name).Msg("Consul will never take this result: put aside in the outbox")
	return a.o.Dir.Refuse(l)
}

// transient says whether waiting may be all that it takes.
func transient(err error) bool {
	var t interface{ Transient() bool }
	return errors.As(err, &t) && t.Transient()
}
