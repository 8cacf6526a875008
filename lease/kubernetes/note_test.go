package kubelease_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	coordination "k8s.io/api/coordination/v1"

	kubelease "github.com/taskvisor/taskvisor-go/lease/kubernetes"
)

func annotate(t *testing.T, s *kubelease.Store, key string, token uint64, note string) {
	t.Helper()
	if err := s.Annotate(context.Background(), map[string]uint64{key: token}, map[string]string{key: note}); err != nil {
		t.Fatal(err)
	}
}

// A note changes the object, and is no renewal: whoever has seen the lease takes it a ttl
// after the last one, and not a ttl after the last note.
func TestNoteIsNoRenewal(t *testing.T) {
	const wide = 3 * ttl
	s, ctx := start(t), context.Background()
	a, b, k := kubelease.New(leases(t, s, nil)), kubelease.New(leases(t, s, nil)), key(t, "k")
	asked := time.Now()
	first := takeFor(t, a, k, "a", wide)
	for n := 0; ; n++ {
		annotate(t, a, k, first, fmt.Sprint(n))
		second, note, err := b.AcquireNoted(ctx, k, "b", wide)
		if took := time.Since(asked); err == nil {
			t.Logf("taken over %s after the last renewal", took)
			if took < wide || took > wide*3/2 || second <= first || note == "" {
				t.Errorf("token %d after %s, with the note %q", second, took, note)
			}
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// A note is in an annotation, comes over whatever else is edited there, and does not cost
// the lease.
func TestNoteOfAnEditedObject(t *testing.T) {
	s := start(t)
	admin := s.Admin().CoordinationV1().Leases(namespace)
	a, k := kubelease.New(leases(t, s, nil)), key(t, "k")
	first := take(t, a, k, "a")
	edit(t, admin, k, func(l *coordination.Lease) { l.Annotations["theirs"] = "kept" }) // the version is another
	annotate(t, a, k, first, "one")
	if lost(t, a, k, "a", first) {
		t.Error("the lease is lost")
	}
	annotate(t, a, k, first, "two")
	if l := object(t, admin, k); l.Annotations["taskvisor.github.io/note"] != "two" || l.Annotations["theirs"] != "kept" {
		t.Errorf("%v", l.Annotations)
	}
	if err := a.ReleaseNoted(context.Background(), k, first, ""); err != nil {
		t.Fatal(err)
	}
	if l := object(t, admin, k); l.Spec.HolderIdentity != nil || len(l.Annotations) != 3 {
		t.Errorf("%v", l.Annotations)
	}
}
