package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// inlineFunc is an inline subscriber made of a function.
type inlineFunc func(ctx context.Context, e taskvisor.Event)

func (f inlineFunc) OnEvent(ctx context.Context, e taskvisor.Event) { f(ctx, e) }

func (f inlineFunc) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

// arrivals remembers what came, in the order in which it came, by task.
type arrivals struct {
	mu    sync.Mutex
	tasks map[taskvisor.TaskID][]taskvisor.Event
	n     int
}

func (a *arrivals) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

func (a *arrivals) OnEvent(_ context.Context, e taskvisor.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tasks == nil {
		a.tasks = map[taskvisor.TaskID][]taskvisor.Event{}
	}
	a.tasks[e.TaskID] = append(a.tasks[e.TaskID], e)
	a.n++
}

func (a *arrivals) check(t *testing.T) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, events := range a.tasks {
		for i := 1; i < len(events) && id != 0; i++ {
			if events[i].Seq <= events[i-1].Seq {
				t.Errorf("task %d: %v came before %v", id, events[i-1], events[i])
			}
		}
	}
}

// Every event reaches an inline subscriber, once, in the order of its task,
// whoever makes the transition: bodies, timers, callers of Stop, the shutdown.
func TestInlineOrderConcurrentSafe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		seen := &arrivals{}
		sup, err := taskvisor.New(taskvisor.WithSubscriber(seen), taskvisor.WithMaxConcurrent(5))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		var callers group
		for i := range 20 {
			callers.Go(func() {
				for n := range 10 {
					h := addTo(t, sup, taskvisor.Restartable(fmt.Sprint(i, n),
						taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Block(), taskvisortest.Panic(1)),
						taskvisor.WithTimeout(time.Millisecond), taskvisor.ConstantBackoff(time.Millisecond), taskvisor.WithMaxRetries(5)))
					if n%3 != 0 {
						time.Sleep(time.Duration(n) * time.Millisecond)
						h.Stop()
					}
				}
			})
		}
		callers.Wait()
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		seen.check(t)
		if sn := sup.Snapshot(); uint64(seen.n) != sn.Seq || sn.Subscribers[0].Delivered != sn.Seq || !sn.Subscribers[0].Inline || sn.Subscribers[0].Capacity != 0 {
			t.Errorf("%d calls for %d events, accounts %+v", seen.n, sn.Seq, sn.Subscribers[0])
		}
		for id, events := range seen.tasks {
			if last := events[len(events)-1]; id != 0 && last.Kind != taskvisor.TaskRemoved {
				t.Errorf("task %d ends with %v", id, last)
			}
		}
	})
}

// What inline subscribers may call inside a callback about any event: Stop, Add,
// Submit and Snapshot. What follows from it is delivered behind the event.
func TestInlineMayReenter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sup *taskvisor.Supervisor
		var depth, deepest, n atomic.Int32
		busy := inlineFunc(func(ctx context.Context, e taskvisor.Event) {
			deepest.Store(max(deepest.Load(), depth.Add(1)))
			defer depth.Add(-1)
			sup.Snapshot()
			i := n.Add(1)
			if i > 200 {
				return
			}
			name := fmt.Sprint("t", i)
			switch i % 3 {
			case 0:
				sup.Add(ctx, taskvisor.Periodic(name, 0, taskvisortest.Script(taskvisortest.Succeed())))
			case 1:
				sup.Submit(ctx, taskvisor.Submission{Task: taskvisor.Once(name, idle), Slot: "slot", Admission: taskvisor.Replace})
			default:
				for _, h := range sup.List() {
					h.Stop()
				}
			}
		})
		seen := &arrivals{}
		sup, rec := startInto(t, &sup, taskvisor.WithSubscriber(busy), taskvisor.WithSubscriber(seen))
		addTo(t, sup, taskvisor.Once("first", taskvisortest.Script(taskvisortest.Succeed())))
		time.Sleep(time.Second)
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		seen.check(t)
		if len(rec.Events()) != seen.n || n.Load() < 200 {
			t.Errorf("%d events, %d seen, %d calls", len(rec.Events()), seen.n, n.Load())
		}
	})
}

