package agent

import (
	"context"
	"sync"

	"gurney/agent/state"
)

// unkept are letters that the disk had no room for, in their order. They wait
// in memory: to be written down after all, or to be sent from here, whichever
// comes first. All of them are younger than those in the outbox.
type unkept struct {
	mu      sync.Mutex
	letters []state.Letter
}

// post puts a letter behind those that wait; the error is why it is not on
// disk.
func (u *unkept) post(d state.Dir, l state.Letter) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := len(u.letters); n == 0 || u.letters[n-1].Name != l.Name {
		u.letters = append(u.letters, l)
	}
	return u.write(d)
}

// keep writes down what it can.
func (u *unkept) keep(d state.Dir) {
	u.mu.Lock()
	defer u.mu.Unlock()
	_ = u.write(d) // told when it was posted
}

func (u *unkept) write(d state.Dir) error {
	for len(u.letters) > 0 {
		if err := d.Post(u.letters[0]); err != nil {
			return err
		}
		u.letters = u.letters[1:]
	}
	return nil
}

// send sends the oldest from memory, once the outbox is empty; left is how
// many wait after that.
func (u *unkept) send(ctx context.Context, send func(context.Context, state.Letter) error) (left int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.letters) == 0 {
		return 0, nil
	}
	if err := send(ctx, u.letters[0]); err != nil {
		return len(u.letters), err
	}
	u.letters = u.letters[1:]
	return len(u.letters), nil
}
