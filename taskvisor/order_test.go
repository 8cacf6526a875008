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

var errBoom = errors.New("boom")

// The table of event orders, one row a path.
func TestEventOrder(t *testing.T) {
	fast := []taskvisor.TaskOption{taskvisor.ConstantBackoff(time.Second)}
	script := taskvisortest.Script
	succeed, fail := taskvisortest.Succeed(), taskvisortest.Fail(errBoom)
	tests := []struct {
		name string
		spec taskvisor.TaskSpec
		want string
		kind taskvisor.OutcomeKind
	}{
		{"once, success", taskvisor.Once("a", script(succeed)), "A S ✓ E D", taskvisor.OutcomeCompleted},
		{"once, failure", taskvisor.Once("a", script(fail)), "A S ✗ E D", taskvisor.OutcomeFailed},
		{"three failures, then success", taskvisor.Restartable("a", script(fail, fail, fail, succeed), fast...),
			"A S ✗ B S ✗ B S ✗ B S ✓ E D", taskvisor.OutcomeCompleted},
		{"two retries, all failing", taskvisor.Restartable("a", script(fail), append(fast, taskvisor.WithMaxRetries(2))...),
			"A S ✗ B S ✗ B S ✗ E D", taskvisor.OutcomeFailed},
		{"no retries", taskvisor.Restartable("a", script(fail), taskvisor.WithMaxRetries(0)), "A S ✗ E D", taskvisor.OutcomeFailed},
		{"fatal", taskvisor.Restartable("a", script(taskvisortest.Fail(taskvisor.Fatal(errBoom)))), "A S ✗ X D", taskvisor.OutcomeFatal},
		{"canceled unasked", taskvisor.Periodic("a", time.Second, script(taskvisortest.Fail(taskvisor.ErrCanceled))), "A S C D", taskvisor.OutcomeCanceled},
		{"panic, then success", taskvisor.Restartable("a", script(taskvisortest.Panic("x"), succeed), fast...), "A S ✗ B S ✓ E D", taskvisor.OutcomeCompleted},
		{"Goexit, then success", taskvisor.Restartable("a", script(taskvisortest.Goexit(), succeed), fast...), "A S ✗ B S ✓ E D", taskvisor.OutcomeCompleted},
		{"timeout with one retry, then again", taskvisor.Restartable("a", script(taskvisortest.Block()),
			append(fast, taskvisor.WithTimeout(time.Minute), taskvisor.WithMaxRetries(1))...), "A S T ✗ B S T ✗ E D", taskvisor.OutcomeFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sup, rec := taskvisortest.Start(t)
				h, err := sup.Add(context.Background(), tt.spec)
				if err != nil {
					t.Fatal(err)
				}
				o, err := h.Wait(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if got := rec.Trace("a"); got != tt.want {
					t.Errorf("events %q, want %q", got, tt.want)
				}
				if o.Kind != tt.kind || (o.Err == nil) != (tt.kind == taskvisor.OutcomeCompleted) {
					t.Errorf("outcome %v (%v), want %v", o.Kind, o.Err, tt.kind)
				}
			})
		})
	}
}
