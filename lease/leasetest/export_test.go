package leasetest

import (
	"testing"
	"testing/synctest"
)

// InBubbles is TestStore for an engine in this process: in a bubble nothing is late,
// however busy the machine, and waiting costs nothing.
func InBubbles(t *testing.T, e Engine) { testStore(t, e, synctest.Test) }
