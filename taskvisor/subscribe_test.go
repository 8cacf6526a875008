package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A queued subscriber gets every event in the order of the numbers, contiguous
// from 1, one call at a time, and has seen all when Run returns.
func TestQueuedIsFIFOAndOneAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var calls, total atomic.Int32
		var last uint64
		var lastKind taskvisor.EventKind
		watch := queuedFunc(func(_ context.Context, e taskvisor.Event) {
			if calls.Add(1) != 1 {
				t.Error("two calls at a time")
			}
			if e.Seq != last+1 || e.Supervisor != "named" || e.Time.IsZero() {
				t.Errorf("event %v after %d", e, last)
			}
			last, lastKind = e.Seq, e.Kind
			total.Add(1)
			runtime.Gosched()
			calls.Add(-1)
		})
		sup, rec := newSup(t, taskvisor.WithSubscriber(watch), taskvisor.WithName("named"))
		var specs []taskvisor.TaskSpec
		for i := range 20 {
			specs = append(specs, taskvisor.Restartable(fmt.Sprint(i), taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Succeed()), taskvisor.ConstantBackoff(time.Second)))
		}
		if err := sup.Run(context.Background(), specs...); err != nil {
			t.Fatal(err)
		}
		if n := len(rec.Events()); last != uint64(n) || int(total.Load()) != n || lastKind != taskvisor.AllStoppedWithinGrace {
			t.Errorf("%d of %d events, the last is %v", total.Load(), n, lastKind)
		}
		sn := sup.Snapshot().Subscribers[1]
		if sn.Delivered != last || sn.Queued != 0 || sn.Dropped != nil || sn.Capacity != 65536 || sn.Inline || sn.Panics != 0 {
			t.Errorf("accounts %+v", sn)
		}
	})
}

// hanging blocks at its first event until it is released.
type hanging struct {
	release chan struct{}
	calls   atomic.Int32
}

func (h *hanging) OnEvent(context.Context, taskvisor.Event) {
	h.calls.Add(1)
	<-h.release
}

// A subscriber that blocks for ever harms itself only. Tasks go on, others see
// everything, and the shutdown waits for it as long as the drain allows.
func TestBlockedSubscriberHarmsNobody(t *testing.T) {
	for _, grace := range []string{"tidy", "stubborn"} {
		t.Run(grace, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				bad := &hanging{release: make(chan struct{})}
				var seen atomic.Int32
				good := queuedFunc(func(context.Context, taskvisor.Event) { seen.Add(1) })
				sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(3*time.Second), taskvisor.WithSubscriberDrain(2*time.Second),
					taskvisor.WithSubscriber(bad, taskvisor.Queued(8), taskvisor.WithName("bad")), taskvisor.WithSubscriber(good))
				begun := time.Now()
				for i := range 1000 {
					outcomeOf(t, addTo(t, sup, taskvisor.Once(fmt.Sprint(i), taskvisortest.Script(taskvisortest.Succeed()))))
				}
				if time.Since(begun) != 0 {
					t.Errorf("a thousand instant tasks took %v", time.Since(begun))
				}
				release, want := make(chan struct{}), 2*time.Second
				if grace == "stubborn" {
					addTo(t, sup, taskvisor.Once("a", stubborn(release)))
					want += 3 * time.Second
				}
				synctest.Wait()
				begun = time.Now()
				sup.Shutdown(context.Background())
				if got := time.Since(begun); got != want {
					t.Errorf("the shutdown took %v, want %v", got, want)
				}
				if n := len(rec.Events()); int(seen.Load()) != n || bad.calls.Load() != 1 {
					t.Errorf("the good one saw %d of %d, the bad one was called %d times", seen.Load(), n, bad.calls.Load())
				}
				var st taskvisor.SubscriberStatus
				for _, s := range sup.Snapshot().Subscribers {
					if s.Name == "bad" {
						st = s
					}
				}
				var dropped uint64
				for _, n := range st.Dropped {
					dropped += n
				}
				if st.Queued != 0 || st.Delivered+dropped != uint64(len(rec.Events())) {
					t.Errorf("its accounts: %+v, %d dropped of %d", st, dropped, len(rec.Events()))
				}
				close(release)
				close(bad.release)
			})
		})
	}
}

