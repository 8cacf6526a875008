package lease_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// lame is a store whose requests are carried out at once and answered late, whatever
// their contexts say.
type lame struct {
	*leasetest.Conn

	mu      sync.Mutex
	acquire time.Duration
	renew   time.Duration
	renewed time.Time // when the last renewal was carried out
}

func (l *lame) wait(d *time.Duration) {
	l.mu.Lock()
	late := *d
	l.mu.Unlock()
	time.Sleep(late)
}

func (l *lame) Acquire(ctx context.Context, key, owner string, ttl time.Duration) (uint64, error) {
	token, err := l.Conn.Acquire(ctx, key, owner, ttl)
	l.wait(&l.acquire)
	return token, err
}

func (l *lame) AcquireNoted(ctx context.Context, key, owner string, ttl time.Duration) (uint64, string, error) {
	token, note, err := l.Conn.AcquireNoted(ctx, key, owner, ttl)
	l.wait(&l.acquire)
	return token, note, err
}

func (l *lame) Renew(ctx context.Context, owner string, held map[string]uint64, ttl time.Duration) ([]string, error) {
	lost, err := l.Conn.Renew(ctx, owner, held, ttl)
	if err == nil {
		l.mu.Lock()
		l.renewed = time.Now()
		l.mu.Unlock()
	}
	l.wait(&l.renew)
	return lost, err
}

// joinLame adds a replica with such a store.
func (f *fleet) joinLame() (*replica, *lame) {
	r := &replica{f: f, name: "lame", conn: f.engine.Connect()}
	store := &lame{Conn: r.conn}
	r.owner = r.newOwner(store)
	r.sup, r.rec = taskvisortest.Start(f.t, taskvisor.WithSubscriber(r.owner.Subscriber()), taskvisor.WithGrace(margin))
	f.all = append(f.all, r)
	return r, store
}

// A grant whose answer comes when the lease cannot be relied on any more is given back.
func TestGrantThatComesTooLate(t *testing.T) {
	inFleet(t, 0, func(t *testing.T, f *fleet) {
		r, store := f.joinLame()
		store.acquire = ttl * 4 / 5
		r.add("job", 0)
		time.Sleep(3 * ttl)
		if len(f.witness.Running("job")) != 0 || len(r.saw(lease.Acquired)) != 0 {
			t.Error("it began under a lease that was about to expire")
		}
		store.mu.Lock()
		store.acquire = 0
		store.mu.Unlock()
		f.runner("job", nil, 2*ttl)
	})
}

// The deadline counts from when a renewal was sent, not from its answer.
func TestDeadlineCountsFromTheRequest(t *testing.T) {
	inFleet(t, 0, func(t *testing.T, f *fleet) {
		r, store := f.joinLame()
		r.add("job", 0)
		f.runner("job", nil, time.Second)
		store.mu.Lock()
		store.renew = ttl / 5
		store.mu.Unlock()
		time.Sleep(2*ttl + ttl/9)
		r.conn.Cut(true)
		time.Sleep(ttl)
		lost := r.saw(lease.Lost)
		if len(lost) != 1 {
			t.Fatalf("lost %v", lost)
		}
		store.mu.Lock()
		renewed := store.renewed
		store.mu.Unlock()
		if after := lost[0].Time.Sub(renewed); after > ttl-margin {
			t.Errorf("it was relied on for %s after the last renewal", after)
		}
		r.conn.Cut(false)
	})
}

// An abandoned body that comes back before the lease has expired gives it up at once.
func TestAbandonedReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{t: t}
		a, b := f.join(), f.join()
		h := a.add("job", margin+ttl/10)
		f.runner("job", nil, time.Second)
		b.add("job", 0)
		synctest.Wait()
		h.Stop()
		if _, took := f.runner("job", a, 2*ttl); took > margin+ttl/10+50*time.Millisecond {
			t.Errorf("taken over %s after the stop", took)
		}
		if o, _ := h.Outcome(); o.Kind != taskvisor.OutcomeAbandoned {
			t.Errorf("the outcome is %v", o.Kind)
		}
		if n := len(a.saw(lease.Lost)); n != 0 {
			t.Error("the lease was lost")
		}
	})
}

