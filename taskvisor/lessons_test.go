package taskvisor_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// The defects of another supervisor, measured, each with the test that keeps it
// away. Those whose test is in this file stand below; the others are
//
//	D1   TestShutdownIsBoundedInAChildProcess
//	D2   TestEventsFlowWhileAllCoresSpin
//	D3   TestDefaultsLoseNothing
//	D5   TestRunDrainsQueuedSubmissions
//	D6   TestSignals
//	D7   TestSecondRun, TestShutdownBeforeRun
//	D9   TestVerdictListsAllThatRun, TestReleasedBodyIsNamedAtTheEnd
//	D12  TestBadInputLeavesNoTrace
//	D13  TestVerdictListsAllThatRun
//
// and, of other Go supervisors, in lessons_peers_test.go or
//
//	a graceful stop that counts from the start: TestShutdownIsBoundedByGrace, TestGraceOfAnIndividualStop
//	control flow that waits for a client that is gone: TestStopClaimsOnceAndWaitsForNothing, TestOutcomeWithoutWaiting
//	a slow hook that stalls Add: TestAddBesideBadSubscribers, TestBlockedSubscriberHarmsNobody
//	Goexit that looks like success: TestOutcomeOfEveryPath
//	a job's panic that needs a listener: TestPanicsAreContainedWithoutObservers
//	busy waiting: TestShutdownIsBoundedInAChildProcess
//	a permit given up while the body still runs: TestPermitIsHeldUntilTheBodyReturned
//	counts that do not add up: TestConservation, TestRingMatchesModel

// D8: the end of Run's context stops the tasks, and Run returns after them.
func TestAbandoningRunLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) { // which fails if a goroutine is left
		sup, rec := newSup(t)
		ctx, cancel := context.WithCancel(context.Background())
		var running atomic.Int32
		body := func(ctx context.Context) error {
			running.Add(1)
			defer running.Add(-1)
			<-ctx.Done()
			time.Sleep(time.Second)
			return nil
		}
		time.AfterFunc(time.Minute, cancel)
		var specs []taskvisor.TaskSpec
		for i := range 20 {
			specs = append(specs, taskvisor.Restartable(fmt.Sprint(i), body))
		}
		if err := sup.Run(ctx, specs...); err != nil || running.Load() != 0 {
			t.Errorf("Run: %v, with %d bodies running", err, running.Load())
		}
		wantTrace(t, rec, "7", "A S ✓ D")
	})
}

// D11: every subscriber that keeps up has seen every TaskRemoved and the verdict
// when Run returns.
func TestLastEventsAreDelivered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for range 300 {
			var removed, verdicts [4]int
			var opts []taskvisor.Option
			for i := range removed {
				count := func(_ context.Context, e taskvisor.Event) {
					switch e.Kind {
					case taskvisor.TaskRemoved:
						removed[i]++
					case taskvisor.AllStoppedWithinGrace:
						verdicts[i]++
					}
				}
				if i == 0 {
					var mu sync.Mutex
					opts = append(opts, taskvisor.WithSubscriber(inlineFunc(func(ctx context.Context, e taskvisor.Event) {
						mu.Lock()
						defer mu.Unlock()
						count(ctx, e)
					})))
				} else {
					opts = append(opts, taskvisor.WithSubscriber(queuedFunc(count)))
				}
			}
			sup, err := taskvisor.New(opts...)
			if err != nil {
				t.Fatal(err)
			}
			var specs []taskvisor.TaskSpec
			for i := range 20 {
				specs = append(specs, taskvisor.Once(fmt.Sprint(i), taskvisortest.Script(taskvisortest.Succeed())))
			}
			if err := sup.Run(context.Background(), specs...); err != nil {
				t.Fatal(err)
			}
			if removed != [4]int{20, 20, 20, 20} || verdicts != [4]int{1, 1, 1, 1} {
				t.Fatalf("removals seen %v, verdicts %v", removed, verdicts)
			}
		}
	})
}

// D14: asking for what is not there announces nothing.
func TestNoEventsForUnknownTasks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Succeed())))
		outcomeOf(t, h)
		before := len(rec.Events())
		if h.Stop() || sup.StopSlot("a", true) || sup.StopSlot("unknown", false) || sup.Alive("a") {
			t.Error("something that is not there was stopped, or is alive")
		}
		if _, ok := sup.Lookup("a"); ok {
			t.Error("something that is not there was found")
		}
		if _, err := h.Cancel(context.Background()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if events := rec.Events()[before:]; len(events) != 0 {
			t.Errorf("events %v", events)
		}
	})
}
