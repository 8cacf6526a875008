package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// Marks speak to the supervisor of the task that returns them: an error that comes
// out of a child's outcome, a Wait, an Await or an inner supervisor's Run keeps its
// tree, but a parent that returns it is judged by its own policy.
func TestMarksSpeakToTheirOwnSupervisor(t *testing.T) {
	errLost := errors.New("lost")
	marks := map[string]error{
		"fatal":       taskvisor.Fatal(errLost),
		"canceled":    errors.Join(taskvisor.ErrCanceled, errLost),
		"with reason": taskvisor.Canceled(errLost),
		"retry after": taskvisor.RetryAfter(time.Hour, errLost),
	}
	ways := map[string]func(ctx context.Context, t *testing.T, sup *taskvisor.Supervisor, child taskvisor.Func) error{
		"outcome": func(ctx context.Context, t *testing.T, sup *taskvisor.Supervisor, child taskvisor.Func) error {
			h := addTo(t, sup, taskvisor.Once("child", child))
			o, err := h.Wait(ctx)
			return errors.Join(err, o.Err)
		},
		"outcome of a panic": func(ctx context.Context, t *testing.T, sup *taskvisor.Supervisor, child taskvisor.Func) error {
			h := addTo(t, sup, taskvisor.Once("child", func(ctx context.Context) error { panic(child(ctx)) }))
			o, err := h.Wait(ctx)
			return errors.Join(err, o.Err)
		},
		"cause of a shutdown": func(ctx context.Context, t *testing.T, _ *taskvisor.Supervisor, child taskvisor.Func) error {
			inner, _ := newSup(t)
			stop, cancel := context.WithCancelCause(context.Background())
			if err := inner.Start(stop); err != nil {
				t.Fatal(err)
			}
			h := addTo(t, inner, taskvisor.Once("child", func(ctx context.Context) error { <-ctx.Done(); return nil }))
			cancel(child(ctx))
			o, err := h.Wait(ctx)
			return errors.Join(err, o.Err)
		},
		"await": func(ctx context.Context, t *testing.T, sup *taskvisor.Supervisor, child taskvisor.Func) error {
			h := addTo(t, sup, taskvisor.Once("child",
				taskvisor.Returning(func(ctx context.Context) (int, error) { return 0, child(ctx) })))
			_, err := taskvisor.Await[int](ctx, h)
			return err
		},
		"run": func(ctx context.Context, t *testing.T, _ *taskvisor.Supervisor, child taskvisor.Func) error {
			inner, _ := newSup(t)
			return inner.Run(ctx, taskvisor.Once("child", child, taskvisor.WithEssential()))
		},
		"run in two levels": func(ctx context.Context, t *testing.T, _ *taskvisor.Supervisor, child taskvisor.Func) error {
			middle, _ := newSup(t)
			return middle.Run(ctx, taskvisor.Once("inner", func(ctx context.Context) error {
				inner, _ := newSup(t)
				return inner.Run(ctx, taskvisor.Once("child", child, taskvisor.WithEssential()))
			}, taskvisor.WithEssential()))
		},
	}
	check := func(t *testing.T, ask func(context.Context, *testing.T, *taskvisor.Supervisor, taskvisor.Func) error, err error, wrap func(error) error) {
		sup, rec := taskvisortest.Start(t)
		n := 0
		var got error
		h := addTo(t, sup, taskvisor.Restartable("parent", func(ctx context.Context) error {
			if n++; n > 1 {
				return nil
			}
			got = ask(ctx, t, sup, func(context.Context) error { return err })
			return wrap(got)
		}, taskvisor.ConstantBackoff(time.Second)))
		o := outcomeOf(t, h)
		isAll(t, "what the parent got", got, errLost)
		same(t, "outcome", o.Kind, taskvisor.OutcomeCompleted)
		wantTrace(t, rec, "parent", "A S ✗ B S ✓ E D")
		for _, e := range rec.Events("parent") {
			if e.Kind == taskvisor.BackoffScheduled && (e.Delay != time.Second || e.Source != taskvisor.BackoffFailure) {
				t.Errorf("%v", e)
			}
		}
	}
	for mark, err := range marks {
		for way, ask := range ways {
			for name, wrap := range wraps {
				t.Run(mark+", "+way+name, func(t *testing.T) {
					bubble(t, func(t *testing.T) { check(t, ask, err, wrap) })
				})
			}
		}
	}
}