// A lease that expires under a body that is not waited for is not asked for before, in
// the same process either.
func TestAbandonedHoldsBackItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{t: t}
		r := f.join()
		h := r.add("job", 10*ttl, taskvisor.WithReleaseOnAbandon())
		f.runner("job", nil, time.Second)
		time.Sleep(3 * ttl)
		if _, err := h.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		abandoned := time.Now()
		synctest.Wait() // what is added before our subscriber has heard of it overlaps, as WithReleaseOnAbandon says
		begun := make(chan time.Time, 1)
		r.addSpec(taskvisor.Once("job", func(context.Context) error { begun <- time.Now(); return nil }, r.owner.Singleton("job")))
		if took := (<-begun).Sub(abandoned); took < ttl-ttl/5 || took > ttl+slack {
			t.Errorf("the next began %s after the abandonment", took)
		}
		time.Sleep(10 * ttl)
	})
}

// sluggish is a bracket that takes its time.
type sluggish struct{ d time.Duration }

func (sluggish) OnEvent(context.Context, taskvisor.Event) {}

func (s sluggish) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context {
	time.Sleep(s.d)
	return ctx
}

func (sluggish) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) {}

// A body whose lease was lost between the gate and its begin is not called, be it that
// brackets before or after that of the lease took so long: another replica may have begun.
func TestLostBeforeTheBodyBegins(t *testing.T) {
	for name, before := range map[string]bool{"before": true, "after": false} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, 1, func(t *testing.T, f *fleet) {
				r := &replica{f: f, name: "slow", conn: f.engine.Connect()}
				r.owner = r.newOwner(r.conn)
				slow, ours := taskvisor.WithSubscriber(sluggish{3 * ttl}, taskvisor.Inline()), taskvisor.WithSubscriber(r.owner.Subscriber())
				if !before {
					slow, ours = ours, slow
				}
				r.sup, r.rec = taskvisortest.Start(t, slow, ours, taskvisor.WithGrace(margin))
				f.all = append(f.all, r)
				h := r.add("job", 0)
				synctest.Wait()
				r.conn.Cut(true)
				other := f.all[0].add("job", 0)
				time.Sleep(3*ttl + time.Second)
				if st := h.Status(); st.State != taskvisor.StatePending || st.Attempt != 0 || f.witness.Refused() != 0 {
					t.Errorf("it is %v, attempt %d; %d stale writes", st.State, st.Attempt, f.witness.Refused())
				}
				r.conn.Cut(false)
				other.Stop()
				time.Sleep(4 * ttl)
				if names := f.witness.Running("job"); len(names) != 1 || names[0] != "slow" {
					t.Errorf("then it runs in %q", names)
				}
			})
		})
	}
}

// A release that is not answered is given up when the lease has expired anyway.
func TestReleaseIsGivenUp(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r := f.all[0]
		h := r.add("job", 0)
		f.runner("job", nil, time.Second)
		f.engine.SetDown(true)
		h.Stop()
		time.Sleep(2 * ttl)
		if ls := r.owner.Status(); len(ls) != 0 {
			t.Errorf("left: %+v", ls)
		}
	})
}

// A submission that took the slot keeps it before its attempt begins.
func TestSlotIsKeptByAPausedTask(t *testing.T) {
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		h, err := f.all[0].submit(t.Context(), "one", "k", taskvisor.DropIfRunning, taskvisor.WithStartPaused())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * ttl)
		if _, err := f.all[1].submit(t.Context(), "two", "k", taskvisor.DropIfRunning); !errors.Is(err, lease.ErrHeld) {
			t.Errorf("it was given away: %v", err)
		}
		h.Resume(nil)
		f.runner("k", nil, time.Second)
	})
}