// Drain 0 waits for nobody.
func TestDrainZero(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bad := &hanging{release: make(chan struct{})}
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriberDrain(0), taskvisor.WithSubscriber(bad))
		outcomeOf(t, addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed()))))
		begun := time.Now()
		if err := sup.Shutdown(context.Background()); err != nil || time.Since(begun) != 0 {
			t.Errorf("Shutdown: %v after %v", err, time.Since(begun))
		}
		close(bad.release)
	})
}

// The drain is counted from the verdict and shared by all subscribers.
func TestDrainIsSharedAndCountsFromTheVerdict(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var bad []*hanging
		opts := []taskvisor.Option{taskvisor.WithSubscriberDrain(5 * time.Second)}
		for range 10 {
			bad = append(bad, &hanging{release: make(chan struct{})})
			opts = append(opts, taskvisor.WithSubscriber(bad[len(bad)-1]))
		}
		sup, rec := taskvisortest.Start(t, opts...)
		addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Ignore(4*time.Second))))
		synctest.Wait()
		begun := time.Now()
		sup.Shutdown(context.Background())
		if got := time.Since(begun); got != 9*time.Second {
			t.Errorf("the shutdown took %v, want 4 s of a body and 5 s of drain", got)
		}
		if v := rec.Events("")[1]; v.Duration != 4*time.Second {
			t.Errorf("verdict %v", v)
		}
		for _, b := range bad {
			close(b.release)
		}
	})
}

// A slow subscriber that needs part of the drain gets everything, and only then
// is Run over.
func TestDrainWaitsForTheSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := 0
		slow := queuedFunc(func(context.Context, taskvisor.Event) { time.Sleep(100 * time.Millisecond); n++ })
		sup, rec := newSup(t, taskvisor.WithSubscriber(slow))
		begun := time.Now()
		if err := sup.Run(context.Background(), taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed()))); err != nil {
			t.Fatal(err)
		}
		if n != len(rec.Events()) || time.Since(begun) != time.Duration(n)*100*time.Millisecond {
			t.Errorf("%d of %d after %v", n, len(rec.Events()), time.Since(begun))
		}
	})
}

// The ctx of OnEvent ends with the drain deadline, not before.
func TestEventContextEndsAtTheDrainDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var ended time.Time
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriberDrain(7*time.Second),
			taskvisor.WithSubscriber(queuedFunc(func(ctx context.Context, e taskvisor.Event) {
				if e.Kind == taskvisor.TaskStarting {
					<-ctx.Done()
					ended = time.Now()
				}
			})))
		outcomeOf(t, addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed()))))
		begun := time.Now()
		sup.Shutdown(context.Background())
		synctest.Wait()
		if got := ended.Sub(begun); got != 7*time.Second {
			t.Errorf("its ctx ended after %v", got)
		}
	})
}

// Values of the attempt's context reach OnEvent: those given to Add, and what
// brackets put on top; its cancellation does not.
func TestEventContextCarriesValues(t *testing.T) {
	type given struct{}
	type added struct{}
	bubble(t, func(t *testing.T) {
		check := func(who string) func(ctx context.Context, e taskvisor.Event) {
			return func(ctx context.Context, e taskvisor.Event) {
				if e.Task == "" {
					return
				}
				if got := ctx.Value(given{}); got != "given" {
					t.Errorf("%s, %v: the value given to Add is %v", who, e.Kind, got)
				}
				during := e.Kind == taskvisor.TaskStarting || e.Kind == taskvisor.TimeoutHit || e.Kind == taskvisor.TaskFailed
				if got := ctx.Value(added{}); during && got != e.Attempt {
					t.Errorf("%s, %v of attempt %d: the bracket's value is %v", who, e.Kind, e.Attempt, got)
				}
				if ctx.Err() != nil {
					t.Errorf("%s, %v: %v", who, e.Kind, ctx.Err())
				}
				if a, ok := taskvisor.FromContext(ctx); ok && a.TaskID != e.TaskID {
					t.Errorf("%s, %v of task %d: the context is task %d's", who, e.Kind, e.TaskID, a.TaskID)
				}
			}
		}
		sup, _ := taskvisortest.Start(t,
			taskvisor.WithSubscriber(inlineFunc(check("inline"))), taskvisor.WithSubscriber(queuedFunc(check("queued"))),
			taskvisor.WithSubscriber(&bracket{begin: func(ctx context.Context, a taskvisor.Attempt) context.Context {
				return context.WithValue(ctx, added{}, a.Number)
			}}))
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), given{}, "given"))
		var child *taskvisor.Handle
		h, err := sup.Add(ctx, taskvisor.Once("parent", func(ctx context.Context) error {
			// What an attempt starts has its values, and is not it.
			var err error
			child, err = sup.Add(ctx, taskvisor.Restartable("child", taskvisortest.Script(taskvisortest.Block()), taskvisor.WithTimeout(time.Second), taskvisor.WithMaxRetries(2)))
			return err
		}))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		outcomeOf(t, h)
		outcomeOf(t, child)
	})
}

