package leasetest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease/leasetest"
)

// An Acquire that arrives after the same owner's next leaves the lease of that as it is.
func TestLateAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 4 * time.Second
		c := (&leasetest.Memory{}).Connect()
		c.Late(200 * time.Millisecond)
		if _, err := c.Acquire(t.Context(), "k", "a", ttl); err == nil {
			t.Fatal("it was answered")
		}
		c.Late(0)
		token, err := c.Acquire(t.Context(), "k", "a", ttl)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if lost, err := c.Renew(t.Context(), "a", map[string]uint64{"k": token}, ttl); err != nil || len(lost) != 0 {
			t.Errorf("lost %q, %v", lost, err)
		}
		if again, err := c.Acquire(t.Context(), "k", "a", ttl); err != nil || again <= token {
			t.Errorf("taken anew: token %d after %d, %v", again, token, err)
		}
		time.Sleep(2 * ttl)
	})
}
