package taskvisor_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// A shutdown ends with the last grace, not with its own: a body that was stopped before,
// and is given up now, is waited for no longer.
func TestShutdownEndsWithTheLastGrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t, taskvisor.WithGrace(time.Minute))
		release := make(chan struct{})
		h := addTo(t, sup, taskvisor.Once("a", stubborn(release), taskvisor.WithGrace(5*time.Second)))
		synctest.Wait()
		h.Stop()
		begun := time.Now()
		var left *taskvisor.GraceExceededError
		if err := sup.Shutdown(context.Background()); !errors.As(err, &left) || time.Since(begun) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		close(release)
	})
}

// What an inner supervisor is said to have left running runs: a task that waits, and is to
// be stopped later, does not.
func TestNestedWaitersAreNotLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		outer, _ := taskvisortest.Start(t, taskvisor.WithGrace(time.Second))
		inner, _ := newSup(t, taskvisor.WithGrace(time.Hour), taskvisor.WithName("inner"))
		release := make(chan struct{})
		addTo(t, outer, taskvisor.Once("host", func(ctx context.Context) error {
			return inner.Run(ctx, taskvisor.Periodic("waits", time.Hour, noWork), taskvisor.Once("stays", stubborn(release), taskvisor.After("waits")))
		}))
		time.Sleep(time.Second)
		err := outer.Shutdown(context.Background())
		var left *taskvisor.GraceExceededError
		if !errors.As(err, &left) {
			t.Fatalf("Shutdown: %v", err)
		}
		var names []string
		for _, st := range left.Tasks {
			names = append(names, st.Name)
		}
		sameList(t, "left", names, []string{"host", "host/stays"})
		close(release)
	})
}

// Among interruptions the first one's cause stands, also where the body says nothing.
func TestFirstCauseOfAnInterruptionStands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		late := errors.New("late")
		n := 0
		h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
			if n++; n == 1 {
				<-ctx.Done()
				time.Sleep(time.Second)
			}
			return nil
		}))
		synctest.Wait()
		if !h.Interrupt(errBoom) || h.Interrupt(late) {
			t.Error("the first Interrupt changes something, and no other")
		}
		outcomeOf(t, h)
		for _, e := range rec.Events("a") {
			if e.Kind == taskvisor.TaskCanceled && (!errors.Is(e.Err, errBoom) || errors.Is(e.Err, late)) {
				t.Errorf("canceled with %v", e.Err)
			}
		}
	})
}

// Times that are shown are the wall clock's: they carry no reading of another clock, which
// would be printed and compared too. Nor do they, or what is decided, follow a wall clock
// that was set. A bubble has one clock only.
func TestTwoClocks(t *testing.T) {
	for _, set := range []time.Duration{0, time.Hour, -time.Hour} {
		sup, _ := newSup(t)
		must(sup.Start(context.Background()))
		taskvisor.SetWall(sup, set)
		release, looked := make(chan struct{}), make(chan struct{})
		fail := taskvisortest.Script(taskvisortest.Succeed(), taskvisortest.Fail(errBoom))
		fails := addTo(t, sup, taskvisor.Periodic("fails", time.Millisecond, fail, taskvisor.ConstantBackoff(time.Hour)))
		addTo(t, sup, taskvisor.Once("beats", func(ctx context.Context) error {
			taskvisor.Beat(ctx, "now")
			a, _ := taskvisor.FromContext(ctx)
			onlyWall(t, "Attempt", reflect.ValueOf(a.Started))
			close(looked)
			return untilDone(ctx)
		}, taskvisor.WithTimeout(time.Minute)))
		gone := addTo(t, sup, taskvisor.Once("gone", noWork))
		given := addTo(t, sup, taskvisor.Once("given up", stubborn(release), taskvisor.WithGrace(time.Millisecond)))
		<-looked
		eventually(t, "it runs", func() bool { return taskvisor.Active(given) })
		given.Cancel(context.Background())
		gone.Wait(context.Background())
		eventually(t, "one fails", func() bool { return fails.Status().State == taskvisor.StateBackoff })
		sn := sup.Snapshot()
		for _, st := range sn.Tasks {
			onlyWall(t, st.Name, reflect.ValueOf(st))
		}
		for _, e := range sn.Recent {
			onlyWall(t, e.Name, reflect.ValueOf(e))
		}
		for _, h := range []*taskvisor.Handle{gone, given} {
			o, _ := h.Outcome()
			onlyWall(t, "Outcome", reflect.ValueOf(o))
		}
		close(release)
		sup.Shutdown(context.Background()) // tells of the body that was given up, or not
	}
}

// onlyWall checks the times among the fields of v: they are recent, or within an hour.
func onlyWall(t *testing.T, what string, v reflect.Value) {
	t.Helper()
	if at, ok := v.Interface().(time.Time); ok {
		if d := time.Until(at); at != at.Round(0) || !at.IsZero() && (d < -time.Minute || d > time.Hour) {
			t.Errorf("%s: %v", what, at)
		}
		return
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.IsExported() && f.Type == reflect.TypeFor[time.Time]() {
			onlyWall(t, what+"."+f.Name, v.Field(i))
		}
	}
}
