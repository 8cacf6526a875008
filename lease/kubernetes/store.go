// Package kubelease keeps leases in Kubernetes, as Lease objects of coordination.k8s.io,
// for package lease.
//
//	config, err := rest.InClusterConfig()
//	…
//	config.QPS = -1 // renewals do not queue behind each other
//	client, err := kubernetes.NewForConfig(config)
//	…
//	owner, err := lease.New(kubelease.New(client.CoordinationV1().Leases(namespace)))
//
// A lease is an object, which stays when the lease has ended, with nobody as its holder.
// Every change names the version that it replaces (resourceVersion), and the object (uid),
// so that of two requests one is refused, and one that arrives late as well. It is built
// on these and not on client-go's package leaderelection, whose leaders overlap in a
// partition if they are to release; see docs/leases.md.
//
// # Tokens
//
// A token is the object's leaseTransitions, counted from where its annotation
// taskvisor.github.io/origin says: the version that the object had when nothing had been
// counted yet. Versions of a cluster only grow, faster than any counter of an object, and
// so do tokens, although somebody deletes the object and another is made.
//
// # Time
//
// Nothing expires in an API server. A lease has expired for this store when its object has
// not changed (but for its note) for the ttl since the store has seen it, by the local
// monotonic clock; a [Store.Watch] sees each renewal. An object that it sees for the first
// time has expired, too, if the holder's renewTime, by the holder's clock, is two ttls ago by
// ours: only until it has seen another version do clocks matter, and they may differ by the
// ttl. So a replica that starts waits for the ttl of one that has just died, and for nothing
// that is older.
//
// # Deletion
//
// Objects are never deleted by this store, and keep the note that an owner has left in
// another annotation; deploy/clean.sh deletes those that nobody has. Deleting one that is held
// takes the lease from its holder, which learns of it with its next renewal, after a fifth of
// the ttl. Stores that have seen the object give the lease to nobody else before it would have
// expired. One that has not, because its replica has just started, may: so delete what nobody
// holds.
//
// # What it costs
//
// A renewal is one write for each lease: with a ttl of 15 s one in 3 s. So is a note. It is
// a store for dozens of leases in a namespace; see docs/leases.md for more. A ttl is rounded up to
// whole seconds.
package kubelease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/taskvisor/taskvisor-go/lease"
)

const (
	retries  = 20 // of a request that others came between
	parallel = 16 // renewals at a time
)

// Store implements lease.Store, lease.Watcher and lease.Noter. Make one with [New]; it is
// safe for concurrent use, and has goroutines only while renewals or notes are being made.
type Store struct {
	client typed.LeaseInterface

	mu   sync.Mutex        // guards the fields below
	held map[string]held   // by key: acquired here, and neither released nor lost
	seen map[string]record // by the object's name: what was seen last, while it matters
}

// held is a lease that was acquired through this store.
type held struct {
	owner   string
	token   uint64
	expires time.Time           // by our clock, and before it does for anybody else
	object  *coordination.Lease // as far as is known; never changed
}

// New returns a store of the objects of one namespace. The client stays the caller's. Its
// limit of requests ([k8s.io/client-go/rest.Config.QPS], 5 a second if nothing is said)
// has to allow for the renewals.
func New(client typed.LeaseInterface) *Store {
	return &Store{client: client, held: make(map[string]held), seen: make(map[string]record)}
}

var errContended = errors.New("kubelease: others came between each time")

// Acquire implements lease.Store.
func (s *Store) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	token, _, err := s.AcquireNoted(ctx, key, owner, ttl)
	return token, err
}

// AcquireNoted implements lease.Noter.
func (s *Store) AcquireNoted(ctx context.Context, key, owner string, ttl time.Duration) (uint64, string, error) {
	for try := range retries {
		if err := pause(ctx, try); err != nil {
			return 0, "", err
		}
		object, err := s.find(ctx, key, owner)
		if err == nil {
			if holder := s.holder(object); holder != "" && holder != owner {
				return 0, "", &lease.HeldError{Key: key, Holder: holder}
			}
		}
		var token uint64
		if err == nil {
			token, err = s.take(ctx, object, key, owner, ttl)
		}
		switch {
		case err == nil:
			return token, noteOf(object), nil
		case errors.Is(err, lease.ErrHeld):
			return 0, "", err
		case overtaken(err):
		default:
			return 0, "", fmt.Errorf("kubelease: acquire %q: %w", key, err)
		}
	}
	return 0, "", errContended
}

// overtaken reports whether a request was refused because of another. A deletion is one:
// the object of that uid is not there.
func overtaken(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err)
}

// find returns the object of a key. If there is none it makes one, that nobody holds.
func (s *Store) find(ctx context.Context, key, owner string) (*coordination.Lease, error) {
	object, err := s.client.Get(ctx, objectName(key), meta.GetOptions{})
	if !apierrors.IsNotFound(err) {
		if err == nil {
			s.see(object)
		}
		return object, err
	}
	if holder := s.vanished(objectName(key)); holder != "" && holder != owner {
		return nil, &lease.HeldError{Key: key, Holder: holder}
	}
	object, err = s.client.Create(ctx, blank(key), meta.CreateOptions{FieldManager: manager})
	if err == nil {
		s.see(object)
	}
	return object, err
}

// take makes owner the holder of what object is the latest version of.
func (s *Store) take(ctx context.Context, object *coordination.Lease, key, owner string, ttl time.Duration) (uint64, error) {
	next, token, err := acquired(object, key, owner, ttl)
	if err != nil {
		return 0, err
	}
	sent := time.Now()
	written, err := s.client.Update(ctx, next, meta.UpdateOptions{FieldManager: manager})
	if err != nil {
		return 0, err
	}
	s.see(written)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[key] = held{owner, token, sent.Add(ttl), slim(written)}
	return token, nil
}

