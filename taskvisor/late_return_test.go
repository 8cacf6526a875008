package taskvisor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A body that returns when its supervisor has ended still gets the ends of its
// brackets, however it ends, and is counted; but nothing is published any more.
func TestReturnAfterTheEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		end  taskvisortest.Step
		want taskvisor.ResultKind
		opts []taskvisor.TaskOption
	}{
		"nil":      {taskvisortest.Succeed(), taskvisor.ResultSuccess, nil},
		"error":    {taskvisortest.Fail(errBoom), taskvisor.ResultCanceled, nil},
		"panic":    {taskvisortest.Panic(errBoom), taskvisor.ResultPanic, nil},
		"exit":     {taskvisortest.Goexit(), taskvisor.ResultFailure, nil},
		"released": {taskvisortest.Fail(errBoom), taskvisor.ResultCanceled, []taskvisor.TaskOption{taskvisor.WithReleaseOnAbandon()}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ends := make(chan taskvisor.Result, 2)
				watch := &bracket{end: func(_ context.Context, _ taskvisor.Attempt, r taskvisor.Result) { ends <- r }}
				sup, rec := taskvisortest.Start(t, taskvisor.WithSubscriber(watch), taskvisor.WithGrace(time.Second))
				end := taskvisortest.Script(tt.end)
				h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
					time.Sleep(time.Minute)
					return end(ctx)
				}, tt.opts...))
				synctest.Wait()
				if err := sup.Shutdown(context.Background()); err == nil {
					t.Error("Shutdown does not tell of the body")
				}
				synctest.Wait()
				events, o := len(rec.Events()), outcomeOf(t, h)
				if len(ends) != 0 || o.Kind != taskvisor.OutcomeAbandoned {
					t.Errorf("before the body returned: %d brackets ended, outcome %v", len(ends), o.Kind)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if len(ends) != 1 {
					t.Fatalf("%d brackets ended", len(ends))
				}
				if r := <-ends; r.Kind != tt.want || r.Reason != taskvisor.ErrShutdown || r.Duration != time.Minute {
					t.Errorf("brackets ended with %+v", r)
				}
				if got := len(rec.Events()); got != events || rec.Events()[got-1].Kind != taskvisor.GraceExceeded {
					t.Errorf("%d events after the verdict: %v", got-events, rec.Events()[events:])
				}
				sn := sup.Snapshot()
				if sn.Started != 1 || sn.Ended != 1 || sn.InUse != 0 || sn.Released != 0 || len(sn.Tasks) != 0 || int(sn.Seq) != events {
					t.Errorf("snapshot %+v", sn)
				}
				if again := outcomeOf(t, h); again.Kind != o.Kind || again.Err != o.Err || again.Ended != o.Ended {
					t.Errorf("the outcome became %+v", again)
				}
			})
		})
	}
}

// A released body is nobody's any more, but it still runs: it is in use where
// there is no limit, and not where its permit was given back.
func TestReleasedBodyInUse(t *testing.T) {
	for limit, want := range map[int]int{0: 1, 3: 0} {
		bubble(t, func(t *testing.T) {
			var opts []taskvisor.Option
			if limit > 0 {
				opts = append(opts, taskvisor.WithMaxConcurrent(limit))
			}
			sup, _ := taskvisortest.Start(t, opts...)
			release := make(chan struct{})
			h := addTo(t, sup, taskvisor.Once("a", stubborn(release), taskvisor.WithReleaseOnAbandon(), taskvisor.WithGrace(0)))
			synctest.Wait()
			if o, err := h.Cancel(context.Background()); err != nil || o.Kind != taskvisor.OutcomeAbandoned {
				t.Errorf("%v, %v", o.Kind, err)
			}
			synctest.Wait()
			if sn := sup.Snapshot(); sn.InUse != want || sn.Released != 1 || len(sn.Tasks) != 0 {
				t.Errorf("limit %d: %d in use, %d released, tasks %v", limit, sn.InUse, sn.Released, sn.Tasks)
			}
			close(release)
			synctest.Wait()
			if sn := sup.Snapshot(); sn.InUse != 0 || sn.Released != 0 {
				t.Errorf("limit %d: %d in use, %d released, after its return", limit, sn.InUse, sn.Released)
			}
		})
	}
}
