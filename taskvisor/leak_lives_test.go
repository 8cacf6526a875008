//go:build goexperiment.goroutineleakprofile && unix

package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// leakLives are the lives of supervisors of every kind, each from New to its
// end, and to the end of all that it left running.
var leakLives = map[string]func(t *testing.T){
	"never started":                  func(t *testing.T) { taskvisor.New(taskvisor.WithSubscriber(&discard{}), taskvisor.WithSignals()) },
	"refused by New":                 lifeRefused,
	"shut down before the start":     lifeShutBeforeStart,
	"start and shutdown":             func(t *testing.T) { mustEnd(t, lively(t)) },
	"natural end":                    lifeNaturalEnd,
	"ended by its context":           lifeContext,
	"ended by signals":               lifeSignals,
	"every way to end an attempt":    lifeEndings,
	"delays and permits":             lifeDelays,
	"stops and waits":                lifeStops,
	"children":                       lifeChildren,
	"contexts derived":               lifeDerived,
	"submissions":                    lifeSubmissions,
	"brackets":                       lifeBrackets,
	"inline subscribers":             lifeInline,
	"queued subscribers":             lifeQueued,
	"subscriber that hangs a while":  lifeHanging,
	"abandoned, then returned":       lifeAbandoned,
	"released, then returned":        lifeReleased,
	"abandoned at the end, returned": lifeAbandonedAtTheEnd,
}

func lifeRefused(t *testing.T) {
	_, err := taskvisor.New(taskvisor.WithSubscriber(&discard{}), taskvisor.WithSubscriber(&reader{name: "reader", err: errBoom}))
	wantErr(t, err, errBoom)
}

func lifeShutBeforeStart(t *testing.T) {
	sup, err := taskvisor.New(taskvisor.WithSubscriber(&discard{}))
	if err != nil {
		t.Fatal(err)
	}
	mustEnd(t, sup)
	wantErr(t, sup.Run(context.Background()), taskvisor.ErrShuttingDown)
}

func lifeNaturalEnd(t *testing.T) {
	sup, err := taskvisor.New(taskvisor.WithSubscriber(&discard{}), taskvisor.WithSignals(), taskvisor.WithMaxConcurrent(3))
	if err != nil {
		t.Fatal(err)
	}
	var specs []taskvisor.TaskSpec
	for i := range 10 {
		specs = append(specs,
			taskvisor.Once(fmt.Sprint("once ", i), noWork),
			taskvisor.Restartable(fmt.Sprint("retried ", i), taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Succeed()), taskvisor.ConstantBackoff(0)),
			taskvisor.Periodic(fmt.Sprint("periodic ", i), 0, loop(3)))
	}
	if err := sup.Run(context.Background(), specs...); err != nil {
		t.Error(err)
	}
	wantErr(t, sup.Run(context.Background(), specs...), taskvisor.ErrShuttingDown)
}

