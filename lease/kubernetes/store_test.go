package kubelease_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"testing"
	"time"

	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/taskvisor/taskvisor-go/lease"
	kubelease "github.com/taskvisor/taskvisor-go/lease/kubernetes"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
)

// The suite, with no other rights than the Role of the manifests gives. What was not
// watched expires a ttl later than elsewhere.
func TestStore(t *testing.T) {
	s := start(t)
	keys := 300 // one request each
	if testing.Short() {
		keys = 50
	}
	leasetest.TestStore(t, leasetest.Engine{
		Open: func(t *testing.T) lease.Store { return kubelease.New(leases(t, s, nil)) },
		Restart: func(t *testing.T) {
			s.Kill()
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
		},
		TTL: ttl, Late: ttl + time.Second, Keys: keys,
	})
}

// A user deletes an object whose lease is held: the holder learns of it, its answer does
// not bring the object back, whoever has seen the lease waits until it would have expired,
// and tokens go on growing.
func TestDeletedByAUser(t *testing.T) {
	s, ctx := start(t), context.Background()
	admin := s.Admin().CoordinationV1().Leases(namespace)
	a, b, k := kubelease.New(leases(t, s, nil)), kubelease.New(leases(t, s, nil)), key(t, "k")
	first := takeFor(t, a, k, "a", ttl)
	asked := time.Now()
	if _, err := b.Acquire(ctx, k, "b", ttl); !errors.Is(err, lease.ErrHeld) {
		t.Fatalf("it is held: %v", err)
	}
	if err := admin.Delete(ctx, object(t, admin, k).Name, meta.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if holders, err := b.Holders(ctx, k); err != nil || len(holders) != 0 { // which forgets nothing too soon
		t.Errorf("holders %v: %v", holders, err)
	}
	var held *lease.HeldError
	if _, err := b.Acquire(ctx, k, "b", ttl); time.Since(asked) < ttl && (!errors.As(err, &held) || held.Holder != "a") {
		t.Errorf("who has seen it held takes it at once: %v", err)
	}
	if !lost(t, a, k, "a", first) {
		t.Error("the holder does not learn of it")
	}
	if l := object(t, admin, k); l != nil {
		t.Errorf("a renewal has brought back %+v", l.Spec)
	}
	if err := a.Release(ctx, k, first); err != nil {
		t.Errorf("release: %v", err)
	}
	second, err := b.Acquire(ctx, k, "b", ttl)
	for ; err != nil; second, err = b.Acquire(ctx, k, "b", ttl) {
		if !errors.Is(err, lease.ErrHeld) || time.Since(asked) > 10*ttl {
			t.Fatalf("after the ttl: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if time.Since(asked) < ttl {
		t.Error("it was given before it would have expired")
	}
	if second <= first {
		t.Errorf("token %d after %d", second, first)
	}
	edit(t, admin, k, func(l *coordination.Lease) { l.Spec.HolderIdentity = nil })
	if err := admin.Delete(ctx, object(t, admin, k).Name, meta.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if third := take(t, kubelease.New(leases(t, s, nil)), k, "c"); third <= second {
		t.Errorf("token %d after %d", third, second)
	}
}

// The holder itself has its lease again at once, as another one.
func TestHolderTakesItAgainAfterADeletion(t *testing.T) {
	s, ctx := start(t), context.Background()
	admin := s.Admin().CoordinationV1().Leases(namespace)
	a, k := kubelease.New(leases(t, s, nil)), key(t, "k")
	first := take(t, a, k, "a")
	if err := admin.Delete(ctx, object(t, admin, k).Name, meta.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	second := take(t, a, k, "a")
	if second <= first {
		t.Errorf("token %d after %d", second, first)
	}
	if lost(t, a, k, "a", second) || !lost(t, a, k, "a", first) {
		t.Error("it is the wrong one that is lost")
	}
}

// Tokens grow over whatever is done to what they are made of.
func TestTokensGrowOverEdits(t *testing.T) {
	s := start(t)
	admin := s.Admin().CoordinationV1().Leases(namespace)
	for name, change := range map[string]func(l *coordination.Lease){
		"nothing": func(*coordination.Lease) {},
		"no annotations": func(l *coordination.Lease) {
			l.Annotations = map[string]string{"taskvisor.github.io/key": l.Annotations["taskvisor.github.io/key"]}
		},
		"nonsense":  func(l *coordination.Lease) { l.Annotations["taskvisor.github.io/origin"] = "-1" },
		"no count":  func(l *coordination.Lease) { l.Spec.LeaseTransitions = nil },
		"no labels": func(l *coordination.Lease) { l.Labels = nil },
	} {
		t.Run(name, func(t *testing.T) {
			a, k := kubelease.New(leases(t, s, nil)), key(t, "k")
			first := take(t, a, k, "a")
			edit(t, admin, k, change)
			second := take(t, a, k, "a")
			if second <= first {
				t.Errorf("token %d after %d", second, first)
			}
			if holders, err := a.Holders(context.Background(), k); err != nil || holders[k] != "a" {
				t.Errorf("holders %v: %v", holders, err)
			}
		})
	}
}

// The count of an object has 31 bits; it begins anew, and tokens do not.
func TestTokensGrowOverTheEndOfTheCount(t *testing.T) {
	s := start(t)
	admin := s.Admin().CoordinationV1().Leases(namespace)
	a, k := kubelease.New(leases(t, s, nil)), key(t, "k")
	take(t, a, k, "a")
	// As it would be after so many acquisitions, each a version of its own: 2^31 of them
	// lie between the origin and now.
	edit(t, admin, k, func(l *coordination.Lease) {
		most := int32(math.MaxInt32)
		l.Spec.LeaseTransitions = &most
		l.Annotations["taskvisor.github.io/origin"] = "0"
	})
	if token := take(t, a, k, "a"); token == 0 {
		t.Error("no token")
	}
	if l := object(t, admin, k); *l.Spec.LeaseTransitions != 1 || l.Annotations["taskvisor.github.io/origin"] == "0" {
		t.Errorf("%v, %v", l.Annotations, *l.Spec.LeaseTransitions)
	}
}

// What is seen for the first time is judged by the clocks of two machines, which may differ
// by the ttl; what was watched, by the local one alone.
func TestClocks(t *testing.T) {
	const wide = 3 * ttl
	s, ctx := start(t), context.Background()
	admin := s.Admin().CoordinationV1().Leases(namespace)
	for name, c := range map[string]struct {
		ago  time.Duration // of the renewal, by the holder's clock
		free bool
	}{
		"now":                       {0, false},
		"before the ttl":            {wide - time.Second, false},
		"within what clocks differ": {2*wide - 3*time.Second, false},
		"long ago":                  {2 * wide, true},
		"in the future":             {-time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b, k := kubelease.New(leases(t, s, nil)), kubelease.New(leases(t, s, nil)), key(t, "k")
			first := takeFor(t, a, k, "a", wide)
			var now time.Time
			edit(t, admin, k, func(l *coordination.Lease) {
				now = time.Now()
				then := meta.NewMicroTime(now.Add(-c.ago))
				l.Spec.RenewTime = &then
			})
			asked := time.Now()
			token, err := b.Acquire(ctx, k, "b", wide)
			if took := time.Since(now); !c.free && took > 2*time.Second {
				t.Skipf("the answer took %s: the machine is too busy for a verdict", took)
			}
			if free := err == nil; free != c.free {
				t.Fatalf("token %d, %v", token, err)
			}
			if c.free {
				if token <= first {
					t.Errorf("token %d after %d", token, first)
				}
				return
			}
			for ; err != nil; _, err = b.Acquire(ctx, k, "b", wide) {
				if !errors.Is(err, lease.ErrHeld) || time.Since(asked) > 5*wide {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Millisecond)
			}
			if c.ago <= 0 && time.Since(asked) < wide {
				t.Error("it was taken before it has been looked at for the ttl")
			}
		})
	}
}

// A change that was seen counts from then: the clock of whoever made it may be hours behind.
func TestNoClockForWhatWasWatched(t *testing.T) {
	s, ctx := start(t), context.Background()
	admin := s.Admin().CoordinationV1().Leases(namespace)
	a, b, k := kubelease.New(leases(t, s, nil)), kubelease.New(leases(t, s, nil)), key(t, "k")
	token := take(t, a, k, "a")
	for range 2 {
		if holders, err := b.Holders(ctx, k); err != nil || holders[k] != "a" {
			t.Errorf("holders %v: %v", holders, err)
		}
		if lost(t, a, k, "a", token) {
			t.Fatal("it is lost")
		}
		edit(t, admin, k, func(l *coordination.Lease) {
			then := meta.NewMicroTime(l.Spec.RenewTime.Add(-time.Hour))
			l.Spec.RenewTime = &then
		})
	}
	annotate(t, a, k, token, "a note is no first sight")
	if token, err := b.Acquire(ctx, k, "b", long); !errors.Is(err, lease.ErrHeld) {
		t.Errorf("token %d of a lease whose renewals it has seen: %v", token, err)
	}
}

// A name can be read, and a copy of an object under another is nobody's lease.
func TestNames(t *testing.T) {
	s, ctx := start(t), context.Background()
	admin := s.Admin().CoordinationV1().Leases(namespace)
	a := kubelease.New(leases(t, s, nil))
	const k = "taskvisor/Billing of June"
	token := take(t, a, k, "a")
	l := object(t, admin, k)
	const readable = "taskvisor-billing-of-june-"
	if len(l.Name) != len(readable)+26 || l.Name[:len(readable)] != readable {
		t.Errorf("it is called %q", l.Name)
	}
	fake := &coordination.Lease{ObjectMeta: meta.ObjectMeta{Name: "zz-copy", Labels: l.Labels, Annotations: l.Annotations}, Spec: l.Spec}
	other := "somebody"
	fake.Spec.HolderIdentity = &other
	if _, err := admin.Create(ctx, fake, meta.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	holders, err := a.Holders(ctx, k)
	if err := admin.Delete(ctx, "zz-copy", meta.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err != nil || len(holders) != 1 || holders[k] != "a" {
		t.Errorf("holders %v: %v", holders, err)
	}
	if err := a.Release(ctx, k, token); err != nil {
		t.Error(err)
	}
	if l := object(t, admin, k); l == nil || l.Spec.HolderIdentity != nil || *l.Spec.LeaseTransitions == 0 {
		t.Errorf("a release leaves %+v", l)
	}
}

// An answer that comes late, with a version that was seen before a later one, does not
// have the time of waiting begin anew.
func TestOldAnswers(t *testing.T) {
	s, ctx := start(t), context.Background()
	admin := s.Admin().CoordinationV1().Leases(namespace)
	n := &network{}
	a, b, k := kubelease.New(leases(t, s, nil)), kubelease.New(leases(t, s, n.wrap)), key(t, "k")
	takeFor(t, a, k, "a", ttl)
	old := object(t, admin, k).ResourceVersion
	edit(t, admin, k, func(l *coordination.Lease) { // no clock has it expire
		then := meta.NewMicroTime(time.Now().Add(time.Hour))
		l.Spec.RenewTime = &then
	})
	n.set(func() {
		n.rewrite = func(r *http.Request) { // lists show what was then
			if q := r.URL.Query(); q.Has("labelSelector") {
				q.Set("resourceVersion", old)
				q.Set("resourceVersionMatch", string(meta.ResourceVersionMatchExact))
				u := *r.URL
				u.RawQuery = q.Encode()
				r.URL = &u
			}
		}
	})
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		_, err := b.Acquire(ctx, k, "b", ttl)
		if err == nil {
			return
		}
		if !errors.Is(err, lease.ErrHeld) || time.Since(begun) > 10*ttl {
			t.Fatal(err)
		}
		if holders, err := b.Holders(ctx, k); err != nil || len(holders) > 1 {
			t.Fatalf("holders %v: %v", holders, err)
		}
	}
}
