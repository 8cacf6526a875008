package taskvisor

// background starts what belongs to a supervisor and to no task: it names for each
// of its callers, in ARCHITECTURE.md, what ends the goroutine and who waits for it.
func background(f func()) { go f() }
