package taskvisor

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// The tests of this file hold one of the supervisor's locks to stop a goroutine
// of it between two steps, do what must not matter there, and let go. They run
// outside of a bubble, where a goroutine that waits for a mutex counts as
// running.

// heldAt runs step on another goroutine, which gets stuck at a lock that is
// held, does meanwhile once reached reports that it has come so far as can be
// seen, and then releases the lock.
func heldAt(t *testing.T, lock interface {
	Lock()
	Unlock()
}, step func(), reached func() bool, meanwhile func()) {
	t.Helper()
	lock.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		step()
	}()
	func() {
		defer lock.Unlock() // or a failure would never end
		eventually(t, reached)
		meanwhile()
	}()
	<-done
}

// eventually yields until the condition holds. The time limit is for a failure only.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for start := time.Now(); !condition(); runtime.Gosched() {
		if time.Since(start) > 10*time.Second {
			t.Fatal("waited too long")
		}
	}
}

func startedSupervisor(t *testing.T, opts ...Option) *Supervisor {
	t.Helper()
	s, err := New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (t *task) phaseNow() phase {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m.phase
}

// A body that returns while it is being released after its abandonment is
// counted once, and its slot changes hands once.
func TestReturnDuringReleaseIsCountedOnce(t *testing.T) {
	s := startedSupervisor(t)
	back := make(chan struct{})
	h, err := s.Submit(context.Background(), Submission{Task: Once("late", func(context.Context) error {
		<-back
		return nil
	}, WithReleaseOnAbandon(), WithGrace(time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return h.phaseNow() == phaseActive })
	h.Stop()
	heldAt(t, &s.reg.mu, func() { h.abandon("", context.Canceled) },
		func() bool { return h.state() == StateAbandoned },
		func() {
			close(back)
			eventually(t, func() bool { return h.phaseNow() == phaseGone })
		})
	eventually(t, func() bool { return s.Snapshot().State == StateRunning && s.Snapshot().Ended > 0 })
	for range 1000 {
		runtime.Gosched() // whoever still counts
	}
	sn := s.Snapshot()
	if sn.Started != 1 || sn.Ended != 1 || sn.Released != 0 || sn.Removed != 1 || len(sn.Slots) != 0 {
		t.Errorf("started %d, ended %d, released %d, removed %d, %d slots", sn.Started, sn.Ended, sn.Released, sn.Removed, len(sn.Slots))
	}
	if o, known := h.Outcome(); !known || o.Kind != OutcomeAbandoned {
		t.Errorf("outcome %v, known %v", o.Kind, known)
	}
}

// A task that is released is a stray before it is off the list, so that it is
// never missing from a verdict. It is not to be there twice either: the verdict
// takes the lock of every task that it names, and would wait for itself.
func TestReleaseBesideTheVerdict(t *testing.T) {
	s := startedSupervisor(t)
	begun, release := make(chan struct{}), make(chan struct{})
	h, err := s.Add(context.Background(), Once("a", func(context.Context) error {
		close(begun)
		<-release
		return nil
	}, WithReleaseOnAbandon()))
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	h.Stop()
	now, at := s.clock.now()
	h.mu.Lock()
	gone := h.abandonLocked(now, at, "", ErrRemoved)
	h.mu.Unlock()
	isStray := func() bool {
		s.reg.mu.Lock()
		defer s.reg.mu.Unlock()
		return len(s.reg.strays) == 1
	}
	heldAt(t, &h.mu, func() { h.abandonRest(now, at, gone) }, isStray, func() {
		if all := s.reg.all(); len(all) != 1 || all[0] != h {
			t.Errorf("%d tasks would be in the verdict, want 1", len(all))
		}
	})
	close(release)
	eventually(t, func() bool { return !isStray() })
}

type deaf struct{}

func (deaf) OnEvent(context.Context, Event) {}

// A refusal keeps the supervisor from ending until it has been announced: after
// the verdict nothing is.
func TestRefusalIsAnnouncedBeforeTheEnd(t *testing.T) {
	none := func(context.Context) error { return nil }
	ctx := context.Background()
	for name, refused := range map[string]func(s *Supervisor){
		"busy": func(s *Supervisor) {
			s.Submit(ctx, Submission{Task: Once("late", none), Slot: "s", Admission: DropIfRunning})
		},
		"taken":  func(s *Supervisor) { s.Submit(ctx, Submission{Task: Once("owner", none), Slot: "other"}) },
		"Add":    func(s *Supervisor) { s.Add(ctx, Once("owner", none)) },
		"AddAll": func(s *Supervisor) { s.AddAll(ctx, Once("other", none), Once("owner", none)) },
	} {
		t.Run(name, func(t *testing.T) { refusedLate(t, refused) })
	}
}

// refusedLate has a call refused while all that is registered is abandoned, and
// holds it before it can announce that.
func refusedLate(t *testing.T, refused func(s *Supervisor)) {
	s := startedSupervisor(t, WithSubscriber(deaf{}), WithGrace(0))
	back := make(chan struct{})
	h, err := s.Submit(context.Background(), Submission{Task: Once("owner", func(context.Context) error { <-back; return nil }), Slot: "s"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return h.phaseNow() == phaseActive })
	h.Cancel(context.Background())
	eventually(t, func() bool { return !s.reg.isLive() })
	heldAt(t, &s.fan.ring.mu, func() { refused(s) }, s.reg.isLive, func() {})
	close(back)
	eventually(t, func() bool { return !s.reg.isLive() && h.phaseNow() == phaseGone && len(s.List()) == 0 })
}
