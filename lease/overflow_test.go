package lease_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// lossy is the subscriber of an owner, of which some events are lost: it is told so instead.
type lossy struct {
	taskvisor.Subscribe
	lost map[taskvisor.EventKind]bool

	mu     sync.Mutex // guards the field below
	looked func()     // called once, when it has looked which tasks there are
}

func (l *lossy) Unwrap() taskvisor.Subscribe { return l.Subscribe }

func (l *lossy) OnEvent(ctx context.Context, e taskvisor.Event) {
	if l.lost[e.Kind] {
		e = taskvisor.Event{Kind: taskvisor.SubscriberOverflow}
	}
	l.Subscribe.OnEvent(ctx, e)
}

func (l *lossy) Attach(snapshot func() taskvisor.Snapshot) error {
	return l.Subscribe.(taskvisor.Attacher).Attach(func() taskvisor.Snapshot {
		defer l.once()
		return snapshot()
	})
}

func (l *lossy) once() {
	l.mu.Lock()
	looked := l.looked
	l.looked = nil
	l.mu.Unlock()
	if looked != nil {
		looked()
	}
}

// joinLossy adds a replica whose owner is not told of these events.
func (f *fleet) joinLossy(kinds ...taskvisor.EventKind) (*replica, *lossy) {
	r := &replica{f: f, name: "lossy", conn: f.engine.Connect()}
	r.owner = r.newOwner(r.conn)
	l := &lossy{Subscribe: r.owner.Subscriber(), lost: make(map[taskvisor.EventKind]bool)}
	for _, k := range kinds {
		l.lost[k] = true
	}
	r.sup, r.rec = taskvisortest.Start(f.t, taskvisor.WithSubscriber(l), taskvisor.WithGrace(margin))
	f.all = append(f.all, r)
	return r, l
}

// A task that begins while its owner looks which ones have ended has not.
func TestTaskThatBeginsWhileEventsAreLost(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r, l := f.joinLossy()
		begin := func() {
			r.add("job", 0)
			time.Sleep(time.Second)
			f.all[0].add("job", 0)
		}
		l.mu.Lock()
		l.looked = begin
		l.mu.Unlock()
		l.OnEvent(t.Context(), taskvisor.Event{Kind: taskvisor.SubscriberOverflow})
		l.mu.Lock()
		looked := l.looked == nil
		l.looked = nil
		l.mu.Unlock()
		if !looked { // it asks the tasks that it has, one by one
			begin()
			l.OnEvent(t.Context(), taskvisor.Event{Kind: taskvisor.SubscriberOverflow})
		}
		time.Sleep(2 * ttl)
		if names := f.witness.Running("job"); len(names) != 1 || names[0] != r.name {
			t.Errorf("it runs in %q", names)
		}
	})
}

// A task whose end was not told gives its lease back all the same.
func TestEndThatIsLost(t *testing.T) {
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		r, _ := f.joinLossy(taskvisor.TaskRemoved, taskvisor.TaskReturned)
		h := r.add("job", 0)
		f.runner("job", nil, time.Second)
		f.all[0].add("job", 0)
		synctest.Wait()
		h.Stop()
		if _, took := f.runner("job", r, ttl); took > 50*time.Millisecond {
			t.Errorf("the handover took %s", took)
		}
	})
}

// Nor does an abandonment that was not told keep a lease for ever: it is left to expire, and
// given back at once if the body comes back before.
func TestAbandonmentThatIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		opts   []taskvisor.TaskOption
		linger time.Duration
		after  time.Duration // the stop, when another begins, at least; at most, the slack later
		lost   int
	}{
		"kept":     {nil, 10 * ttl, margin + ttl - ttl/5, 1},
		"released": {[]taskvisor.TaskOption{taskvisor.WithReleaseOnAbandon()}, 10 * ttl, margin + ttl - ttl/5, 1},
		"back":     {nil, margin + ttl/10, margin + ttl/10, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fleet{t: t}
				b := f.join()
				r, _ := f.joinLossy(taskvisor.TaskAbandoned, taskvisor.TaskReturned, taskvisor.TaskRemoved)
				h := r.add("job", c.linger, c.opts...)
				f.runner("job", nil, time.Second)
				b.add("job", 0)
				synctest.Wait()
				h.Stop()
				stopped := time.Now()
				for len(f.engine.Grants()) == 1 && time.Since(stopped) < 3*ttl {
					time.Sleep(10 * time.Millisecond)
				}
				if took := time.Since(stopped); took < c.after || took > c.after+slack {
					t.Errorf("taken over %s after the stop, want %s", took, c.after)
				}
				lost := r.saw(lease.Lost)
				if len(lost) != c.lost || c.lost > 0 && lost[0].Reason != lease.LostAbandoned {
					t.Errorf("lost %v", lost)
				}
				if n := len(r.saw(lease.Released)); n != 1-c.lost {
					t.Errorf("released %d times", n)
				}
				time.Sleep(10 * ttl)
			})
		})
	}
}
