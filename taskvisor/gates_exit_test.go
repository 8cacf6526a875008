package taskvisor_test

import (
	"context"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// shutGate lets nobody in, and does something odd when it is left.
type shutGate struct{ leave func() }

func (shutGate) Enter(taskvisor.Attempt, func()) bool { return false }
func (g shutGate) Leave(taskvisor.Attempt)            { g.leave() }
func (shutGate) String() string                       { return "shut" }

// A gate that panics, ends the goroutine or hangs when a waiter leaves it does not hold
// up the shutdown, which waits for it as long as for a subscriber.
func TestGatesDoNotHoldUpTheShutdown(t *testing.T) {
	for name, tt := range map[string]struct {
		leave func()
		took  time.Duration
	}{
		"panic":  {func() { panic("odd") }, 0},
		"Goexit": {runtime.Goexit, 0},
		"hangs":  {func() { time.Sleep(time.Hour) }, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := newSup(t)
				ctx, cancel := context.WithCancel(context.Background())
				ended := make(chan error, 1)
				gate := taskvisor.WithGate(shutGate{tt.leave})
				go func() {
					ended <- sup.Run(ctx, taskvisor.Once("a", noWork, gate), taskvisor.Once("b", noWork, gate), taskvisor.Once("c", untilDone))
				}()
				synctest.Wait()
				begun := time.Now()
				cancel()
				select {
				case err := <-ended:
					if err != nil || time.Since(begun) != tt.took {
						t.Errorf("Run: %v after %v, want %v", err, time.Since(begun), tt.took)
					}
				case <-time.After(time.Hour):
					t.Fatal("Run does not return")
				}
				time.Sleep(2 * time.Hour)
				wantTrace(t, rec, "a", "A D")
				wantTrace(t, rec, "b", "A D")
				wantTrace(t, rec, "c", "A S C D")
			})
		})
	}
}

// Where a goroutine tells many that they may go on, one that ends it, by a gate or an
// inline subscriber of its own, keeps none of the others waiting.
func TestGoexitKeepsNobodyWaiting(t *testing.T) {
	for name, tell := range map[string]func(sup *taskvisor.Supervisor, add func(...taskvisor.TaskOption)) (begin func()){
		"a limit": func(_ *taskvisor.Supervisor, add func(...taskvisor.TaskOption)) func() {
			limit := taskvisor.NewLimit("limit", 0)
			add(taskvisor.WithGate(limit))
			return func() { limit.Resize(10) }
		},
		"the order": func(sup *taskvisor.Supervisor, add func(...taskvisor.TaskOption)) func() {
			released := make(chan struct{})
			sup.Add(context.Background(), taskvisor.Once("first", func(context.Context) error { <-released; return nil }))
			add(taskvisor.After("first"))
			return func() { close(released) }
		},
		"a pause": func(sup *taskvisor.Supervisor, add func(...taskvisor.TaskOption)) func() {
			add(taskvisor.WithStartPaused())
			return func() { sup.ResumeAll(nil) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var odd atomic.Bool
				sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(inlineFunc(func(_ context.Context, e taskvisor.Event) {
					if e.Kind == taskvisor.TaskStarting && e.Task != "first" && odd.CompareAndSwap(true, false) {
						runtime.Goexit()
					}
				})))
				begin := tell(sup, func(opts ...taskvisor.TaskOption) {
					for i := range 5 {
						addTo(t, sup, taskvisor.Once(nth("t", i), noWork, append(opts, taskvisor.WithGate(exitOnce(&odd)))...))
					}
				})
				synctest.Wait()
				odd.Store(true)
				go begin()
				time.Sleep(time.Minute)
				if left := sup.List(); len(left) != 0 {
					t.Errorf("%d wait", len(left))
				}
			})
		})
	}
}

// exitOnce is a gate that lets everybody in, and ends the goroutine of one.
func exitOnce(odd *atomic.Bool) taskvisor.Gate {
	return oddGate{enter: func() {
		if odd.CompareAndSwap(true, false) {
			runtime.Goexit()
		}
	}}
}

