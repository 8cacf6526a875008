package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// unruly is an error whose methods do what they should not.
type unruly struct{ text, is, as, unwrap, exit func() }

func (e *unruly) Error() string { call(e.text); return "unruly" }
func (e *unruly) Is(error) bool { call(e.is); return false }
func (e *unruly) As(any) bool   { call(e.as); return false }
func (e *unruly) Unwrap() error { call(e.unwrap); return nil }
func (e *unruly) ExitCode() int { call(e.exit); return 7 }

func call(f func()) {
	if f != nil {
		f()
	}
}

// exits is an error with an exit code.
type exits int

func (e exits) Error() string { return fmt.Sprintf("exit status %d", int(e)) }
func (e exits) ExitCode() int { return int(e) }

// verdict is what is known of one attempt that nobody stopped.
type verdict struct {
	err    error // returned by the body
	result taskvisor.ResultKind
	event  taskvisor.EventKind
	is     []error // what the event's error is
	exit   int     // 0: none
}

// What a body returns, row by row.
func TestResultOfReturn(t *testing.T) {
	fatal, canceled := taskvisor.Fatal(errBoom), taskvisor.ErrCanceled
	later := taskvisor.RetryAfter(time.Second, errBoom)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	const failed = taskvisor.TaskFailed
	eachInRoom(t, map[string]verdict{
		"nil":                  {nil, taskvisor.ResultSuccess, taskvisor.TaskStopped, nil, 0},
		"Fatal(nil)":           {taskvisor.Fatal(nil), taskvisor.ResultSuccess, taskvisor.TaskStopped, nil, 0},
		"RetryAfter(nil)":      {taskvisor.RetryAfter(time.Second, nil), taskvisor.ResultSuccess, taskvisor.TaskStopped, nil, 0},
		"error":                {errBoom, taskvisor.ResultFailure, failed, []error{errBoom}, 0},
		"fatal":                {fatal, taskvisor.ResultFatal, failed, []error{errBoom}, 0},
		"fatal, wrapped":       {fmt.Errorf("w: %w", fatal), taskvisor.ResultFatal, failed, []error{errBoom}, 0},
		"fatal, joined":        {errors.Join(io.EOF, errors.Join(io.ErrClosedPipe, fatal)), taskvisor.ResultFatal, failed, []error{errBoom, io.EOF}, 0},
		"canceled":             {canceled, taskvisor.ResultCanceled, taskvisor.TaskCanceled, []error{canceled}, 0},
		"canceled, wrapped":    {fmt.Errorf("w: %w", canceled), taskvisor.ResultCanceled, taskvisor.TaskCanceled, []error{canceled}, 0},
		"canceled, joined":     {errors.Join(io.EOF, canceled), taskvisor.ResultCanceled, taskvisor.TaskCanceled, []error{canceled, io.EOF}, 0},
		"canceled, then fatal": {errors.Join(canceled, fatal), taskvisor.ResultFatal, failed, []error{errBoom, canceled}, 0},
		"fatal, then canceled": {errors.Join(fatal, canceled), taskvisor.ResultFatal, failed, []error{errBoom, canceled}, 0},
		"fatal canceled":       {taskvisor.Fatal(canceled), taskvisor.ResultFatal, failed, []error{canceled}, 0},
		"asks, then canceled":  {errors.Join(later, canceled), taskvisor.ResultCanceled, taskvisor.TaskCanceled, []error{errBoom, canceled}, 0},
		"asks, then fatal":     {errors.Join(later, fatal), taskvisor.ResultFatal, failed, []error{errBoom}, 0},
		"asks":                 {later, taskvisor.ResultFailure, failed, []error{errBoom}, 0},

		// an end that nobody ordered, from an inner context, is a failure
		"stray Canceled":         {context.Canceled, taskvisor.ResultFailure, failed, []error{context.Canceled}, 0},
		"stray DeadlineExceeded": {context.DeadlineExceeded, taskvisor.ResultFailure, failed, []error{context.DeadlineExceeded}, 0},
		"stray cause":            {context.Cause(ended), taskvisor.ResultFailure, failed, []error{context.Canceled}, 0},
		"stray ErrRemoved":       {taskvisor.ErrRemoved, taskvisor.ResultFailure, failed, []error{taskvisor.ErrRemoved}, 0},
		"stray ErrShutdown":      {taskvisor.ErrShutdown, taskvisor.ResultFailure, failed, []error{taskvisor.ErrShutdown}, 0},
		"stray ErrGoexit":        {taskvisor.ErrGoexit, taskvisor.ResultFailure, failed, []error{taskvisor.ErrGoexit}, 0},
		"stray timeout":          {taskvisor.ErrAttemptTimeout, taskvisor.ResultFailure, failed, []error{taskvisor.ErrAttemptTimeout}, 0},
		"another's timeout":      {&taskvisor.TimeoutError{Timeout: 1}, taskvisor.ResultFailure, failed, []error{context.DeadlineExceeded}, 0},
		"another's panic":        {&taskvisor.PanicError{Value: errBoom}, taskvisor.ResultFailure, failed, []error{errBoom}, 0},

		"exit code":           {exits(3), taskvisor.ResultFailure, failed, nil, 3},
		"exit code, wrapped":  {fmt.Errorf("w: %w", exits(3)), taskvisor.ResultFailure, failed, nil, 3},
		"exit code, joined":   {errors.Join(io.EOF, exits(-1)), taskvisor.ResultFailure, failed, []error{io.EOF}, -1},
		"exit code, fatal":    {taskvisor.Fatal(exits(4)), taskvisor.ResultFatal, failed, nil, 4},
		"exit code, canceled": {errors.Join(canceled, exits(5)), taskvisor.ResultCanceled, taskvisor.TaskCanceled, nil, 5},
		"exit code, large":    {exits(0xC0000005), taskvisor.ResultFailure, failed, nil, 0xC0000005}, // of a Windows process
		"unruly, quiet":       {&unruly{}, taskvisor.ResultFailure, failed, nil, 7},
	}, func(r *room, tt verdict) {
		o := r.run(taskvisor.Restartable("a", func(context.Context) error {
			time.Sleep(3 * time.Second)
			return tt.err
		}, taskvisor.WithMaxRetries(0)))
		e := r.terminal()
		same(r, "result", e.Result, tt.result)
		same(r, "event", e.Kind, tt.event)
		same(r, "duration", e.Duration, 3*time.Second)
		same(r, "attempt", e.Attempt, 1)
		same(r, "event's error", e.Err, tt.err)
		isAll(r, "outcome", o.Err, tt.err)
		same(r, "outcome's text", fmt.Sprint(o.Err), fmt.Sprint(tt.err))
		isAll(r, "event", e.Err, tt.is...)
		for what, exitCode := range map[string]func() (int, bool){"event": e.ExitCode, "outcome": o.ExitCode} {
			code, ok := exitCode()
			same(r, what+"'s exit code", code, tt.exit)
			same(r, what+" has an exit code", ok, tt.exit != 0)
		}
		wantReason := taskvisor.Reason(0)
		if tt.result == taskvisor.ResultCanceled {
			wantReason = taskvisor.ErrCanceled
		}
		same(r, "reason", e.Reason, wantReason)
	})
}

