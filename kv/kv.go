// Package kv is the vocabulary in which Gurney speaks of Consul's key-value
// store: pairs, transactions and the two ways to read. It holds no client;
// package consul implements Store, and whoever needs less declares less.
package kv

import (
	"context"
	"errors"
)

// Consistency says which server may answer a read.
type Consistency int

const (
	// Stale lets any server answer, also while a leader is being elected. It
	// may lag, and a flapping server has answered with nothing at all (consul
	// issue 3975): an empty stale read is never a deletion.
	Stale Consistency = iota
	// Default lets the leader answer; it fails with ErrUnreachable during an
	// election.
	Default
)

// Pair is one entry of the store.
type Pair struct {
	Key         string
	Value       []byte
	ModifyIndex uint64 // can go back after a restore from a backup
	Flags       uint64
	Session     string // id of the session that holds it as a lock, or ""
}

// Verb is what one operation of a transaction does; the names are those of
// Consul's HTTP API.
type Verb string

// The verbs that Gurney uses.
const (
	Set          Verb = "set"
	CAS          Verb = "cas" // Index 0: only if the key does not exist
	Delete       Verb = "delete"
	DeleteCAS    Verb = "delete-cas"
	DeleteTree   Verb = "delete-tree"
	CheckSession Verb = "check-session"
	CheckIndex   Verb = "check-index"
)

// Op is one operation of a transaction.
type Op struct {
	Verb    Verb
	Key     string
	Value   []byte
	Index   uint64
	Flags   uint64
	Session string
}

// MaxOps is how many operations Consul takes in one transaction
// (https://developer.hashicorp.com/consul/api-docs/txn).
const MaxOps = 64

var (
	// ErrConflict is in the chain when a transaction was rolled back because
	// one of its checks did not hold. Nothing was written; read again.
	ErrConflict = errors.New("changed by another writer")
	// ErrUnreachable is in the chain when Consul could not be asked or had no
	// leader. Whether a write was applied is then unknown; waiting can help.
	ErrUnreachable = errors.New("consul is out of reach")
	// ErrForbidden is in the chain when the ACL token does not allow it.
	ErrForbidden = errors.New("not allowed by the ACL token")
)

// Store reads and writes the store. All methods honour their context.
type Store interface {
	// Get returns nil and no error where the key does not exist.
	Get(ctx context.Context, key string, c Consistency) (*Pair, error)
	// List returns what stands below prefix, in the order of the keys.
	List(ctx context.Context, prefix string, c Consistency) ([]Pair, error)
	// Keys is List without the values.
	Keys(ctx context.Context, prefix string, c Consistency) ([]string, error)
	// Txn applies all of ops, or none (ErrConflict). It is one Raft entry.
	Txn(ctx context.Context, ops ...Op) error
}
