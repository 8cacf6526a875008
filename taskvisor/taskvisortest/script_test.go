package taskvisortest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

var errBad = errors.New("bad")

func TestScriptStepsInOrderAndRepeatsTheLast(t *testing.T) {
	fn := taskvisortest.Script(taskvisortest.Fail(errBad), taskvisortest.Succeed(), taskvisortest.Fail(errBad))
	for i, want := range []error{errBad, nil, errBad, errBad, errBad} {
		if got := fn(t.Context()); got != want {
			t.Errorf("call %d returned %v, want %v", i+1, got, want)
		}
	}
}

func TestScriptPanicsAndExits(t *testing.T) {
	fn := taskvisortest.Script(taskvisortest.Panic(errBad), taskvisortest.Goexit())
	func() {
		defer func() {
			if v := recover(); v != errBad {
				t.Errorf("panicked with %v, want %v", v, errBad)
			}
		}()
		fn(t.Context())
	}()
	returned := true
	var end group
	end.Go(func() {
		returned = false
		fn(t.Context())
		returned = true
	})
	end.Wait()
	if returned {
		t.Error("Goexit returned")
	}
}

func TestScriptWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			step taskvisortest.Step
			want error
			took time.Duration
		}{
			"block":           {taskvisortest.Block(), errBad, time.Minute},
			"ignore":          {taskvisortest.Ignore(time.Hour), nil, time.Hour},
			"after":           {taskvisortest.After(time.Second, taskvisortest.Succeed()), nil, time.Second},
			"after, canceled": {taskvisortest.After(time.Hour, taskvisortest.Succeed()), errBad, time.Minute},
			"zero":            {taskvisortest.Step{}, nil, 0},
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			timer := time.AfterFunc(time.Minute, func() { cancel(errBad) })
			start := time.Now()
			if got := taskvisortest.Script(c.step)(ctx); got != c.want {
				t.Errorf("%s returned %v, want %v", name, got, c.want)
			}
			if took := time.Since(start); took != c.took {
				t.Errorf("%s took %s, want %s", name, took, c.took)
			}
			timer.Stop()
			cancel(nil)
		}
	})
}

// Tasks that share a script do each of its steps once.
func TestScriptConcurrentSafe(t *testing.T) {
	const steps = 100
	script := make([]taskvisortest.Step, 0, steps+1)
	for range steps {
		script = append(script, taskvisortest.Fail(errBad))
	}
	fn := taskvisortest.Script(append(script, taskvisortest.Succeed())...)
	var failed atomic.Int32
	var callers group
	for range 8 {
		callers.Go(func() {
			for range steps {
				if fn(t.Context()) != nil {
					failed.Add(1)
				}
			}
		})
	}
	callers.Wait()
	if got := failed.Load(); got != steps {
		t.Errorf("%d steps failed, want %d", got, steps)
	}
}

func TestScriptMisuse(t *testing.T) {
	for name, misuse := range map[string]func(){
		"no steps":  func() { taskvisortest.Script() },
		"nil error": func() { taskvisortest.Fail(nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse()
		}()
	}
}
