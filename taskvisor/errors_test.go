package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Causes are what the context package would have said.
func TestReasonIs(t *testing.T) {
	is := map[taskvisor.Reason]error{
		taskvisor.ErrRemoved:        context.Canceled,
		taskvisor.ErrReplaced:       context.Canceled,
		taskvisor.ErrShutdown:       context.Canceled,
		taskvisor.ErrInterrupted:    context.Canceled,
		taskvisor.ErrAttemptTimeout: context.DeadlineExceeded,
	}
	for r := taskvisor.ErrTaskExists; r <= taskvisor.ErrShuttingDown; r++ {
		for _, target := range []error{context.Canceled, context.DeadlineExceeded} {
			same(t, fmt.Sprintf("%s is %v", r, target), errors.Is(r, target), is[r] == target)
			wrapped := fmt.Errorf("wrapped: %w", r)
			same(t, fmt.Sprintf("wrapped %s is %v", r, target), errors.Is(wrapped, target), is[r] == target)
		}
		isAll(t, "itself", r, r)
		same(t, "Timeout of "+r.String(), r.Timeout(), r == taskvisor.ErrAttemptTimeout)
		if !strings.HasPrefix(r.Error(), "taskvisor: ") || len(r.Error()) < 15 {
			t.Errorf("%s says %q", r, r.Error())
		}
	}
	var timeout interface{ Timeout() bool }
	if !errors.As(error(taskvisor.ErrAttemptTimeout), &timeout) || !timeout.Timeout() {
		t.Error("ErrAttemptTimeout does not support Timeout")
	}
}

func TestFatalAndRetryAfterWrap(t *testing.T) {
	same(t, "Fatal(nil)", taskvisor.Fatal(nil), nil)
	same(t, "RetryAfter(d, nil)", taskvisor.RetryAfter(time.Second, nil), nil)
	for name, err := range map[string]error{
		"fatal":      taskvisor.Fatal(errBoom),
		"retryable":  taskvisor.RetryAfter(time.Second, errBoom),
		"both":       taskvisor.Fatal(taskvisor.RetryAfter(time.Second, errBoom)),
		"other both": taskvisor.RetryAfter(time.Second, taskvisor.Fatal(errBoom)),
	} {
		isAll(t, name, err, errBoom)
		same(t, "text", err.Error(), errBoom.Error())
	}
}

func TestPanicErrorUnwrapsAndHidesValues(t *testing.T) {
	type secret struct{ password string }
	for name, tt := range map[string]struct {
		value any
		text  string
	}{
		"error":  {errBoom, "panic: boom"},
		"string": {"text", "panic: text"},
		"bool":   {true, "panic: true"},
		"int":    {-7, "panic: -7"},
		"uint8":  {uint8(7), "panic: 7"},
		"float":  {1.5, "panic: 1.5"},
		"struct": {secret{"x"}, "panic: (taskvisor_test.secret)"}, // a live value is never read
		"map":    {map[string]int{}, "panic: (map[string]int)"},
	} {
		e := &taskvisor.PanicError{Value: tt.value}
		same(t, name, e.Error(), tt.text)
		err, _ := tt.value.(error)
		same(t, name+" unwrapped", e.Unwrap(), err)
		same(t, name+" is errBoom", errors.Is(e, errBoom), tt.value == any(errBoom))
	}
}

func TestTimeoutErrorUnwraps(t *testing.T) {
	bare := &taskvisor.TimeoutError{Timeout: time.Second}
	isAll(t, "bare", bare, taskvisor.ErrAttemptTimeout, context.DeadlineExceeded)
	same(t, "text", bare.Error(), "attempt timed out after 1s")
	full := &taskvisor.TimeoutError{Timeout: time.Second, Err: errBoom}
	isAll(t, "full", full, taskvisor.ErrAttemptTimeout, context.DeadlineExceeded, errBoom)
	same(t, "text", full.Error(), "attempt timed out after 1s: boom")
	same(t, "canceled", errors.Is(full, context.Canceled), false)
}

func TestGraceExceededErrorNamesEachTask(t *testing.T) {
	e := &taskvisor.GraceExceededError{Grace: time.Second, Tasks: []taskvisor.TaskStatus{
		{ID: 3, Name: "a", Attempt: 1, Stack: "goroutine 7"}, {ID: 9, Name: "b c", Attempt: 2},
	}}
	same(t, "text", e.Error(), `taskvisor: grace of 1s exceeded by "a" (id 3, attempt 1), "b c" (id 9, attempt 2)`)
}

func TestTaskErrorText(t *testing.T) {
	for want, e := range map[string]*taskvisor.TaskError{
		`taskvisor: add "mailer": name in use`: {Op: "add", Task: "mailer", Err: taskvisor.ErrTaskExists},
		`taskvisor: run: boom`:                 {Op: "run", Err: errBoom},
		`taskvisor: go "a\nb": boom`:           {Op: "go", Task: "a\nb", Err: errBoom},
	} {
		same(t, "text", e.Error(), want)
		isAll(t, want, e, e.Err)
	}
}