// wraps are how a body may return what it got: as it is, or inside of an error whose own
// methods lead into it.
var wraps = map[string]func(error) error{
	"":             func(err error) error { return err },
	", in a chain": func(err error) error { return chain{err} },
	", by Is":      func(err error) error { return leadsIn{err} },
}

// chain is what hashicorp/go-multierror has: Is and As lead into the first error.
type chain []error

func (c chain) Error() string        { return c[0].Error() }
func (c chain) Is(target error) bool { return errors.Is(c[0], target) }
func (c chain) As(target any) bool   { return errors.As(c[0], target) }

func (c chain) Unwrap() error {
	if len(c) == 1 {
		return nil
	}
	return c[1:]
}

// leadsIn has no other way in than Is.
type leadsIn struct{ error }

func (e leadsIn) Is(target error) bool { return errors.Is(e.error, target) }

// RunAfter is a success only if nothing is beside it: an error that was joined with it does
// not vanish, and other marks count whichever comes first.
func TestRunAfterBesideAnError(t *testing.T) {
	again := taskvisor.RunAfter(2 * time.Hour)
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"wrapped":      {fmt.Errorf("more: %w", again), "A S ✓ B"},
		"twice":        {errors.Join(again, taskvisor.RunAfter(time.Minute)), "A S ✓ B"},
		"error first":  {errors.Join(errBoom, again), "A S ✗ B"},
		"error behind": {errors.Join(again, errBoom), "A S ✗ B"},
		"cancel first": {errors.Join(taskvisor.ErrCanceled, again), "A S C D"},
		"cancel last":  {errors.Join(again, taskvisor.ErrCanceled), "A S C D"},
		"fatal":        {errors.Join(again, taskvisor.Fatal(errBoom)), "A S ✗ X D"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t)
				addTo(t, sup, taskvisor.Periodic("a", time.Hour, func(context.Context) error { return tt.err }))
				synctest.Wait()
				wantTrace(t, rec, "a", tt.want)
				for _, e := range rec.Events("a") {
					switch e.Kind {
					case taskvisor.TaskFailed:
						isAll(t, "error", e.Err, errBoom)
					case taskvisor.BackoffScheduled:
						same(t, "delay", e.Delay, 2*time.Hour)
					}
				}
			})
		})
	}
}

// The cause of an interruption is the word of whoever interrupts: a body that returns
// it ends its attempt, and not the task.
func TestMarksOfAnInterruption(t *testing.T) {
	causes := []error{taskvisor.Fatal(errBoom), taskvisor.Canceled(errBoom), taskvisor.RetryAfter(time.Hour, errBoom)}
	each := func(cause error, wrap func(error) error) {
		bubble(t, func(t *testing.T) {
			sup, rec := taskvisortest.Start(t)
			n := 0
			h := addTo(t, sup, taskvisor.Restartable("a", func(ctx context.Context) error {
				if n++; n > 1 {
					return nil
				}
				<-ctx.Done()
				return wrap(context.Cause(ctx))
			}))
			synctest.Wait()
			time.Sleep(time.Second)
			h.Interrupt(cause)
			same(t, "outcome", outcomeOf(t, h).Kind, taskvisor.OutcomeCompleted)
			wantTrace(t, rec, "a", "A S I C B S ✓ E D")
			for _, e := range rec.Events("a") {
				if e.Kind == taskvisor.BackoffScheduled && e.Delay != 0 {
					t.Errorf("%T: %v", cause, e)
				}
			}
		})
	}
	for _, cause := range causes {
		for _, wrap := range wraps {
			each(cause, wrap)
		}
	}
}

