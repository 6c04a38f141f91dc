package event

import (
	"context"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"
)

// Lister lists the events that the local Consul agent holds, the oldest
// first: at once when index is 0, else when the list differs from the one
// that came with index, or after wait.
type Lister interface {
	Events(ctx context.Context, index uint64, wait time.Duration) ([]Event, uint64, error)
}

// wait bounds one blocking query. It is asked of the local agent, and costs
// the servers nothing.
const wait = 10 * time.Minute

// Stream yields the events that this node has not seen, by blocking query on
// the local agent. The list's index is a hash, so it says only that something
// changed; ids tell what is new.
type Stream struct {
	lister Lister
	seen   *Seen
	log    zerolog.Logger
	retry  *backoff.ExponentialBackOff
	index  uint64
	newest string // id of the last event in the last answer; "": there was none
	lost   bool   // the last query failed
	begun  bool   // there was an answer
	all    bool   // mark what stands in the ring as seen, once
}

// NewStream begins a stream behind what was seen, which it copies. With
// skipStanding, what the ring holds at the first answer is taken as seen: a
// node that never saw an event does not know which of the past were meant for
// it.
func NewStream(l Lister, seen *Seen, skipStanding bool, log zerolog.Logger) *Stream {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 200*time.Millisecond, 5*time.Second
	return &Stream{lister: l, seen: seen.Clone(), log: log, retry: b, all: skipStanding}
}

// Batch is what one change of the list brought.
type Batch struct {
	Events    []Event // unseen, the oldest first
	Standing  []Event // those of before this node's first day: to be marked, not run
	First     bool    // the first answer since the stream began
	Reconnect bool    // Consul was out of reach, or its ring was emptied: events may have been missed
}

// Next blocks until there is an unseen event, or Consul answers for the first
// time, again after it was out of reach, or from another ring; it waits out
// errors. An event is
// handed out once in the stream's life; what was taken up for good is the
// caller's to keep. It returns ctx's error.
func (s *Stream) Next(ctx context.Context) (Batch, error) {
	for {
		list, index, err := s.lister.Events(ctx, s.index, wait)
		if ctx.Err() != nil {
			return Batch{}, ctx.Err()
		}
		if err != nil {
			if !s.lost {
				s.log.Warn().Err(err).Msg("events can't be read from the local Consul agent; trying on")
			}
			s.lost, s.index = true, 0
			select {
			case <-ctx.Done():
				return Batch{}, ctx.Err()
			case <-time.After(s.retry.NextBackOff()):
			}
			continue
		}
		s.retry.Reset()
		gap := s.gap(list)
		b := Batch{Reconnect: s.lost || gap, First: !s.begun, Events: s.unseen(list)}
		switch {
		case s.lost:
			s.log.Info().Msg("the local Consul agent answers again")
		case gap:
			s.log.Info().Msg("the local Consul agent lost events that it had: it was restarted, or many came at once")
		}
		s.lost, s.begun, s.index = false, true, index
		s.seen.Mark(b.Events...)
		if s.all {
			s.all = false
			b.Standing, b.Events = b.Events, nil
		}
		if b.Reconnect || b.First || len(b.Events) > 0 {
			return b, nil
		}
	}
}

// gap says whether the newest event of the answer before is gone from the
// ring, and keeps the newest of this one. A ring drops its oldest first: the
// newest goes when the agent restarts, which the HTTP client may bridge by
// trying again without a word, or when a whole ring of others came in between.
func (s *Stream) gap(list []Event) bool {
	had := s.newest
	s.newest = ""
	if len(list) > 0 {
		s.newest = list[len(list)-1].ID
	}
	return had != "" && !slices.ContainsFunc(list, func(e Event) bool { return e.ID == had })
}

// unseen keeps the order of the list but for LTime, which knows better what
// came first when gossip brought two the wrong way round.
func (s *Stream) unseen(list []Event) []Event {
	var out []Event
	for _, e := range list {
		if !s.seen.Has(e.ID) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b Event) int {
		switch {
		case a.LTime < b.LTime:
			return -1
		case a.LTime > b.LTime:
			return 1
		}
		return 0
	})
	return out
}
