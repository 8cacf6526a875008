// Package etcdlease keeps leases in etcd, for package lease.
//
//	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
//	…
//	store := etcdlease.New(client)
//	owner, err := lease.New(store)
//
// A lease is a key whose value is the owner's id, and its token the revision at which
// the key was written: revisions of a cluster only grow, also over deletions, restarts
// and changes of the leader. All keys of an owner hang on one lease of etcd, its
// session, so that a renewal is one request however many there are, and one more for a
// hundred of them, which compares their tokens. Only deletions are watched.
//
// It is built on the transactions of etcd and not on its package concurrency, whose
// Election lets a candidate lead whose session has ended.
//
// Beside the leases there is one key for each session, below "taskvisor.sessions/" (see
// [WithSessions]). Its value is compared by every acquisition; after one whose answer was
// lost it is changed, so that a request that arrives late is refused. There, too, is a key
// for each lease with a note, which ends in "/note" and stays when the lease has ended.
//
// A TTL is rounded up to whole seconds, and etcd has a least one, which follows from its
// election timeout: 2 s by default.
package etcdlease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/taskvisor/taskvisor-go/lease"
)

const (
	defaultSessions = "taskvisor.sessions/"

	batch   = 100 // comparisons in one transaction; etcd allows 128
	retries = 5   // of an acquisition that others came between
)

// Option configures a [Store]. The interface is sealed.
type Option interface{ apply(s *Store) }

type option func(s *Store)

func (f option) apply(s *Store) { f(s) }

// WithSessions sets what the keys of sessions and notes begin with; with access control in etcd,
// the user needs to read and write there, as below the prefix of the leases.
func WithSessions(prefix string) Option { return option(func(s *Store) { s.sessions = prefix }) }

// Store implements lease.Store, lease.Watcher and lease.Noter. Make one with [New]; it is safe for
// concurrent use, and has no goroutines of its own.
type Store struct {
	client   *clientv3.Client
	sessions string

	mu     sync.Mutex // guards the fields below and those of sessions
	open   map[owner]*session
	keys   map[string]*held         // leases that were acquired and neither released nor lost
	epochs int                      // used by sessions so far
	doubt  map[string]*session      // keys of acquisitions without an answer
	locks  map[string]chan struct{} // keys that a request is being made for; closed when it has been
}

// owner is whom a session is for: a lease of etcd has one ttl.
type owner struct {
	id  string
	ttl int64 // seconds
}

// session is one lease of etcd.
type session struct {
	owner owner
	id    clientv3.LeaseID
	key   string
	epoch string // what the value of key is, as far as is known
	dirty bool   // an acquisition had no answer: the epoch is to be changed before anything else
}

// held is a lease that the owner may rely on until its ttl has passed.
type held struct {
	s       *session
	token   uint64
	expires time.Time // by our clock, and no later than etcd's
}

// New returns a store in the cluster of client, which stays the caller's.
func New(client *clientv3.Client, opts ...Option) *Store {
	s := &Store{client: client, sessions: defaultSessions, open: make(map[owner]*session), keys: make(map[string]*held),
		doubt: make(map[string]*session), locks: make(map[string]chan struct{})}
	for _, o := range opts {
		o.apply(s)
	}
	return s
}

var errUnsettled = errors.New("etcdlease: others came between each time")

// Acquire implements lease.Store.
func (s *Store) Acquire(ctx context.Context, key, id string, ttl time.Duration) (uint64, error) {
	token, _, err := s.AcquireNoted(ctx, key, id, ttl)
	return token, err
}

// AcquireNoted implements lease.Noter.
func (s *Store) AcquireNoted(ctx context.Context, key, id string, ttl time.Duration) (token uint64, note string, err error) {
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return 0, "", err
	}
	defer unlock()
	for range retries {
		ses, err := s.session(ctx, owner{id, seconds(ttl)})
		if err != nil {
			return 0, "", err
		}
		if err := s.settle(ctx, ses); errors.Is(err, errAgain) {
			continue
		} else if err != nil {
			return 0, "", err
		}
		token, note, err := s.acquire(ctx, ses, key, ttl)
		switch {
		case errors.Is(err, errAgain):
		case err == nil, errors.Is(err, lease.ErrHeld):
			return token, note, err
		default:
			return 0, "", fmt.Errorf("etcdlease: acquire %q: %w", key, err)
		}
	}
	return 0, "", errUnsettled
}

// errAgain is that the session or its epoch is another by now, or the key.
var errAgain = errors.New("again")

