package taskvisor

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// maxErrorText bounds the text of an error that a status shows.
const maxErrorText = 1 << 10

// ending is what became of a body and its children, as read on the attempt's
// goroutine. Everything that takes a call of the user's code is read before the machine
// decides, without a lock; from then on the texts and the code are what is shown.
type ending struct {
	life.Ending
	aborted  bool          // the body was not called
	stirred  bool          // it was interrupted, and that is why it was canceled
	marked   bool          // err has marks, which are for the task's own supervisor
	visited  int32         // how many errors of its tree were looked at
	code     exitCode      // that err carries
	err      error         // nil after a success, also after RunAfter
	text     string        // of err, taken once, at most maxErrorText long
	stack    *string       // of a panic, where there are subscribers; nil otherwise: most are never read
	duration time.Duration // of the attempt; set when the result is decided
	next     *time.Time    // of a scheduled task, on the wall clock; nil: there is none
}

// exited is the ending of a body that does not come back: runtime.Goexit. It is set before
// the body is called and replaced when it returns, so that a goroutine which is ended in
// between leaves it behind.
func exited() ending {
	return ending{Ending: life.Ending{Kind: life.Failure, Exited: true}, err: ErrGoexit, text: exitedText}
}

var exitedText = ErrGoexit.Error() // made once: every attempt begins with it

// judge reads a body's error. It calls the methods of the user's error types, hence
// on the attempt's goroutine, without a lock, where panics are recovered. Until that
// is done, e stays that of a body which did not come back: a method may call Goexit.
func (e *ending) judge(err error) {
	if err == nil {
		*e = ending{Ending: life.Ending{Kind: life.Success}}
		return
	}
	found := ending{Ending: life.Ending{Kind: life.Failure}, err: err}
	if found.inspect(err) && found.Kind == life.Failure { // no other mark says otherwise
		found.Kind, found.err = life.Success, nil
		*e = found
		return
	}
	found.text = cutText(err.Error(), maxErrorText)
	*e = found
}

// heard is the error as all but the task's own supervisor get it: it is shown and, as the
// error of the outcome, may be returned by the body of another task. There its marks must
// not count: see spokenError.
func (e *ending) heard() error {
	if e.marked {
		return &spokenError{e.err}
	}
	return e.err
}

// panicked is what a panic with the value v makes of e. If v is an error, what it
// carries counts: an exit code, and the delay of RetryAfter. One whose methods panic once
// more carries nothing. The text is made last, so "panic" stands for one that has none.
func (e *ending) panicked(v any, p *PanicError) {
	*e = ending{Ending: life.Ending{Kind: life.Panic}, err: p, text: "panic"}
	e.carries(v, p)
}

// carries reads what the value of a panic carries. Its methods may end the goroutine: e
// is then complete without it.
func (e *ending) carries(v any, p *PanicError) {
	defer func() { _ = recover() }()
	if err, ok := v.(error); ok {
		var found ending
		found.inspect(err)
		e.code, e.Asked, e.After, e.marked = found.code, found.Asked, found.After, found.marked
	}
	e.text = cutText(p.Error(), maxErrorText)
}

// plan asks a schedule for the start after now. It calls the user's code, on the attempt's
// goroutine. What the machine counts by is Next; next is kept to correct that when the
// wall clock is set.
func (e *ending) plan(next func(time.Time) time.Time, s *Supervisor) {
	e.next, e.Next = nil, 0 // of an earlier join: see returned
	now := time.Now()
	if at := next(now.Round(0)); !at.IsZero() {
		e.next = &at
		e.Next = s.instant(now).After(max(time.Until(at), 0)) // next may be slow: it is past then
	}
}

// maxTree is how many errors of a tree are looked at; one that contains itself has no end.
const maxTree = 1 << 20

