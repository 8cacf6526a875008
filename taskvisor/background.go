package taskvisor

// background starts what belongs to a supervisor and to no task. It is one place, so that
// goroutines can be counted: each call says what ends its goroutine and who waits for it,
// there or in the table of ARCHITECTURE.md. f may call the user's code, which may end the
// goroutine: f itself contains that, or goes on elsewhere.
func background(f func()) { go f() }

// inTurn calls f(0) to f(n-1). Inline subscribers and gates that f calls may end the
// goroutine, by runtime.Goexit: another goes on with the rest then, which would wait
// for ever. It does not call itself, since n may be large: see inspect.
func inTurn(n int, f func(i int)) { inTurnFrom(0, n, f) }

func inTurnFrom(i, n int, f func(i int)) {
	defer func() {
		if i < n {
			background(func() { inTurnFrom(i, n, f) })
		}
	}()
	for i < n {
		i++ // first: a call that does not come back is not repeated
		f(i - 1)
	}
}
