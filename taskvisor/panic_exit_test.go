package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// notAnError has an exit code, but is not in the tree of any error.
type notAnError struct{}

func (notAnError) ExitCode() int { return 9 }

// The exit code is that of the error which the terminal event and the outcome
// carry, also where a body panicked with it: what errors.As finds counts.
func TestExitCodeOfAPanic(t *testing.T) {
	inChild := func(v any) taskvisor.Func {
		return func(ctx context.Context) error {
			return taskvisor.Go(ctx, func(context.Context) { panic(v) })
		}
	}
	for name, tt := range map[string]struct {
		fn   taskvisor.Func
		code int // 0: none
	}{
		"an error":              {taskvisortest.Script(taskvisortest.Panic(exits(3))), 3},
		"a wrapped error":       {taskvisortest.Script(taskvisortest.Panic(fmt.Errorf("run: %w", exits(3)))), 3},
		"of a child":            {inChild(exits(4)), 4},
		"an error without":      {taskvisortest.Script(taskvisortest.Panic(errBoom)), 0},
		"no error":              {taskvisortest.Script(taskvisortest.Panic(notAnError{})), 0},
		"panics again":          {taskvisortest.Script(taskvisortest.Panic(&unruly{exit: func() { panic(1) }})), 0},
		"child panics again":    {inChild(&unruly{exit: func() { panic(1) }}), 0},
		"child exits meanwhile": {inChild(&unruly{exit: runtime.Goexit}), 0},
		"fatal is not returned": {taskvisortest.Script(taskvisortest.Panic(taskvisor.Fatal(exits(5)))), 5},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t)
				o := outcomeOf(t, addTo(t, sup, taskvisor.Once("a", tt.fn)))
				wantTrace(t, rec, "a", "A S ✗ E D")
				e := rec.Events("a")[2]
				for what, exitCode := range map[string]func() (int, bool){"event": e.ExitCode, "outcome": o.ExitCode} {
					if code, ok := exitCode(); code != tt.code || ok != (tt.code != 0) {
						t.Errorf("%s: exit code %d, %v, want %d", what, code, ok, tt.code)
					}
				}
				var p *taskvisor.PanicError
				if !errors.As(o.Err, &p) || e.Result != taskvisor.ResultPanic {
					t.Errorf("%v, %v", e.Result, o.Err)
				}
			})
		})
	}
}