// acquire writes the key, if it is nobody's or ours, and then prolongs the session,
// which may have been near its end.
func (s *Store) acquire(ctx context.Context, ses *session, key string, ttl time.Duration) (token uint64, note string, err error) {
	sent := time.Now()
	current := clientv3.Compare(clientv3.Value(ses.key), "=", ses.epochOf(s))
	put, get := clientv3.OpPut(key, ses.owner.id, clientv3.WithLease(ses.id)), clientv3.OpGet(s.noteKey(key))
	resp, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0), current).
		Then(put, get).Else(clientv3.OpGet(key)).Commit()
	if err == nil && !resp.Succeeded {
		kvs := resp.Responses[0].GetResponseRange().Kvs
		switch {
		case len(kvs) == 0: // it was the session
			return 0, "", s.check(ctx, ses)
		case string(kvs[0].Value) != ses.owner.id:
			return 0, "", &lease.HeldError{Key: key, Holder: string(kvs[0].Value)}
		}
		resp, err = s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", kvs[0].ModRevision), current).Then(put, get).Commit()
		if err == nil && !resp.Succeeded {
			return 0, "", s.check(ctx, ses)
		}
	}
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		s.gone(ses)
		return 0, "", errAgain
	}
	if err != nil {
		if !refusal(err) {
			s.unsure(ses, key)
		}
		return 0, "", err
	}
	if err := s.prolong(ctx, ses); err != nil {
		if !errors.Is(err, errAgain) {
			s.unsure(ses, key)
		}
		return 0, "", err
	}
	token = uint64(resp.Header.Revision)
	for _, kv := range resp.Responses[1].GetResponseRange().Kvs {
		note = string(kv.Value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.doubt, key)
	s.keys[key] = &held{ses, token, sent.Add(ttl)}
	return token, note, nil
}

// Renew implements lease.Store.
func (s *Store) Renew(ctx context.Context, id string, leases map[string]uint64, ttl time.Duration) (lost []string, err error) {
	sent := time.Now()
	sessions := make(map[*session][]string)
	s.mu.Lock()
	for key, token := range leases {
		if h := s.keys[key]; h != nil && h.token == token && h.s.owner.id == id {
			sessions[h.s] = append(sessions[h.s], key)
		} else {
			lost = append(lost, key)
		}
	}
	s.mu.Unlock()
	if len(sessions) == 0 {
		return lost, context.Cause(ctx)
	}
	for ses, keys := range sessions {
		switch err := s.prolong(ctx, ses); {
		case errors.Is(err, errAgain):
			lost = append(lost, keys...)
			continue
		case err != nil:
			return lost, fmt.Errorf("etcdlease: renew: %w", err)
		}
		stolen, err := s.verify(ctx, keys, leases)
		lost = append(lost, stolen...)
		if err != nil {
			return lost, fmt.Errorf("etcdlease: renew: %w", err)
		}
		s.renewed(ses, leases, lost, sent.Add(ttl))
	}
	for ses := range sessions {
		s.tidy(ctx, ses, leases) // what it cannot do, the next renewal does
	}
	return lost, nil
}

// renewed notes what etcd keeps until when.
func (s *Store) renewed(ses *session, leases map[string]uint64, lost []string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, token := range leases {
		if h := s.keys[key]; h != nil && h.s == ses && h.token == token {
			h.expires = until
		}
	}
	for _, key := range lost {
		if h := s.keys[key]; h != nil && h.token == leases[key] {
			delete(s.keys, key)
		}
	}
}

// verify returns those of keys whose tokens are no longer these.
func (s *Store) verify(ctx context.Context, keys []string, leases map[string]uint64) (stolen []string, err error) {
	for len(keys) > 0 {
		some := keys[:min(batch, len(keys))]
		keys = keys[len(some):]
		var compare []clientv3.Cmp
		var get []clientv3.Op
		for _, key := range some {
			compare = append(compare, clientv3.Compare(clientv3.ModRevision(key), "=", int64(leases[key])))
			get = append(get, clientv3.OpGet(key, clientv3.WithKeysOnly()))
		}
		resp, err := s.client.Txn(ctx).If(compare...).Else(get...).Commit()
		if err != nil {
			return stolen, err
		}
		if resp.Succeeded {
			continue
		}
		for i, r := range resp.Responses {
			if kvs := r.GetResponseRange().Kvs; len(kvs) == 0 || uint64(kvs[0].ModRevision) != leases[some[i]] {
				stolen = append(stolen, some[i])
			}
		}
	}
	return stolen, nil
}

// Release implements lease.Store.
func (s *Store) Release(ctx context.Context, key string, token uint64) error {
	return s.end(ctx, key, token)
}

// end deletes the key if its token is still this one, and does what else is given then.
func (s *Store) end(ctx context.Context, key string, token uint64, then ...clientv3.Op) error {
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	then = append(then, clientv3.OpDelete(key))
	_, err = s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", int64(token))).Then(then...).Commit()
	if err != nil {
		return fmt.Errorf("etcdlease: release %q: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.keys[key]; h != nil && h.token == token {
		delete(s.keys, key)
	}
	return nil
}

// Holders implements lease.Store.
func (s *Store) Holders(ctx context.Context, prefix string) (map[string]string, error) {
	resp, err := s.client.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("etcdlease: holders: %w", err)
	}
	holders := make(map[string]string, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		holders[string(kv.Key)] = string(kv.Value)
	}
	return holders, nil
}

// Watch implements lease.Watcher.
func (s *Store) Watch(ctx context.Context, prefix string, changed func(key string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a watch is canceled by its context alone
	for resp := range s.client.Watch(clientv3.WithRequireLeader(ctx), prefix, clientv3.WithPrefix(), clientv3.WithFilterPut()) {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("etcdlease: watch: %w", err)
		}
		for _, e := range resp.Events {
			changed(string(e.Kv.Key))
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return errors.New("etcdlease: the watch has ended")
}