func lifeContext(t *testing.T) {
	for _, end := range []error{nil, errBoom} {
		ctx, cancel := context.WithCancelCause(context.Background())
		sup, err := taskvisor.New(taskvisor.WithSubscriber(&discard{}))
		if err != nil {
			t.Fatal(err)
		}
		err = sup.Run(ctx, taskvisor.Once("resident", idle), taskvisor.Once("ends it", func(context.Context) error {
			cancel(end)
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
		sup, _ = taskvisor.New()
		if err := sup.Start(ctx); err == nil {
			t.Error("started with an ended context")
		}
	}
}

func lifeSignals(t *testing.T) {
	sup := lively(t, taskvisor.WithSignals(syscall.SIGUSR1), taskvisor.WithGrace(time.Hour))
	begun, release := make(chan struct{}), make(chan struct{})
	addTo(t, sup, taskvisor.Once("stuck", func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		wake(t, syscall.SIGUSR1) // cuts the grace
		<-release
		return nil
	}))
	<-begun
	wake(t, syscall.SIGUSR1)
	<-sup.Done()
	close(release)
}

func lifeEndings(t *testing.T) {
	sup := lively(t, taskvisor.WithSubscriber(&discard{}), taskvisor.WithTaskDefaults(taskvisor.WithMaxRetries(1), taskvisor.ConstantBackoff(0)))
	var hs []*taskvisor.Handle
	for i, step := range []taskvisortest.Step{taskvisortest.Succeed(), taskvisortest.Fail(errBoom), taskvisortest.Fail(taskvisor.Fatal(errBoom)),
		taskvisortest.Fail(taskvisor.ErrCanceled), taskvisortest.Fail(taskvisor.RetryAfter(0, errBoom)), taskvisortest.Panic("boom"), taskvisortest.Goexit()} {
		hs = append(hs, addTo(t, sup, taskvisor.Restartable(fmt.Sprint("ends ", i), taskvisortest.Script(step))))
	}
	hs = append(hs, addTo(t, sup, taskvisor.Once("times out", idle, taskvisor.WithTimeout(time.Microsecond))))
	for _, h := range hs {
		if _, err := h.Wait(context.Background()); err != nil {
			t.Error(err)
		}
	}
	mustEnd(t, sup)
}

func lifeDelays(t *testing.T) {
	sup := lively(t, taskvisor.WithMaxConcurrent(1))
	running := make(chan struct{})
	failed := addTo(t, sup, taskvisor.Restartable("backs off", taskvisortest.Script(taskvisortest.Fail(errBoom)), taskvisor.ConstantBackoff(time.Hour)))
	waits := addTo(t, sup, taskvisor.Periodic("waits", time.Hour, noWork))
	for failed.Status().State != taskvisor.StateBackoff || waits.Status().State != taskvisor.StateWaiting {
		runtime.Gosched()
	}
	addTo(t, sup, taskvisor.Once("has the permit", func(ctx context.Context) error {
		close(running)
		return idle(ctx)
	}))
	<-running
	pending := addTo(t, sup, taskvisor.Once("waits for it", noWork))
	addTo(t, sup, taskvisor.Once("waits for it, too", noWork))
	pending.Stop()
	failed.Stop()
	mustEnd(t, sup)
}

func lifeStops(t *testing.T) {
	sup := lively(t, taskvisor.WithSubscriber(&discard{}))
	h := addTo(t, sup, taskvisor.Restartable("a", idle))
	ended, cancel := context.WithCancel(context.Background())
	var waiting group
	for range 3 {
		waiting.Go(func() { h.Wait(context.Background()) })
		waiting.Go(func() { h.Wait(ended) })
		waiting.Go(func() { sup.Shutdown(ended) })
	}
	cancel()
	if _, err := h.Cancel(context.Background()); err != nil {
		t.Error(err)
	}
	waiting.Wait()
	mustEnd(t, sup)
}

func lifeChildren(t *testing.T) {
	sup := lively(t)
	var hs []*taskvisor.Handle
	for i, child := range []func(context.Context){
		func(ctx context.Context) { <-ctx.Done() },
		func(ctx context.Context) { taskvisor.Go(ctx, func(ctx context.Context) { <-ctx.Done() }) },
		func(context.Context) { panic("boom") },
		func(context.Context) { runtime.Goexit() },
	} {
		hs = append(hs, addTo(t, sup, taskvisor.Once(fmt.Sprint("parent ", i), func(ctx context.Context) error {
			return errors.Join(taskvisor.Go(ctx, child), taskvisor.Go(ctx, func(ctx context.Context) { <-ctx.Done() }))
		})))
	}
	for _, h := range hs {
		h.Wait(context.Background())
	}
	mustEnd(t, sup)
}

func lifeDerived(t *testing.T) {
	sup := lively(t)
	var kept []context.Context
	body := func(ctx context.Context) error {
		derived, cancel := context.WithCancel(context.WithValue(ctx, attemptsKey{}, 1))
		timed, stop := context.WithTimeout(derived, time.Hour)
		context.AfterFunc(timed, func() {})
		unused := context.AfterFunc(ctx, func() {})
		unused()
		kept = append(kept, ctx, derived, timed)
		_, _ = cancel, stop // the end of the attempt ends them as well
		return nil
	}
	addTo(t, sup, taskvisor.Once("a", body)).Wait(context.Background())
	addTo(t, sup, taskvisor.Once("b", body, taskvisor.WithTimeout(time.Hour))).Wait(context.Background())
	mustEnd(t, sup)
	for _, ctx := range kept {
		<-ctx.Done()
	}
}

type attemptsKey struct{}

func lifeSubmissions(t *testing.T) {
	sup := lively(t, taskvisor.WithSubscriber(&discard{}), taskvisor.WithMaxQueue(2))
	n := 0
	submit := func(slot string, policy taskvisor.Admission, fn taskvisor.Func) *taskvisor.Handle {
		n++
		h, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once(fmt.Sprint("task ", n), fn), Slot: slot, Admission: policy})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	var rejected []*taskvisor.Handle
	for _, policy := range []taskvisor.Admission{asQueue, asReplace, asDrop, asCoalesce, asJoin} {
		slot := policy.String()
		submit(slot, asQueue, idle)
		for range 4 {
			rejected = append(rejected, submit(slot, policy, idle))
		}
		submit("quick", policy, noWork)
	}
	sup.StopSlot(asQueue.String(), true)
	sup.StopSlot(asCoalesce.String(), false)
	rejected[0].Wait(context.Background())
	mustEnd(t, sup)
	for _, h := range rejected {
		<-h.Done()
	}
}

func lifeBrackets(t *testing.T) {
	for _, odd := range []func(){func() {}, func() { panic("boom") }, runtime.Goexit} {
		derive := &bracket{begin: func(ctx context.Context, _ taskvisor.Attempt) context.Context {
			derived, cancel := context.WithCancel(ctx)
			context.AfterFunc(ctx, cancel)
			return derived
		}}
		sup := lively(t, taskvisor.WithSubscriber(derive), taskvisor.WithSubscriber(&bracket{
			begin: func(ctx context.Context, _ taskvisor.Attempt) context.Context { odd(); return ctx },
			end:   func(context.Context, taskvisor.Attempt, taskvisor.Result) { odd() },
		}))
		addTo(t, sup, taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Panic("boom"), taskvisortest.Goexit(), taskvisortest.Succeed()),
			taskvisor.ConstantBackoff(0))).Wait(context.Background())
		addTo(t, sup, taskvisor.Once("stopped", idle))
		mustEnd(t, sup)
	}
}