// A parent that marks what it got says so itself, and so does one that adds its own mark.
func TestMarkedAnew(t *testing.T) {
	for _, mark := range []func(error) error{
		taskvisor.Fatal,
		func(err error) error { return chain{taskvisor.Fatal(err)} },
		func(err error) error { return chain{err, taskvisor.Fatal(errBoom)} },
		func(err error) error { return chain{taskvisor.RetryAfter(time.Minute, taskvisor.Fatal(err))} },
	} {
		bubble(t, func(t *testing.T) {
			sup, rec := taskvisortest.Start(t)
			h := addTo(t, sup, taskvisor.Restartable("parent", func(ctx context.Context) error {
				child := addTo(t, sup, taskvisor.Once("child", taskvisortest.Script(taskvisortest.Fail(taskvisor.RetryAfter(time.Hour, errBoom)))))
				o, _ := child.Wait(ctx)
				return mark(o.Err)
			}))
			o := outcomeOf(t, h)
			isAll(t, "outcome", o.Err, errBoom)
			wantTrace(t, rec, "parent", "A S ✗ X D")
		})
	}
}

// A supervisor as a task: what it leaves running is in the outer report under the
// path of the names, however deep, and the causes are told once.
func TestAsTask(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		leaf, leafRec := newSup(t, taskvisor.WithName("leaf"), taskvisor.WithGrace(time.Minute))
		var cause error
		for _, spec := range []taskvisor.TaskSpec{
			taskvisor.Once("stuck", stubborn(release)),
			taskvisor.Once("good", func(ctx context.Context) error { <-ctx.Done(); cause = context.Cause(ctx); return nil }),
		} {
			addTo(t, leaf, spec)
		}
		middle, _ := newSup(t, taskvisor.WithName("middle"), taskvisor.WithGrace(time.Minute))
		addTo(t, middle, leaf.AsTask("leaf"))
		outer, outerRec := newSup(t, taskvisor.WithName("outer"), taskvisor.WithGrace(time.Minute))
		addTo(t, outer, middle.AsTask("middle"))
		if err := outer.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		before := time.Now()
		err := outer.Shutdown(context.Background())
		var late *taskvisor.GraceExceededError
		if !errors.As(err, &late) {
			t.Fatalf("Shutdown: %v", err)
		}
		names := map[string]bool{}
		for _, st := range late.Tasks {
			names[st.Name] = true
		}
		if !names["middle/leaf/stuck"] || time.Since(before) > time.Minute+time.Second {
			t.Errorf("after %v: %v", time.Since(before), err)
		}
		wantTrace(t, outerRec, "", "H G")
		wantTrace(t, leafRec, "good", "A S ✓ D")
		if text := cause.Error(); text != "taskvisor: supervisor shut down" {
			t.Errorf("cause %q", text)
		}
		close(release)
	})
}

// The report is sorted by id, whichever supervisor a body runs in.
func TestReportOfInnerSupervisorsIsSorted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		outer, _ := newSup(t, taskvisor.WithGrace(time.Second))
		if err := outer.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		var inner [2]*taskvisor.Supervisor
		for i := range inner {
			inner[i], _ = newSup(t, taskvisor.WithGrace(time.Hour))
			addTo(t, inner[i], taskvisor.Once("first", stubborn(release)))
			addTo(t, outer, inner[i].AsTask(nth("in", i)))
		}
		synctest.Wait()
		for i := range inner {
			addTo(t, inner[i], taskvisor.Once("second", stubborn(release)))
		}
		addTo(t, outer, taskvisor.Once("last", stubborn(release)))
		synctest.Wait()
		var late *taskvisor.GraceExceededError
		if err := outer.Shutdown(context.Background()); !errors.As(err, &late) {
			t.Fatalf("Shutdown: %v", err)
		}
		var names []string
		for _, st := range late.Tasks {
			names = append(names, st.Name)
		}
		sameList(t, "report", names, []string{"in0/first", "in0", "in1/first", "in1", "in0/second", "in1/second", "last"})
		close(release)
	})
}
