package kubelease

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// record is what was seen of an object, and since when it has looked like that.
type record struct {
	version string
	at      time.Time // by the monotonic clock, when its last renewal was first seen
	holder  string
	ttl     time.Duration
	token   uint64
	renewed meta.MicroTime // by the holder's clock
	note    string
	watched bool // an earlier version was seen: at is not just when we came to look
}

// due is when the lease has expired, unless its object changes before.
func (r record) due() time.Time { return r.at.Add(r.ttl) }

// see notes what an object looks like now.
func (s *Store) see(object *coordination.Lease) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.seen[object.Name]
	if known && !newer(object.ResourceVersion, old.version) {
		return // it looks as before, or the answer comes late
	}
	r := record{object.ResourceVersion, now, holderOf(object), ttlOf(object), tokenOf(object), meta.MicroTime{}, noteOf(object), known}
	if object.Spec.RenewTime != nil {
		r.renewed = *object.Spec.RenewTime
	}
	if known && r.noted(&old) {
		r.at, r.watched = old.at, old.watched
	}
	s.seen[object.Name] = r
}

// noted reports whether what has changed is the note and nothing else: that is no renewal.
func (r *record) noted(old *record) bool {
	return r.note != old.note && r.token == old.token && r.holder == old.holder && r.ttl == old.ttl && r.renewed.Equal(&old.renewed)
}

// newer compares versions, also of an object and of the one that was deleted before.
func newer(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	if errX != nil || errY != nil {
		return a != b
	}
	return x > y
}

// recordOf is what was seen of an object.
func (s *Store) recordOf(name string) record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[name]
}

// holder is who has the lease of an object, which see has seen; "" if it is free or has
// expired.
func (s *Store) holder(object *coordination.Lease) string {
	holder, ttl := holderOf(object), ttlOf(object)
	if holder == "" {
		return ""
	}
	now, r := time.Now(), s.recordOf(object.Name)
	if r.version == object.ResourceVersion && !now.Before(r.due()) {
		return ""
	}
	if r.watched {
		return holder
	}
	// At first sight the clocks of two machines, which may differ by the second ttl. Not by
	// the monotonic clock: the time comes from elsewhere.
	if renew := object.Spec.RenewTime; renew != nil && now.Round(0).Sub(renew.Time) >= 2*ttl {
		return ""
	}
	return holder
}

// vanished is who has the lease of an object that is not there any more.
func (s *Store) vanished(name string) string {
	if r := s.recordOf(name); time.Now().Before(r.due()) {
		return r.holder
	}
	return ""
}

// prune forgets objects that are not there any more, and whose leases have expired.
func (s *Store) prune(list *coordination.LeaseList) {
	there := make(map[string]bool, len(list.Items))
	for i := range list.Items {
		there[list.Items[i].Name] = true
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, r := range s.seen {
		if !there[name] && !now.Before(r.due()) {
			delete(s.seen, name)
		}
	}
}

// shortWatch is how long a watch that ends without a reason should have been on; API
// servers end them after half an hour or more.
const shortWatch = 5 * time.Second

var errWatchEnded = errors.New("kubelease: the watch has ended")

// watching is a watch: which leases it knows to be held.
type watching struct {
	s       *Store
	prefix  string
	changed func(key string)
	held    map[string]string // by key: the holder
	on      bool              // said so
}

// Watch implements lease.Watcher. It tells of any key when it is on, and then of releases
// and takeovers at once; that a lease has expired nobody tells, so it looks at the time
// itself.
func (s *Store) Watch(ctx context.Context, prefix string, changed func(key string)) error {
	w := &watching{s: s, prefix: prefix, changed: changed, held: make(map[string]string)}
	for {
		list, err := s.list(ctx)
		if err != nil {
			return err
		}
		for i := range list.Items {
			w.note(&list.Items[i])
		}
		begun := time.Now()
		err = w.follow(ctx, list.ResourceVersion)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errWatchEnded) && time.Since(begun) >= shortWatch, apierrors.IsResourceExpired(err), apierrors.IsGone(err):
			// What has happened meanwhile the list will show.
		default:
			return err
		}
	}
}

// follow is told of changes behind a version, until it cannot go on.
func (w *watching) follow(ctx context.Context, version string) error {
	stream, err := w.s.client.Watch(ctx, meta.ListOptions{LabelSelector: selector, ResourceVersion: version})
	if err != nil {
		return fmt.Errorf("kubelease: watch: %w", err)
	}
	defer stream.Stop()
	if !w.on { // once: an owner that knows it asks less often by itself
		w.on = true
		w.changed("")
	}
	timer := time.NewTimer(w.expire())
	defer timer.Stop()
	for {
		select {
		case e, ok := <-stream.ResultChan():
			if !ok {
				return errWatchEnded
			}
			switch object := e.Object.(type) {
			case *coordination.Lease:
				w.happened(e.Type, object)
				timer.Reset(w.expire())
			case *meta.Status:
				return fmt.Errorf("kubelease: watch: %w", apierrors.FromObject(object))
			}
		case <-timer.C:
			timer.Reset(w.expire())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// happened takes an event. A lease whose object was deleted is nobody else's before it
// would have expired: expire tells of it.
func (w *watching) happened(what watch.EventType, object *coordination.Lease) {
	if what == watch.Added || what == watch.Modified {
		w.s.see(object)
		w.note(object)
	}
}

// note compares an object with what is known, and tells of what has ended.
func (w *watching) note(object *coordination.Lease) {
	key, ours := keyOf(object, w.prefix)
	if !ours {
		return
	}
	before, now := w.held[key], w.s.holder(object)
	if now == "" {
		delete(w.held, key)
	} else {
		w.held[key] = now
	}
	if before != "" && before != now {
		w.changed(key)
	}
}

// expire tells of the leases that have expired, and returns how long it is until the next
// may.
func (w *watching) expire() time.Duration {
	const idle = time.Minute
	now, next := time.Now(), idle
	for key := range w.held {
		wait := w.s.recordOf(objectName(key)).due().Sub(now)
		if wait > 0 {
			next = min(next, wait)
			continue
		}
		delete(w.held, key)
		w.changed(key)
	}
	return next
}
