package rounds

import (
	"syscall"
	"time"
)

// CPU is the processor time that this process has used, in user and kernel
// mode on all processors.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
