package embedded

import (
	"cmp"
	"slices"
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix"
)

// pair is one key of the KV store. A stored pair is never changed: answers
// hold on to it after the mutex is given back.
type pair struct {
	LockIndex   uint64
	Key         string
	Flags       uint64
	Value       []byte // null in JSON when nil, base64 otherwise
	Session     string `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
}

// store is the KV store. Its trees are immutable, so that a transaction is a
// copy of the struct which is put back or dropped.
type store struct {
	keys   *iradix.Tree // key → pair
	graves *iradix.Tree // deleted key → index; a list must move on when a key goes
	last   uint64       // index of the last change
}

func newStore() store { return store{keys: iradix.New(), graves: iradix.New()} }

func (s *store) get(key string) (pair, bool) {
	v, ok := s.keys.Get([]byte(key))
	if !ok {
		return pair{}, false
	}
	return v.(pair), true
}

// list returns what is under prefix, in the order of the keys, and the index
// for a query that waits for a change there: that of the last change below
// prefix, and that of the whole store where there was none.
func (s *store) list(prefix string) ([]pair, uint64) {
	var out []pair
	var index uint64
	s.keys.Root().WalkPrefix([]byte(prefix), func(_ []byte, v any) bool {
		p := v.(pair)
		out = append(out, p)
		index = max(index, p.ModifyIndex)
		return false
	})
	s.graves.Root().WalkPrefix([]byte(prefix), func(_ []byte, v any) bool {
		index = max(index, v.(uint64))
		return false
	})
	return out, cmp.Or(index, s.last)
}

// set writes p at index. The session of the key stays as it is unless lock
// says that p brings its own; its LockIndex is p's, 0 for a plain write, even
// while the lock is held. The same content again changes nothing.
func (s *store) set(p pair, index uint64, lock bool) pair {
	old, exists := s.get(p.Key)
	p.CreateIndex, p.ModifyIndex = index, index
	if exists {
		p.CreateIndex = old.CreateIndex
	}
	if !lock {
		p.Session = old.Session
	}
	if exists && p.Flags == old.Flags && p.LockIndex == old.LockIndex && p.Session == old.Session && slices.Equal(p.Value, old.Value) {
		return old
	}
	s.keys, _, _ = s.keys.Insert([]byte(p.Key), p)
	s.last = index
	return p
}

// cas writes p if the key was last changed at p's ModifyIndex, 0 for a key
// that is not there.
func (s *store) cas(p pair, index uint64) (pair, bool) {
	if old, _ := s.get(p.Key); old.ModifyIndex != p.ModifyIndex {
		return pair{}, false
	}
	return s.set(p, index, false), true
}

// acquire writes p with p's session as the holder. To hold it already is to
// acquire it again, which leaves the LockIndex.
func (s *store) acquire(p pair, index uint64) (pair, bool) {
	old, _ := s.get(p.Key)
	p.LockIndex = old.LockIndex
	if old.Session != p.Session {
		if old.Session != "" {
			return pair{}, false
		}
		p.LockIndex++
	}
	return s.set(p, index, true), true
}

// release writes p and takes the session from the key.
func (s *store) release(p pair, index uint64) (pair, bool) {
	old, exists := s.get(p.Key)
	if !exists || old.Session == "" || old.Session != p.Session {
		return pair{}, false
	}
	p.LockIndex, p.Session = old.LockIndex, ""
	return s.set(p, index, true), true
}

// delete removes a key; that there is none is fine.
func (s *store) delete(key string, index uint64) {
	var found bool
	if s.keys, _, found = s.keys.Delete([]byte(key)); found {
		s.graves, _, _ = s.graves.Insert([]byte(key), index)
		s.last = index
	}
}

func (s *store) deleteCAS(key string, modified, index uint64) bool {
	old, exists := s.get(key)
	if !exists {
		return true
	}
	if old.ModifyIndex != modified {
		return false
	}
	s.delete(key, index)
	return true
}

func (s *store) deleteTree(prefix string, index uint64) {
	var found bool
	if s.keys, found = s.keys.DeletePrefix([]byte(prefix)); found {
		s.graves, _, _ = s.graves.Insert([]byte(prefix), index)
		s.last = index
	}
}

// heldBy are the keys that session holds.
func (s *store) heldBy(session string) (out []pair) {
	s.keys.Root().Walk(func(_ []byte, v any) bool {
		if p := v.(pair); p.Session == session {
			out = append(out, p)
		}
		return false
	})
	return out
}

// names makes a list of keys of pairs. With a separator, what lies behind its
// first occurrence after prefix is left out, as in a directory.
func names(pairs []pair, prefix, separator string) []string {
	out := make([]string, 0, len(pairs))
	for _, p := range pairs {
		name := p.Key
		if separator != "" {
			if i := strings.Index(name[len(prefix):], separator); i >= 0 {
				name = name[:len(prefix)+i+len(separator)]
			}
		}
		if len(out) == 0 || out[len(out)-1] != name {
			out = append(out, name)
		}
	}
	return out
}
