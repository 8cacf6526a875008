package taskvisor

import (
	"context"
	"testing"
	"time"
)

// A shutdown waits half a second for the stacks of what it abandons, and goes on
// without them if they take longer: it is bounded, its error names everybody all
// the same.
func TestVerdictWithoutStacks(t *testing.T) {
	if captureWait > 500*time.Millisecond {
		t.Errorf("a capture may take %v", captureWait)
	}
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	h, err := s.Add(context.Background(), Once("stuck", func(context.Context) error { <-release; return nil }))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return h.phaseNow() == phaseActive })
	h.Stop()
	late := s.abandonAll([]*task{h}, nil) // what captureWithin returns then
	if late == nil || len(late.Tasks) != 1 || late.Tasks[0].Name != "stuck" || late.Tasks[0].Stack != "" {
		t.Errorf("the verdict is %v", late)
	}
	if o, known := h.Outcome(); !known || o.Kind != OutcomeAbandoned || o.Stack != "" || o.Err != error(late) {
		t.Errorf("outcome %+v, %v", o, known)
	}
	close(release)
	eventually(t, func() bool { return h.phaseNow() == phaseGone })
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}
