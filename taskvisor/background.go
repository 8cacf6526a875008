package taskvisor

// background starts what belongs to a supervisor and to no task. It is one place, so that
// goroutines can be counted: each call says what ends its goroutine and who waits for it,
// there or in the table of ARCHITECTURE.md. f may call the user's code, which may end the
// goroutine: f itself contains that, or goes on elsewhere.
func background(f func()) { go f() }
