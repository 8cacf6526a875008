package taskvisortest

import "time"

// SetHangsAfter shortens the real time after which a call counts as hanging,
// for the one child process that waits for it.
func SetHangsAfter(d time.Duration) { hangsAfter = d }
