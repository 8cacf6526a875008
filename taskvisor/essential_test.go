package taskvisor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// The ends of an essential task that end the supervisor: those of its own.
func TestEssential(t *testing.T) {
	after := func(s taskvisortest.Step) taskvisor.Func {
		return taskvisortest.Script(taskvisortest.After(time.Minute, s))
	}
	essential := taskvisor.WithEssential()
	for _, tt := range []struct {
		name string
		spec taskvisor.TaskSpec
		err  error // nil: life goes on
	}{
		{"failed", taskvisor.Once("a", after(taskvisortest.Fail(errBoom)), essential), errBoom},
		{"exhausted", taskvisor.Restartable("a", after(taskvisortest.Fail(errBoom)), essential, taskvisor.WithMaxRetries(0)), errBoom},
		{"panicked", taskvisor.Once("a", after(taskvisortest.Panic(errBoom)), essential), errBoom},
		{"exited", taskvisor.Once("a", after(taskvisortest.Goexit()), essential), taskvisor.ErrGoexit},
		{"timed out", taskvisor.Once("a", taskvisortest.Script(taskvisortest.Block()), essential, taskvisor.WithTimeout(time.Minute)), taskvisor.ErrAttemptTimeout},
		{"fatal", taskvisor.Restartable("a", after(taskvisortest.Fail(taskvisor.Fatal(errBoom))), essential), errBoom},
		{"canceled by itself", taskvisor.Periodic("a", 0, after(taskvisortest.Fail(taskvisor.ErrCanceled)), essential), taskvisor.ErrCanceled},
		{"completed", taskvisor.Once("a", after(taskvisortest.Succeed()), essential), nil},
		{"failed, but not essential", taskvisor.Once("a", after(taskvisortest.Fail(errBoom))), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := newSup(t)
				begun := time.Now()
				other := taskvisor.Once("other", taskvisortest.Script(taskvisortest.After(time.Hour, taskvisortest.Succeed())))
				err := sup.Run(context.Background(), tt.spec, other)
				if tt.err == nil {
					if failed := tt.name != "completed"; errors.Is(err, errBoom) != failed || time.Since(begun) != time.Hour {
						t.Errorf("Run: %v after %v, want an hour of life", err, time.Since(begun))
					}
					wantTrace(t, rec, "", "V")
					return
				}
				var te *taskvisor.TaskError
				if !errors.Is(err, tt.err) || !errors.As(err, &te) || te.Task != "a" || time.Since(begun) != time.Minute {
					t.Errorf("Run: %v after %v, want %v", err, time.Since(begun), tt.err)
				}
				wantErr(t, sup.Shutdown(context.Background()), tt.err)
				wantTrace(t, rec, "other", "A S C D")
				wantTrace(t, rec, "", "H V")
				if e := rec.Events("")[0]; !errors.Is(e.Err, tt.err) {
					t.Errorf("ShutdownRequested has the cause %v", e.Err)
				}
			})
		})
	}
}

// Somebody's stop of an essential task is not its own end.
func TestEssentialStoppedByOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Once("a", untilStopped(func() error { return errBoom }), taskvisor.WithEssential()))
		synctest.Wait()
		h.Stop()
		outcomeOf(t, h)
		wantTrace(t, rec, "", "")
		addTo(t, sup, taskvisor.Once("a", untilStopped(func() error { return errBoom }), taskvisor.WithEssential()))
		synctest.Wait()
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// A started supervisor ends too, and its Shutdown tells why. What outlives the
// grace is told as well.
func TestEssentialOfAStartedSupervisor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(time.Second), taskvisor.WithTaskDefaults(taskvisor.WithEssential()))
		release := make(chan struct{})
		addTo(t, sup, taskvisor.Once("stuck", stubborn(release)))
		synctest.Wait() // until it runs
		addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Fail(errBoom))))
		<-sup.Done()
		err := sup.Shutdown(context.Background())
		wantErr(t, err, errBoom)
		var late *taskvisor.GraceExceededError
		if !errors.As(err, &late) || len(late.Tasks) != 1 || late.Tasks[0].Name != "stuck" {
			t.Errorf("Shutdown: %v", err)
		}
		wantTrace(t, rec, "", "H G")
		close(release)
	})
}

// The end of the essential task may be the natural end as well: its error must
// not be lost between the two.
func TestEssentialAsTheLastTaskConcurrentSafe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for i := range 2000 {
			sup, err := taskvisor.New()
			if err != nil {
				t.Fatal(err)
			}
			err = sup.Run(context.Background(), taskvisor.Once("a", taskvisortest.Script(taskvisortest.Fail(errBoom)), taskvisor.WithEssential()))
			if !errors.Is(err, errBoom) {
				t.Fatalf("run %d: %v", i, err)
			}
		}
	})
}
