package kubelease

import (
	"context"
	"fmt"
	"time"

	coordination "k8s.io/api/coordination/v1"
)

// noteOf is the note that was left with an object's lease.
func noteOf(object *coordination.Lease) string { return object.Annotations[annotationNote] }

// annotated has a note.
func annotated(next *coordination.Lease, note string) {
	if note == "" {
		delete(next.Annotations, annotationNote)
		return
	}
	setEntry(&next.Annotations, annotationNote, note)
}

// ReleaseNoted implements lease.Noter.
func (s *Store) ReleaseNoted(ctx context.Context, key string, token uint64, note string) error {
	return s.end(ctx, key, token, func(next *coordination.Lease) {
		released(next)
		annotated(next, note)
	})
}

// Annotate implements lease.Noter. It makes one request for each lease, as Renew does.
func (s *Store) Annotate(ctx context.Context, leases map[string]uint64, notes map[string]string) error {
	_, _, err := each(ctx, leases, func(key string) (bool, error) {
		if err := s.annotate(ctx, key, leases[key], notes[key]); err != nil {
			return false, fmt.Errorf("kubelease: annotate %q: %w", key, err)
		}
		return true, nil
	})
	return err
}

func (s *Store) annotate(ctx context.Context, key string, token uint64, note string) error {
	s.mu.Lock()
	h, ok := s.held[key]
	s.mu.Unlock()
	if !ok || h.token != token || !time.Now().Before(h.expires) {
		return nil
	}
	written, err := s.change(ctx, key, h.owner, token, h.object, func(next *coordination.Lease) { annotated(next, note) })
	if err != nil || written == nil {
		return err
	}
	s.keep(key, token, h.expires, written)
	return nil
}