// What was added before Run begins even if an inline subscriber ends the goroutine that
// announces what was given to Run.
func TestGoexitBesideTasksAddedBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var once sync.Once
		sup, _ := newSup(t, taskvisor.WithSubscriber(inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskAdded && e.Task == "given" {
				once.Do(runtime.Goexit)
			}
		})))
		before := addTo(t, sup, taskvisor.Once("before", noWork))
		if err := sup.Run(context.Background(), taskvisor.Once("given", noWork)); err != nil {
			t.Error(err)
		}
		if o, known := before.Outcome(); !known || o.Kind != taskvisor.OutcomeCompleted {
			t.Errorf("outcome %v, known %v", o.Kind, known)
		}
	})
}

// A gate is left with the description with which it was entered, whatever came of the
// attempt.
func TestGateIsLeftAsItWasEntered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		g := &facts{}
		h := addTo(t, sup, taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Fail(errBoom), taskvisortest.Succeed()),
			taskvisor.BackoffPolicy{First: time.Second, Max: time.Minute, Factor: 2}, taskvisor.WithGate(g)))
		outcomeOf(t, h)
		synctest.Wait()
		if len(g.entered) != 3 || g.entered[2].Streak != 2 || g.entered[2].Delay != 2*time.Second || g.entered[2].Previous != taskvisor.ResultFailure {
			t.Fatalf("entered %+v", g.entered)
		}
		for i, a := range g.left {
			if !reflect.DeepEqual(a, g.entered[i]) {
				t.Errorf("attempt %d: left\n%+v, entered\n%+v", i+1, a, g.entered[i])
			}
		}
	})
}

// facts keeps what it is shown.
type facts struct{ entered, left []taskvisor.Attempt }

func (f *facts) Enter(a taskvisor.Attempt, _ func()) bool {
	f.entered = append(f.entered, a)
	return true
}
func (f *facts) Leave(a taskvisor.Attempt) { f.left = append(f.left, a) }
func (*facts) String() string              { return "facts" }

// nameless is a gate whose text is asked for when it has done something wrong, and does
// something odd too.
type nameless struct {
	odd  atomic.Int32
	text func()
}

func (g *nameless) Enter(taskvisor.Attempt, func()) bool {
	if g.odd.Add(1) == 1 {
		panic("odd")
	}
	return true
}
func (*nameless) Leave(taskvisor.Attempt) { panic("odd") }
func (g *nameless) String() string        { g.text(); return "nameless" }

// What is reported about a gate may end the goroutine as well, by the gate's text or by an
// inline subscriber: it is asked again, and the gates before it are left all the same.
func TestReportAboutAGateMayEndTheGoroutine(t *testing.T) {
	for name, tt := range map[string]struct {
		text, hear func()
	}{"text": {runtime.Goexit, func() {}}, "subscriber": {func() {}, runtime.Goexit}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := newSup(t, taskvisor.WithSubscriber(inlineFunc(func(_ context.Context, e taskvisor.Event) {
					if e.Kind == taskvisor.SubscriberPanicked {
						tt.hear()
					}
				})))
				if err := sup.Start(context.Background()); err != nil {
					t.Fatal(err)
				}
				first := &gateFunc{enter: func(taskvisor.Attempt, func()) bool { return true }}
				go sup.Add(context.Background(), taskvisor.Once("a", noWork, taskvisor.WithGate(first, &nameless{text: tt.text})))
				time.Sleep(time.Minute)
				wantTrace(t, rec, "a", "A S ✓ E D")
				begun := time.Now()
				if err := sup.Shutdown(context.Background()); err != nil || first.left != 1 || time.Since(begun) != 0 {
					t.Errorf("shutdown %v after %v; the first was left %d times", err, time.Since(begun), first.left)
				}
			})
		})
	}
}

// A bracket that began is ended, although an inline subscriber ends the goroutine at the
// report about the context that it returned.
func TestBracketIsEndedDespiteItsReport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ends := 0
		odd := &bracket{begin: func(context.Context, taskvisor.Attempt) context.Context { return nil },
			end: func(context.Context, taskvisor.Attempt, taskvisor.Result) { ends++ }}
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(odd), taskvisor.WithSubscriber(inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.SubscriberPanicked {
				runtime.Goexit()
			}
		})))
		outcomeOf(t, addTo(t, sup, taskvisor.Once("a", noWork)))
		same(t, "ended", ends, 1)
	})
}
