package etcdlease

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// seconds rounds up: a lease may live longer than was asked for, never shorter.
func seconds(ttl time.Duration) int64 { return int64((ttl + time.Second - 1) / time.Second) }

// lock has one request at a time made for key.
func (s *Store) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		s.mu.Lock()
		taken := s.locks[key]
		if taken == nil {
			mine := make(chan struct{})
			s.locks[key] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.locks, key)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-taken:
		case <-ctx.Done():
		}
	}
}

// session returns the session of an owner, which it opens if there is none. Many may
// ask at the same time: one opens it.
func (s *Store) session(ctx context.Context, o owner) (*session, error) {
	s.mu.Lock()
	ses := s.open[o]
	s.mu.Unlock()
	if ses == nil {
		unlock, err := s.lock(ctx, s.sessions+o.id)
		if err != nil {
			return nil, err
		}
		defer unlock()
		s.mu.Lock()
		ses = s.open[o]
		s.mu.Unlock()
	}
	if ses != nil {
		return ses, nil
	}
	granted, err := s.client.Grant(ctx, o.ttl)
	if err != nil {
		return nil, fmt.Errorf("etcdlease: open a session: %w", err)
	}
	ses = &session{owner: o, id: granted.ID, epoch: "0", key: fmt.Sprintf("%s%s/%x", s.sessions, o.id, int64(granted.ID))}
	if _, err := s.client.Put(ctx, ses.key, ses.epoch, clientv3.WithLease(ses.id)); err != nil {
		return nil, fmt.Errorf("etcdlease: open a session: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[o] = ses
	return ses, nil
}

func (ses *session) epochOf(s *Store) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ses.epoch
}

// settle changes the epoch if an acquisition had no answer: should that still be on its
// way, it will be refused. No value of the epoch is ever used again, and each follows
// the one before, so that a change whose answer was lost does no harm when it comes late.
func (s *Store) settle(ctx context.Context, ses *session) error {
	s.mu.Lock()
	dirty := ses.dirty
	s.mu.Unlock()
	if !dirty {
		return nil
	}
	unlock, err := s.lock(ctx, ses.key)
	if err != nil {
		return err
	}
	defer unlock()
	for range retries {
		s.mu.Lock()
		if !ses.dirty {
			s.mu.Unlock()
			return nil
		}
		s.epochs++
		next := strconv.Itoa(s.epochs)
		s.mu.Unlock()
		resp, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.Value(ses.key), "=", ses.epochOf(s))).
			Then(clientv3.OpPut(ses.key, next, clientv3.WithLease(ses.id))).Commit()
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			s.gone(ses)
			return errAgain
		case err != nil:
			return fmt.Errorf("etcdlease: settle: %w", err)
		case resp.Succeeded:
			s.mu.Lock()
			ses.epoch, ses.dirty = next, false
			s.mu.Unlock()
			return nil
		}
		if err := s.check(ctx, ses); !errors.Is(err, errAgain) {
			return err
		}
		if s.isGone(ses) {
			return errAgain
		}
	}
	return errUnsettled
}

func (s *Store) isGone(ses *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[ses.owner] != ses
}

// check finds out why a session did not agree: it has ended, or its epoch is another.
// Without an error of etcd's it returns errAgain.
func (s *Store) check(ctx context.Context, ses *session) error {
	resp, err := s.client.Get(ctx, ses.key)
	if err != nil {
		return err
	}
	if len(resp.Kvs) == 0 {
		s.gone(ses)
		return errAgain
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ses.epoch = string(resp.Kvs[0].Value)
	return errAgain
}

// gone forgets a session that etcd has ended, and everything that hung on it.
func (s *Store) gone(ses *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[ses.owner] == ses {
		delete(s.open, ses.owner)
	}
	for key, h := range s.keys {
		if h.s == ses {
			delete(s.keys, key)
		}
	}
	for key, other := range s.doubt {
		if other == ses {
			delete(s.doubt, key)
		}
	}
}

// prolong has the session live for its ttl from now. It is errAgain if there is no such
// session any more.
func (s *Store) prolong(ctx context.Context, ses *session) error {
	_, err := s.client.KeepAliveOnce(ctx, ses.id)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		s.gone(ses)
		return errAgain
	}
	return err
}

// refusal reports whether a request that etcd answers with err has not been carried out, and
// will not be. ErrNoSpace is none: so it answers what has filled the quota as well.
func refusal(err error) bool {
	return errors.Is(err, rpctypes.ErrPermissionDenied) || errors.Is(err, rpctypes.ErrInvalidAuthToken) ||
		errors.Is(err, rpctypes.ErrRequestTooLarge) || errors.Is(err, rpctypes.ErrTooManyRequests)
}

// unsure notes that an acquisition may have been carried out, or may still be.
func (s *Store) unsure(ses *session, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubt[key], ses.dirty = ses, true
	delete(s.keys, key)
}

// tidy deletes what hangs on the session and must not live on with it: leases whose
// owner does not renew them any more, and what acquisitions without an answer may have
// written. It says nothing about what cannot be deleted now: that is no fault of the leases
// that are renewed.
func (s *Store) tidy(ctx context.Context, ses *session, leases map[string]uint64) {
	now := time.Now()
	expired := make(map[string]uint64)
	var doubtful []string
	s.mu.Lock()
	for key, h := range s.keys {
		if _, renewed := leases[key]; h.s == ses && !renewed && now.After(h.expires) {
			expired[key] = h.token
		}
	}
	for key, other := range s.doubt {
		if other == ses {
			doubtful = append(doubtful, key)
		}
	}
	s.mu.Unlock()
	for key, token := range expired {
		if s.Release(ctx, key, token) != nil {
			return
		}
	}
	if len(doubtful) == 0 || s.settle(ctx, ses) != nil {
		return
	}
	for _, key := range doubtful {
		if s.undo(ctx, ses, key) != nil {
			return
		}
	}
}

// undo deletes a key that an acquisition without an answer may have written.
func (s *Store) undo(ctx context.Context, ses *session, key string) error {
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	s.mu.Lock()
	doubt := s.doubt[key] == ses // it was not acquired meanwhile
	s.mu.Unlock()
	if !doubt {
		return nil
	}
	_, err = s.client.Txn(ctx).If(clientv3.Compare(clientv3.Value(key), "=", ses.owner.id)).Then(clientv3.OpDelete(key)).Commit()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doubt[key] == ses {
		delete(s.doubt, key)
	}
	return nil
}

// Close ends the sessions, and with them every lease that is still held through this
// store. The client stays open.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	var open []*session
	for _, ses := range s.open {
		open = append(open, ses)
	}
	s.mu.Unlock()
	var all []error
	for _, ses := range open {
		if _, err := s.client.Revoke(ctx, ses.id); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			all = append(all, err)
		}
		s.gone(ses)
	}
	return errors.Join(all...)
}