// A Goexit in an inline subscriber ends the goroutine that it is called on, and
// nothing else: subscribers behind it get the event, the task goes on, and so
// does whoever waits for it.
func TestGoexitInAnInlineSubscriber(t *testing.T) {
	for kind := taskvisor.TaskStarting; kind <= taskvisor.TaskRemoved; kind++ {
		switch kind {
		case taskvisor.TaskAdded, taskvisor.TaskRemoveRequested, taskvisor.TaskAbandoned, taskvisor.TaskStuck, taskvisor.TaskReturned, taskvisor.ActorDead, taskvisor.TaskCanceled,
			taskvisor.TaskReady, taskvisor.TaskTriggered, taskvisor.TaskInterrupted, taskvisor.TaskPaused, taskvisor.TaskResumed:
			continue // not on this path, or on the caller's own goroutine
		}
		t.Run(kind.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				bad := inlineFunc(func(_ context.Context, e taskvisor.Event) {
					if e.Kind == kind {
						runtime.Goexit()
					}
				})
				behind := &taskvisortest.Recorder{}
				sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(bad, taskvisor.WithName("bad")), taskvisor.WithSubscriber(behind))
				go func() { // whoever adds may have to deliver what the attempt does meanwhile
					_, _ = sup.Add(context.Background(), taskvisor.Restartable("a",
						taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Block(), taskvisortest.Succeed()),
						taskvisor.ConstantBackoff(time.Second), taskvisor.WithTimeout(time.Second)))
				}()
				synctest.Wait()
				h, ok := sup.Lookup("a")
				if !ok {
					t.Fatal("not registered")
				}
				if o := outcomeOf(t, h); o.Kind != taskvisor.OutcomeCompleted || o.Attempts != 3 {
					t.Errorf("outcome %+v", o)
				}
				const want = "A S ✗ B S T ✗ B S ✓ E D"
				wantTrace(t, rec, "a", want)
				wantTrace(t, behind, "a", want)
				reports := 0
				for _, e := range rec.Events() {
					if e.Kind == taskvisor.SubscriberPanicked {
						reports++
						if e.Subscriber != "bad" || !errors.Is(e.Err, taskvisor.ErrGoexit) {
							t.Errorf("report %v", e)
						}
					}
				}
				if got := sup.Snapshot().Subscribers[1].Panics; got == 0 || int(got) != reports {
					t.Errorf("%d counted, %d reported", got, reports)
				}
			})
		})
	}
}

// In a caller's own goroutine it is the caller's Goexit, as if it had been
// called there; the task is registered and starts all the same.
func TestGoexitInlineOfAdd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bad := inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskAdded || e.Kind == taskvisor.TaskRemoveRequested {
				runtime.Goexit()
			}
		})
		sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(bad))
		var callers group
		callers.Go(func() { sup.Add(context.Background(), taskvisor.Once("a", idle)) })
		callers.Wait()
		synctest.Wait()
		h, ok := sup.Lookup("a")
		if !ok {
			t.Fatal("the task is not registered")
		}
		wantTrace(t, rec, "a", "A S")
		callers.Go(func() { h.Stop() })
		callers.Wait()
		if o := outcomeOf(t, h); o.Kind != taskvisor.OutcomeCanceled {
			t.Errorf("outcome %+v", o)
		}
		wantTrace(t, rec, "a", "A S Q C D")
	})
}

// A panic in an inline subscriber is contained where it happens.
func TestPanicInAnInlineSubscriber(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bad := inlineFunc(func(context.Context, taskvisor.Event) { panic(errBoom) })
		behind := &taskvisortest.Recorder{}
		sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(bad, taskvisor.WithName("bad")), taskvisor.WithSubscriber(behind))
		outcomeOf(t, addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed()))))
		wantTrace(t, rec, "a", "A S ✓ E D")
		wantTrace(t, behind, "a", "A S ✓ E D")
		wantTrace(t, rec, "", "P P P P P")
		if got := sup.Snapshot().Subscribers[1].Panics; got != 10 { // five events, five reports
			t.Errorf("%d panics counted", got)
		}
		for _, e := range rec.Events("") {
			if e.Subscriber != "bad" || !errors.Is(e.Err, errBoom) || e.Stack == "" {
				t.Errorf("report %v", e)
			}
		}
	})
}

// A body may begin before its TaskStarting was delivered, but everything is
// delivered before the verdict lets Run return.
func TestInlineIsCompleteWhenRunReturns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for range 100 {
			seen := &arrivals{}
			sup, err := taskvisor.New(taskvisor.WithSubscriber(seen))
			if err != nil {
				t.Fatal(err)
			}
			var specs []taskvisor.TaskSpec
			for i := range 10 {
				specs = append(specs, taskvisor.Once(fmt.Sprint(i), taskvisortest.Script(taskvisortest.Succeed())))
			}
			if err := sup.Run(context.Background(), specs...); err != nil {
				t.Fatal(err)
			}
			if seen.n != 51 {
				t.Fatalf("%d events when Run returned, want 51", seen.n)
			}
		}
	})
}

// An inline subscriber that blocks must not, but even so a shutdown ends: at the
// grace for the task that it holds, and the drain for itself.
func TestBlockedInlineSubscriberDoesNotHoldTheShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		bad := inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Attempt == 2 || e.Kind == taskvisor.ShutdownRequested {
				<-release
			}
		})
		sup, err := taskvisor.New(taskvisor.WithSubscriber(bad), taskvisor.WithGrace(3*time.Second), taskvisor.WithSubscriberDrain(2*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		// The second attempt's goroutine delivers its own start; the first one's may
		// be delivered by whoever adds the task.
		addTo(t, sup, taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Block()),
			taskvisor.ConstantBackoff(time.Second)))
		time.Sleep(time.Minute)
		begun := time.Now()
		var late *taskvisor.GraceExceededError
		if err := sup.Shutdown(context.Background()); !errors.As(err, &late) || time.Since(begun) != 5*time.Second {
			t.Errorf("Shutdown: %v after %v", err, time.Since(begun))
		}
		close(release)
	})
}