// forget drops a lease that is not ours any more.
func (s *Store) forget(key string, token uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, ok := s.held[key]; ok && h.token == token {
		delete(s.held, key)
	}
}

// Renew implements lease.Store. It makes one request for each lease, some at a time; an
// error that is a lease.RenewError names those of which nothing is known.
func (s *Store) Renew(ctx context.Context, owner string, leases map[string]uint64, ttl time.Duration) (lost []string, err error) {
	lost, failed, err := each(ctx, leases, func(key string) (bool, error) {
		ours, err := s.renew(ctx, key, owner, leases[key], ttl)
		if err != nil {
			err = fmt.Errorf("kubelease: renew %q: %w", key, err)
		}
		return ours, err
	})
	if len(failed) > 0 {
		err = &lease.RenewError{Keys: failed, Err: err}
	}
	return lost, err
}

// each makes a request for each lease, some at a time, and returns the keys of those that
// are not ours, and of those whose requests failed.
func each(ctx context.Context, leases map[string]uint64, request func(key string) (ours bool, err error)) (lost, failed []string, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, nil, err
	}
	var (
		mu  sync.Mutex // guards lost, failed and all
		all []error
		wg  sync.WaitGroup
	)
	keys := make(chan string)
	for range min(parallel, len(leases)) {
		wg.Go(func() { // ends when keys is closed, below, and is waited for
			for key := range keys {
				ours, err := request(key)
				mu.Lock()
				if err != nil {
					failed, all = append(failed, key), append(all, err)
				} else if !ours {
					lost = append(lost, key)
				}
				mu.Unlock()
			}
		})
	}
	for key := range leases {
		keys <- key
	}
	close(keys)
	wg.Wait()
	return lost, failed, errors.Join(all...)
}

// renew prolongs one lease, and reports whether it is still there.
func (s *Store) renew(ctx context.Context, key, owner string, token uint64, ttl time.Duration) (ours bool, err error) {
	s.mu.Lock()
	h, ok := s.held[key]
	s.mu.Unlock()
	if !ok || h.token != token || h.owner != owner {
		return false, nil
	}
	sent := time.Now()
	if !sent.Before(h.expires) {
		s.forget(key, token)
		return false, nil
	}
	written, err := s.change(ctx, key, owner, token, h.object, func(next *coordination.Lease) { renewed(next, ttl) })
	if err != nil {
		return false, err
	}
	if written == nil {
		s.forget(key, token)
		return false, nil
	}
	s.keep(key, token, sent.Add(ttl), written)
	return true, nil
}

// keep notes what a lease that we still have looks like, and until when it lasts at least.
func (s *Store) keep(key string, token uint64, until time.Time, written *coordination.Lease) {
	s.see(written)
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, ok := s.held[key]; ok && h.token == token {
		h.expires, h.object = later(h.expires, until), slim(written)
		s.held[key] = h
	}
}

// Release implements lease.Store.
func (s *Store) Release(ctx context.Context, key string, token uint64) error {
	return s.end(ctx, key, token, released)
}

// end makes the object one that nobody holds.
func (s *Store) end(ctx context.Context, key string, token uint64, apply func(next *coordination.Lease)) error {
	s.mu.Lock()
	h := s.held[key]
	s.mu.Unlock()
	if h.token != token {
		h.object = nil
	}
	written, err := s.change(ctx, key, "", token, h.object, apply)
	if err != nil {
		return fmt.Errorf("kubelease: release %q: %w", key, err)
	}
	if written != nil {
		s.see(written)
	}
	s.forget(key, token)
	return nil
}

// change changes the object of a lease while owner has it under this token, and returns nil
// if it has not; owner "" is anybody. An object that is known spares a request; nil: it is
// not.
func (s *Store) change(ctx context.Context, key, owner string, token uint64, object *coordination.Lease, apply func(next *coordination.Lease)) (*coordination.Lease, error) {
	for try := range retries {
		if err := pause(ctx, try); err != nil {
			return nil, err
		}
		if object == nil {
			found, err := s.client.Get(ctx, objectName(key), meta.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			object = found
		}
		if holder := holderOf(object); tokenOf(object) != token || holder == "" || owner != "" && holder != owner {
			return nil, nil
		}
		next := object.DeepCopy()
		apply(next)
		written, err := s.client.Update(ctx, next, meta.UpdateOptions{FieldManager: manager})
		if err == nil {
			return written, nil
		}
		if !overtaken(err) && !apierrors.IsNotFound(err) {
			return nil, err
		}
		object = nil // an answer was lost, or somebody has changed it
	}
	return nil, errContended
}

// Holders implements lease.Store.
func (s *Store) Holders(ctx context.Context, prefix string) (map[string]string, error) {
	list, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	holders := make(map[string]string)
	for i := range list.Items {
		object := &list.Items[i]
		key, ours := keyOf(object, prefix)
		if !ours {
			continue
		}
		if holder := s.holder(object); holder != "" {
			holders[key] = holder
		}
	}
	return holders, nil
}

// list returns all objects of leases in the namespace, and notes what it sees.
func (s *Store) list(ctx context.Context) (*coordination.LeaseList, error) {
	list, err := s.client.List(ctx, meta.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("kubelease: list: %w", err)
	}
	for i := range list.Items {
		s.see(&list.Items[i])
	}
	s.prune(list)
	return list, nil
}

// pause waits before another try, longer each time and not for the first, so that those who
// came between each other part. It fails with the cause of ctx.
func pause(ctx context.Context, try int) error {
	if try > 0 {
		timer := time.NewTimer(rand.N(time.Duration(try) * 5 * time.Millisecond))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
