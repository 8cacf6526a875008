package taskvisor

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
)

// PanicError is a recovered panic of a body, one of its children, or a
// subscriber.
type PanicError struct {
	Value any // what was given to panic

	pcs []uintptr // of the stack at the panic, innermost first, 64 at most
}

// newPanicError is called by the deferred function that recovered v, while the
// frames that panicked are still there. Program counters are some thirty times
// cheaper than text, and most stacks are never read.
func newPanicError(v any) *PanicError {
	var pcs [64]uintptr
	n := runtime.Callers(2, pcs[:]) // without Callers and newPanicError; Stack begins at the panic
	return &PanicError{Value: v, pcs: append([]uintptr(nil), pcs[:n]...)}
}

// Error returns the panic's value as the runtime prints it: values other than
// errors and basic types show as their type, since formatting a live value of
// the user's would read it while others write it.
func (e *PanicError) Error() string { return "panic: " + panicText(e.Value) }

// panicText calls Error, which is the user's, if v is an error: no lock may be held, and it
// may panic. No other method of a value is called.
func panicText(v any) string {
	switch v := v.(type) {
	case error:
		return v.Error()
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, uintptr, float32, float64, complex64, complex128:
		return fmt.Sprint(v)
	default:
		return fmt.Sprintf("(%T)", v)
	}
}

// Unwrap returns the panic's value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Stack returns the stack at the panic, innermost call first, two lines a
// frame as [runtime/debug.Stack] prints them. The text is made anew at each call.
func (e *PanicError) Stack() string {
	var b strings.Builder
	frames := runtime.CallersFrames(e.pcs)
	recovering, inRuntime := true, true // before the call that panicked
	for {
		f, more := frames.Next()
		inRuntime = recovering || inRuntime && strings.HasPrefix(f.Function, "runtime.")
		recovering = recovering && f.Function != "runtime.gopanic"
		if f.Function != "" && !inRuntime {
			b.WriteString(f.Function)
			b.WriteString("(...)\n\t")
			b.WriteString(f.File)
			b.WriteByte(':')
			b.WriteString(strconv.Itoa(f.Line))
			b.WriteByte('\n')
		}
		if !more {
			return b.String()
		}
	}
}
