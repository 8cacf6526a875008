package taskvisor_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// everyKind is work that brings about every kind of event that an inline subscriber
// gets: specs for Run, and the operations that follow, each on a goroutine of its
// own, because a subscriber that does not return keeps who calls it.
func everyKind(sup *taskvisor.Supervisor, release chan struct{}) (specs []taskvisor.TaskSpec, then []func()) {
	ctx := context.Background()
	errIn := errors.New("in everyKind")
	policy := taskvisor.ConstantBackoff(time.Second)
	specs = []taskvisor.TaskSpec{
		taskvisor.Restartable("fails twice", taskvisortest.Script(taskvisortest.Fail(errIn), taskvisortest.Fail(errIn), taskvisortest.Succeed()), policy),
		taskvisor.Once("exhausted", taskvisortest.Script(taskvisortest.Fail(errIn))),
		taskvisor.Once("fatal", taskvisortest.Script(taskvisortest.Fail(taskvisor.Fatal(errIn)))),
		taskvisor.Once("times out", untilDone, taskvisor.WithTimeout(time.Second)),
		taskvisor.Once("limited 1", untilDone, taskvisor.WithTimeout(10*time.Second), taskvisor.WithGate(taskvisor.NewLimit("none", 0))),
		taskvisor.Restartable("ready", func(ctx context.Context) error { taskvisor.Ready(ctx); return untilDone(ctx) }, taskvisor.WithReadiness()),
		taskvisor.Restartable("after", untilDone, taskvisor.After("ready")),
		taskvisor.Restartable("obeys", untilDone, policy),
		taskvisor.Once("ends itself", taskvisortest.Script(taskvisortest.Fail(taskvisor.ErrCanceled))),
		taskvisor.Once("stuck", stubborn(release), taskvisor.WithGrace(time.Minute), taskvisor.WithStuckAfter(time.Second)),
		taskvisor.Once("returns late", func(ctx context.Context) error { <-ctx.Done(); time.Sleep(5 * time.Second); return nil },
			taskvisor.WithGrace(time.Second)),
		taskvisor.Once("released", func(ctx context.Context) error { <-ctx.Done(); time.Sleep(5 * time.Second); return nil },
			taskvisor.WithGrace(time.Second), taskvisor.WithReleaseOnAbandon()),
	}
	on := func(name string, f func(h *taskvisor.Handle)) func() {
		return func() {
			if h, ok := sup.Lookup(name); ok {
				f(h)
			}
		}
	}
	submit := func(name string, a taskvisor.Admission) func() {
		return func() {
			sup.Submit(ctx, taskvisor.Submission{Slot: "slot", Task: taskvisor.Once(name, untilDone), Admission: a})
		}
	}
	then = []func(){
		func() { sup.Add(ctx, taskvisor.Once("obeys", untilDone)) },
		func() { sup.AddAll(ctx, taskvisor.Once("b1", untilDone), taskvisor.Once("obeys", untilDone)) },
		submit("owner", taskvisor.Queue), submit("second", taskvisor.Queue), submit("third", taskvisor.DropIfRunning), submit("fourth", taskvisor.Replace),
		on("obeys", func(h *taskvisor.Handle) { h.RunNow(nil); h.Interrupt(nil); h.Pause(nil); h.Resume(nil) }),
		on("returns late", func(h *taskvisor.Handle) { h.Stop() }),
		on("released", func(h *taskvisor.Handle) { h.Stop() }),
		on("stuck", func(h *taskvisor.Handle) { h.Stop() }),
		func() { sup.StopSlot("slot", true) },
	}
	return specs, then
}

// blocksOn does not return from its calls about one thing.
type blocksOn struct {
	what    string
	release chan struct{}
	seen    atomic.Bool
}

func (b *blocksOn) here(what string) {
	if b.what == what {
		b.seen.Store(true)
		<-b.release
	}
}

func (b *blocksOn) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}
func (b *blocksOn) OnEvent(_ context.Context, e taskvisor.Event) { b.here(e.Kind.String()) }
func (b *blocksOn) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context {
	b.here("begin")
	return ctx
}
func (b *blocksOn) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) { b.here("end") }

// panicky makes for SubscriberPanicked.
func panicky(_ context.Context, e taskvisor.Event) {
	if e.Kind == taskvisor.TaskFailed {
		panic("on purpose")
	}
}

// A shutdown is bounded by grace and drain, and so is Run, whichever call of an inline
// subscriber or a bracket does not return.
func TestShutdownIsBoundedForEveryCall(t *testing.T) {
	const grace, drain, epsilon = 3 * time.Second, 2 * time.Second, 500 * time.Millisecond
	calls := []string{"begin", "end"}
	for k := taskvisor.TaskAdded; k <= taskvisor.SubscriberPanicked; k++ {
		calls = append(calls, k.String())
	}
	never := map[string]bool{
		taskvisor.SubscriberOverflow.String(): true, // queued ones get it
		taskvisor.ShutdownAnnounced.String():  true, // needs a signal: see TestSignals
	}
	for _, what := range calls {
		for _, way := range []string{"Run", "Start"} {
			t.Run(what+", "+way, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					release := make(chan struct{})
					orderly := what == taskvisor.AllStoppedWithinGrace.String()
					if orderly {
						close(release)
					}
					b := &blocksOn{what: what, release: make(chan struct{})}
					sup, err := taskvisor.New(taskvisor.WithGrace(grace), taskvisor.WithSubscriberDrain(drain),
						taskvisor.WithSubscriber(b), taskvisor.WithSubscriber(taskvisor.SubscribeFunc(panicky), taskvisor.Inline()),
						taskvisor.WithTaskDefaults(taskvisor.WithResetAfter(time.Hour)))
					if err != nil {
						t.Fatal(err)
					}
					specs, then := everyKind(sup, release)
					ctx, cancel := context.WithCancel(context.Background())
					ended := make(chan time.Time, 1)
					if way == "Run" {
						go func() { sup.Run(ctx, specs...); ended <- time.Now() }()
					} else {
						if err := sup.Start(ctx); err != nil {
							t.Fatal(err)
						}
						go sup.AddAll(context.Background(), specs...)
					}
					synctest.Wait()
					for _, f := range then {
						go f()
						synctest.Wait()
					}
					time.Sleep(20 * time.Second)
					asked := time.Now()
					cancel()
					if way == "Start" {
						go func() { sup.Shutdown(context.Background()); ended <- time.Now() }()
					}
					select {
					case at := <-ended:
						if took := at.Sub(asked); took > grace+drain+epsilon {
							t.Errorf("back after %v", took)
						}
					case <-time.After(time.Hour):
						t.Error("not back in an hour")
					}
					<-sup.Done()
					if b.seen.Load() == never[what] {
						t.Errorf("happened: %v", b.seen.Load())
					}
					close(b.release)
					if !orderly {
						close(release)
					}
					time.Sleep(time.Hour) // for what is left
				})
			})
		}
	}
}