func lifeInline(t *testing.T) {
	for _, odd := range []func(){func() {}, func() { panic("boom") }, runtime.Goexit} {
		sup := lively(t, taskvisor.WithSubscriber(inlineFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.TaskStarting || e.Kind.Terminal() {
				odd()
			}
		})))
		addTo(t, sup, taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Succeed()),
			taskvisor.ConstantBackoff(0))).Wait(context.Background())
		addTo(t, sup, taskvisor.Once("stopped", idle))
		ended := make(chan struct{})
		go func() { // its Goexit may end the caller
			defer close(ended)
			sup.Shutdown(context.Background())
		}()
		<-ended
		<-sup.Done()
	}
}

func lifeQueued(t *testing.T) {
	for _, odd := range []func(){func() {}, func() { panic("boom") }, runtime.Goexit} {
		sup := lively(t, taskvisor.WithSubscriber(&discard{}, taskvisor.Queued(1)),
			taskvisor.WithSubscriber(queuedFunc(func(context.Context, taskvisor.Event) { odd() })))
		addTo(t, sup, taskvisor.Periodic("a", 0, loop(100), taskvisor.WithoutRestartFloor())).Wait(context.Background())
		mustEnd(t, sup)
	}
}

// A subscriber that hangs is cut off by the drain; the runtime could not tell
// its worker from a leaked one if nobody released it.
func lifeHanging(t *testing.T) {
	release, called := make(chan struct{}), make(chan struct{}, 1)
	sup := lively(t, taskvisor.WithSubscriberDrain(0), taskvisor.WithSubscriber(queuedFunc(func(context.Context, taskvisor.Event) {
		select {
		case called <- struct{}{}:
		default:
		}
		<-release
	}), taskvisor.Queued(2)))
	addTo(t, sup, taskvisor.Once("a", noWork)).Wait(context.Background())
	<-called
	mustEnd(t, sup)
	close(release)
}

func lifeAbandoned(t *testing.T) {
	sup := lively(t, taskvisor.WithSubscriber(&discard{}))
	begun, release := make(chan struct{}), make(chan struct{})
	h := addTo(t, sup, taskvisor.Once("a", func(context.Context) error { close(begun); <-release; return nil }, taskvisor.WithGrace(0)))
	<-begun
	if o, err := h.Cancel(context.Background()); err != nil || o.Kind != taskvisor.OutcomeAbandoned {
		t.Errorf("outcome %v, %v", o.Kind, err)
	}
	close(release)
	for sup.Count(taskvisor.StateAbandoned) > 0 {
		runtime.Gosched()
	}
	mustEnd(t, sup)
}

func lifeReleased(t *testing.T) {
	sup := lively(t, taskvisor.WithSubscriber(&discard{}), taskvisor.WithMaxConcurrent(1))
	begun, release := make(chan struct{}), make(chan struct{})
	h := addTo(t, sup, taskvisor.Once("a", func(context.Context) error { close(begun); <-release; return nil },
		taskvisor.WithGrace(0), taskvisor.WithReleaseOnAbandon()))
	<-begun
	h.Cancel(context.Background())
	addTo(t, sup, taskvisor.Once("a", noWork)).Wait(context.Background())
	close(release)
	sup.Shutdown(context.Background()) // an error if the body is still on its way
}

func lifeAbandonedAtTheEnd(t *testing.T) {
	sup := lively(t, taskvisor.WithGrace(0), taskvisor.WithSubscriber(&discard{}))
	begun, release := make(chan struct{}), make(chan struct{})
	addTo(t, sup, taskvisor.Once("a", func(ctx context.Context) error {
		defer close(begun)
		return taskvisor.Go(ctx, func(context.Context) { <-release })
	}))
	<-begun
	if err := sup.Shutdown(context.Background()); err == nil {
		t.Error("Shutdown does not tell of the body")
	}
	close(release)
}
