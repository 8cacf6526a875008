package taskvisor

import "time"

// ending is what became of a body and its children, as classified on the
// attempt's goroutine.
type ending struct {
	kind      ResultKind // as if nobody had stopped the task and no deadline had passed
	goexit    bool
	requested bool // RetryAfter
	coded     bool // code is an exit code
	code      int
	after     time.Duration
	err       error
}

func (e *ending) exit() exitCode { return exitCode{e.code, e.coded} }

func (r *runner) caught() {
	if v := recover(); v != nil {
		r.e = ending{kind: ResultPanic, err: newPanicError(v)}
		r.e.code, r.e.coded = panicExit(v)
	}
}

// panicExit is the exit code of an error that a body panicked with: a PanicError
// unwraps to it, so errors.As finds what carries the code. One that panics once
// more has none.
func panicExit(v any) (code int, coded bool) {
	err, ok := v.(error)
	if !ok {
		return 0, false
	}
	defer func() { _ = recover() }()
	var e ending
	e.classify(err)
	return e.code, e.coded
}

// classify reads a body's error. It calls the methods of the user's error types,
// hence on the attempt's goroutine, without a lock, where panics are recovered.
// Until that is done, e stays that of a body which did not come back.
func (e *ending) classify(err error) {
	if err == nil {
		e.kind, e.goexit, e.err = ResultSuccess, false, nil
		return
	}
	found := ending{kind: ResultFailure, err: err}
	found.inspect(err)
	*e = found
}

// inspect walks the tree of err, depth first, as errors.As does, but once for
// all that is looked for, and without allocating. The first RetryAfter and the
// first exit code count. What triggered a shutdown is not the body's to answer
// for: one that returns its context's cause was not fatal itself.
func (e *ending) inspect(err error) {
	for err != nil {
		if _, ours := err.(*stopError); ours {
			return
		}
		e.look(err)
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			err = x.Unwrap()
		case interface{ Unwrap() []error }:
			for _, branch := range x.Unwrap() {
				e.inspect(branch)
			}
			return
		default:
			return
		}
	}
}

// look takes what err itself says, or says through a method As.
func (e *ending) look(err error) {
	switch x := err.(type) {
	case *fatalError:
		e.kind = ResultFatal
	case *retryAfterError:
		e.retryAfter(x)
	case Reason:
		e.cancels(x == ErrCanceled)
	case interface{ ExitCode() int }:
		e.exited(x)
	}
	if x, ok := err.(interface{ Is(error) bool }); ok {
		e.cancels(x.Is(ErrCanceled))
	}
	x, ok := err.(interface{ As(any) bool })
	if !ok {
		return
	}
	var fatal *fatalError
	var later *retryAfterError
	var coder interface{ ExitCode() int }
	if x.As(&fatal) {
		e.kind = ResultFatal
	}
	if x.As(&later) {
		e.retryAfter(later)
	}
	if x.As(&coder) {
		e.exited(coder)
	}
}

func (e *ending) cancels(yes bool) {
	if yes && e.kind == ResultFailure {
		e.kind = ResultCanceled
	}
}

func (e *ending) retryAfter(x *retryAfterError) {
	if !e.requested {
		e.requested, e.after = true, x.delay
	}
}

func (e *ending) exited(x interface{ ExitCode() int }) {
	if !e.coded {
		e.code, e.coded = x.ExitCode(), true
	}
}