// A real process' exit code is on the event and the outcome.
func TestResultExitCodeOfProcess(t *testing.T) {
	sup, rec := taskvisortest.Start(t) // a process does not run in a bubble
	h, err := sup.Add(t.Context(), taskvisor.Once("a", func(ctx context.Context) error {
		if err := exec.CommandContext(ctx, "sh", "-c", "exit 23").Run(); err != nil {
			return fmt.Errorf("command: %w", err)
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	o, err := h.Wait(t.Context())
	same(t, "error of waiting", err, nil)
	code, ok := o.ExitCode()
	same(t, "exit code", code, 23)
	same(t, "known", ok, true)
	for _, e := range rec.Events("a") {
		code, ok := e.ExitCode()
		same(t, e.Kind.String()+" has it", ok, e.Kind == taskvisor.TaskFailed)
		same(t, e.Kind.String(), code, map[bool]int{true: 23}[ok])
	}
}

// A panic of a body and of the user's error methods is contained; so is Goexit.
func TestResultOfPanicAndGoexit(t *testing.T) {
	boom := func() { panic(errBoom) }
	type row struct {
		fn     taskvisor.Func
		result taskvisor.ResultKind
		in     string // function that the stack begins with
		target error
	}
	const panicked = taskvisor.ResultPanic
	eachInRoom(t, map[string]row{
		"panic":             {func(context.Context) error { panic(errBoom) }, panicked, "TestResultOfPanicAndGoexit", errBoom},
		"panic, deeper":     {func(context.Context) error { boom(); return nil }, panicked, "TestResultOfPanicAndGoexit", errBoom},
		"panic(nil)":        {func(context.Context) error { panic(nil) }, panicked, "TestResultOfPanicAndGoexit", &runtime.PanicNilError{}}, //nolint:govet // on purpose
		"runtime error":     {func(context.Context) error { var m map[int]int; m[0]++; return nil }, panicked, "TestResultOfPanicAndGoexit", nil},
		"panic with Fatal":  {func(context.Context) error { panic(taskvisor.Fatal(errBoom)) }, panicked, "TestResultOfPanicAndGoexit", errBoom},
		"panic ErrCanceled": {func(context.Context) error { panic(taskvisor.ErrCanceled) }, panicked, "TestResultOfPanicAndGoexit", taskvisor.ErrCanceled},
		"panic in Is":       {func(context.Context) error { return &unruly{is: boom} }, panicked, "TestResultOfPanicAndGoexit", errBoom},
		"panic in As":       {func(context.Context) error { return &unruly{as: boom} }, panicked, "TestResultOfPanicAndGoexit", errBoom},
		"panic in Unwrap":   {func(context.Context) error { return &unruly{unwrap: boom} }, panicked, "TestResultOfPanicAndGoexit", errBoom},
		"panic in ExitCode": {func(context.Context) error { return &unruly{exit: boom} }, panicked, "TestResultOfPanicAndGoexit", errBoom},
		"Goexit":            {func(context.Context) error { runtime.Goexit(); return nil }, taskvisor.ResultFailure, "", taskvisor.ErrGoexit},
		"Goexit in Is":      {func(context.Context) error { return &unruly{is: runtime.Goexit} }, taskvisor.ResultFailure, "", taskvisor.ErrGoexit},
		"Goexit, deferred":  {func(context.Context) error { defer runtime.Goexit(); return nil }, taskvisor.ResultFailure, "", taskvisor.ErrGoexit},
		"panic over Goexit": {func(context.Context) error { defer boom(); runtime.Goexit(); return nil }, panicked, "TestResultOfPanicAndGoexit", errBoom},
		"Goexit over panic": {func(context.Context) error { defer runtime.Goexit(); panic(errBoom) }, taskvisor.ResultFailure, "", taskvisor.ErrGoexit},
		"recovered by body": {func(context.Context) error { defer func() { recover() }(); panic(errBoom) }, taskvisor.ResultSuccess, "", nil},
	}, func(r *room, tt row) {
		r.run(taskvisor.Once("a", tt.fn))
		e := r.terminal()
		same(r, "result", e.Result, tt.result)
		p, isPanic := e.Err.(*taskvisor.PanicError) // errors.As would call the unruly
		if isPanic != (tt.in != "") {
			r.Fatalf("error %v (%T)", e.Err, e.Err)
		}
		if tt.in != "" {
			if first, _, _ := strings.Cut(p.Stack(), "\n"); !strings.Contains(first, tt.in) {
				r.Errorf("the stack begins with %q:\n%s", first, p.Stack())
			}
			same(r, "made anew", p.Stack(), p.Stack())
			if _, ok := tt.target.(*runtime.PanicNilError); ok {
				_, ok = p.Value.(*runtime.PanicNilError)
				same(r, "panic(nil)", ok, true)
				return
			}
		}
		if tt.target != nil {
			isAll(r, "event", e.Err, tt.target)
		}
	})
}

// Panic and Goexit are retryable, whatever they carried.
func TestResultOfPanicIsRetryable(t *testing.T) {
	inRoom(t, func(r *room) {
		o := r.run(taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Panic(taskvisor.Fatal(errBoom)), taskvisortest.Goexit(),
			taskvisortest.Panic(taskvisor.ErrCanceled), taskvisortest.Fail(context.Canceled), taskvisortest.Fail(context.DeadlineExceeded), taskvisortest.Succeed())))
		r.trace("a", "A S ✗ B S ✗ B S ✗ B S ✗ B S ✗ B S ✓ E D")
		same(r, "outcome", o.Kind, taskvisor.OutcomeCompleted)
		same(r, "error", o.Err, nil)
	})
}

// The methods of user's errors run on the attempt's goroutine, without a lock.
func TestResultClassifiesWithoutLock(t *testing.T) {
	inRoom(t, func(r *room) {
		var body, method atomic.Value
		var h *taskvisor.Handle
		added := make(chan struct{}) // closed: h is set
		ask := func() {
			method.Store(goroutine())
			h.Status()
			r.sup.Snapshot()
			h.Stop()
		}
		h = r.add(taskvisor.Restartable("a", func(context.Context) error {
			<-added
			body.Store(goroutine())
			return &unruly{is: ask, as: ask, unwrap: ask, exit: ask}
		}))
		close(added)
		o := r.end(h)
		same(r, "goroutine of the methods", method.Load(), body.Load())
		same(r, "outcome", o.Kind, taskvisor.OutcomeCanceled)
		r.trace("a", "A S Q C D") // the stop was claimed before the result was decided
	})
}

// So does the text of what a body returns past its timeout, which is bounded like others.
func TestTimeoutReadsErrorsWithoutLock(t *testing.T) {
	inRoom(t, func(r *room) {
		var asked int
		var h *taskvisor.Handle
		long := textFunc(func() string {
			asked++
			h.Status()
			r.sup.Snapshot()
			return "unruly " + strings.Repeat("x", 5000)
		})
		h = r.add(taskvisor.Once("a", func(ctx context.Context) error { <-ctx.Done(); return long }, taskvisor.WithTimeout(time.Second)))
		o := r.end(h)
		if r.trace("a", "A S T ✗ E D"); asked == 0 || !errors.Is(o.Err, taskvisor.ErrAttemptTimeout) {
			t.Errorf("asked %d times: %v", asked, o.Err)
		}
		for _, text := range []string{h.Status().LastError, r.sup.Snapshot().Recent[0].Error} {
			if !strings.HasPrefix(text, "attempt timed out after 1s: unruly xxx") || len(text) > 1<<10+len("…") {
				t.Errorf("%d bytes: %.60s", len(text), text)
			}
		}
	})
}

// textFunc is an error with a text that is made when it is asked for.
type textFunc func() string

func (f textFunc) Error() string { return f() }

// goroutine returns the caller's "goroutine N".
func goroutine() string {
	buf := make([]byte, 64)
	head := strings.Fields(string(buf[:runtime.Stack(buf, false)]))
	return strings.Join(head[:2], " ")
}

// ErrCanceled ends the task under every policy.
func TestResultCanceledEndsUnderEveryPolicy(t *testing.T) {
	for name, spec := range map[string]taskvisor.TaskSpec{
		"once":        taskvisor.Once("a", taskvisortest.Script(taskvisortest.Fail(taskvisor.ErrCanceled))),
		"restartable": taskvisor.Restartable("a", taskvisortest.Script(taskvisortest.Fail(taskvisor.ErrCanceled))),
		"periodic":    taskvisor.Periodic("a", time.Second, taskvisortest.Script(taskvisortest.Fail(taskvisor.ErrCanceled))),
	} {
		t.Run(name, func(t *testing.T) {
			inRoom(t, func(r *room) {
				o := r.run(spec)
				r.trace("a", "A S C D")
				same(t, "outcome", o.Kind, taskvisor.OutcomeCanceled)
				same(t, "reason", o.Reason, taskvisor.ErrCanceled)
				isAll(t, "outcome", o.Err, taskvisor.ErrCanceled)
			})
		})
	}
}

// Two attempts of one task never overlap, and each has exactly one terminal
// event, whatever happens.
func TestAttemptsNeverOverlap(t *testing.T) {
	inRoom(t, func(r *room) {
		var running, most, n atomic.Int32
		script := taskvisortest.Script(taskvisortest.Succeed(), taskvisortest.Fail(errBoom), taskvisortest.Panic(1), taskvisortest.Goexit(),
			taskvisortest.Ignore(3*time.Second), taskvisortest.Block(), taskvisortest.Ignore(20*time.Second), taskvisortest.Fail(taskvisor.ErrCanceled))
		h := r.add(taskvisor.Restartable("a", func(ctx context.Context) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			n.Add(1)
			return script(ctx)
		}, taskvisor.RestartAlways(0), taskvisor.WithoutRestartFloor(), taskvisor.ConstantBackoff(0), taskvisor.WithTimeout(time.Second), taskvisor.WithUnlimitedRetries()))
		r.end(h)
		same(r, "at the same time", most.Load(), 1)
		r.trace("a", "A S ✓ B S ✗ B S ✗ B S ✗ B S T ✗ B S T ✗ B S T K ✗ B S C D")
		same(r, "calls", n.Load(), 8)
	})
}