// inspect walks the tree of err, depth first, as errors.As does, but once for all that is
// looked for. The first delay and the first exit code count. What was said to another
// supervisor does not: the errors of other tasks' outcomes, and what triggered a stop.
// again reports whether the tree ends in RunAfter wherever it ends: an error beside one is
// not to vanish in a success.
//
// It does not call itself: the stack for a tree of a million errors is 256 MB, and where a
// collection of garbage sees such a stack, the runtime gives megabytes to every goroutine
// that begins until the next.
func (e *ending) inspect(err error) (again bool) {
	failed := false       // an error that wraps none is not RunAfter
	var branches []branch // still to be walked, the nearest last; none is empty
	quiet := false        // below what was said to another supervisor: only the exit code counts
	for {
		for err != nil {
			if e.visited++; e.visited > maxTree {
				return false // it contains itself, and would never end
			}
			if x, ok := err.(*spokenError); ok {
				quiet, err = true, x.err
				continue
			}
			_, success := err.(*runAfterError)
			success = success && !quiet
			var more []error
			if more, err = e.step(err, quiet); len(more) > 0 {
				branches = append(branches, branch{more, quiet})
			} else if err == nil {
				again, failed = again || success, failed || !success
			}
		}
		n := len(branches)
		if n == 0 {
			return again && !failed
		}
		last := &branches[n-1]
		err, quiet = last.errs[0], last.quiet
		if last.errs = last.errs[1:]; len(last.errs) == 0 {
			branches = branches[:n-1]
		}
	}
}

// branch is what one error wraps, as far as it is still to be walked.
type branch struct {
	errs  []error
	quiet bool
}

// step looks at one error, and returns what it wraps: one error, or several.
func (e *ending) step(err error, quiet bool) (branches []error, next error) {
	if _, ok := err.(*causeError); ok { // of a stop, as the body got it from its context: nothing that the body says
		return nil, nil
	}
	if quiet {
		e.lookForCode(err)
	} else {
		e.look(err)
	}
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		return nil, x.Unwrap()
	case interface{ Unwrap() []error }:
		return x.Unwrap(), nil
	}
	return nil, nil
}

// look takes what err itself says, or says through a method Is or As, which are the
// user's: as errors.Is and errors.As would, if they were called for each mark, and for what
// is in a quote were not. Fatal wins over everything, the others over a plain failure only.
func (e *ending) look(err error) {
	switch x := err.(type) {
	case *fatalError:
		e.Kind, e.marked = life.Fatal, true
	case *retryAfterError:
		e.ask(x.delay)
	case *runAfterError:
		e.ask(x.delay)
	case *canceledError:
		e.cancels(true)
	case Reason:
		e.cancels(x == ErrCanceled)
	}
	e.lookForCode(err)
	if x, ok := err.(interface{ Is(error) bool }); ok && x.Is(ErrCanceled) {
		var first cancelOrQuote
		x.Is(&first) // says nothing if the user's method answers for itself: then it is heard
		e.cancels(!first.quoted)
	}
	x, ok := err.(interface{ As(any) bool })
	if !ok {
		return
	}
	var fatal fatalOrQuote
	if x.As(&fatal) {
		if _, ok := fatal.(*fatalError); ok {
			e.Kind, e.marked = life.Fatal, true
		}
	}
	var later laterOrQuote
	if x.As(&later) {
		if later, ok := later.(*retryAfterError); ok {
			e.ask(later.delay)
		}
	}
}

// lookForCode takes the exit code that err itself has, or says that it has.
func (e *ending) lookForCode(err error) {
	switch x := err.(type) {
	case interface{ ExitCode() int }:
		e.exits(x)
	case interface{ As(any) bool }:
		var coder interface{ ExitCode() int }
		if x.As(&coder) {
			e.exits(coder)
		}
	}
}

// cancels notes that the body wants its task to end, unless a mark before said otherwise.
func (e *ending) cancels(yes bool) {
	if yes {
		e.marked = true
		if e.Kind == life.Failure {
			e.Kind = life.Canceled
		}
	}
}

// ask notes the delay that a mark sets; the first one counts.
func (e *ending) ask(d time.Duration) {
	e.marked = true
	if !e.Asked {
		e.Asked, e.After = true, d
	}
}

// exits asks x, which is the user's, for its code, if there was none before.
func (e *ending) exits(x interface{ ExitCode() int }) {
	if !e.code.known {
		e.code = exitCode{x.ExitCode(), true}
	}
}

// exitCode is the exit status that an error carries: that of [os/exec.ExitError]
// and of anything else with a method ExitCode() int.
type exitCode struct {
	code  int
	known bool // 0 is a code too
}

// cutText returns at most n bytes of s and, where it has cut, an ellipsis; it cuts no
// character in two. What it returns does not keep a longer s in memory.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.Clone(s[:n]) + "…"
}