// A panic costs the event, is counted and reported; the report of a report is
// not reported.
func TestPanickingSubscriber(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := 0
		bad := queuedFunc(func(context.Context, taskvisor.Event) { n++; panic(errBoom) })
		sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(bad, taskvisor.WithName("bad")))
		outcomeOf(t, addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed()))))
		st := sup.Snapshot().Subscribers[1]
		if st.Panics != uint64(n) || st.Delivered != uint64(n) || st.Queued != 0 {
			t.Errorf("%d calls, accounts %+v", n, st)
		}
		wantTrace(t, rec, "a", "A S ✓ E D")
		reports := 0
		for _, e := range rec.Events() {
			if e.Kind != taskvisor.SubscriberPanicked {
				continue
			}
			reports++
			var p *taskvisor.PanicError
			if e.Subscriber != "bad" || !errors.As(e.Err, &p) || p.Value != errBoom || e.Stack == "" {
				t.Errorf("report %v, %v", e, e.Err)
			}
		}
		if reports != 5 || n != 10 { // about five events of the task, and none about reports
			t.Errorf("%d reports in %d calls", reports, n)
		}
	})
}

// Goexit costs the event and the worker, which is replaced.
func TestGoexitInAQueuedSubscriber(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen []taskvisor.EventKind
		bad := queuedFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.SubscriberPanicked {
				if !errors.Is(e.Err, taskvisor.ErrGoexit) || e.Subscriber != "bad" {
					t.Errorf("report %v", e)
				}
				return
			}
			seen = append(seen, e.Kind)
			runtime.Goexit()
		})
		sup, rec := newSup(t, taskvisor.WithSubscriber(bad, taskvisor.WithName("bad")))
		if err := sup.Run(context.Background(), taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed()))); err != nil {
			t.Fatal(err)
		}
		wantTrace(t, rec, "a", "A S ✓ E D")
		if st := sup.Snapshot().Subscribers[1]; len(seen) != 6 || st.Panics != 6 {
			t.Errorf("saw %v, accounts %+v", seen, st)
		}
	})
}

// A subscriber that panics or exits at everything does not slow an Add down, nor
// does one that hangs.
func TestAddBesideBadSubscribers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bad := &hanging{release: make(chan struct{})}
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(bad, taskvisor.Queued(1)),
			taskvisor.WithSubscriber(queuedFunc(func(context.Context, taskvisor.Event) { panic(1) }), taskvisor.Queued(1)),
			taskvisor.WithSubscriber(queuedFunc(func(context.Context, taskvisor.Event) { runtime.Goexit() }), taskvisor.Queued(1)),
			taskvisor.WithSubscriber(queuedFunc(func(context.Context, taskvisor.Event) { time.Sleep(time.Hour) })))
		begun := time.Now()
		for i := range 100 {
			addTo(t, sup, taskvisor.Once(fmt.Sprint(i), idle))
		}
		if time.Since(begun) != 0 {
			t.Errorf("a hundred Adds took %v", time.Since(begun))
		}
		sup.Shutdown(context.Background())
		if got := time.Since(begun); got != 5*time.Second {
			t.Errorf("the shutdown ended after %v, want the drain's 5 s", got)
		}
		close(bad.release)
		time.Sleep(2 * time.Hour)
	})
}
