package leasetest_test

import (
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
)

func TestMemory(t *testing.T) {
	engine := &leasetest.Memory{}
	leasetest.InBubbles(t, leasetest.Engine{
		Open:    func(*testing.T) lease.Store { return engine.Connect() },
		Restart: func(*testing.T) { engine.SetDown(true); engine.SetDown(false) },
		Late:    100 * time.Millisecond,
	})
}
