package main

import (
	"errors"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease/kubernetes/internal/server"
)

// Whoever is cut off has stopped before another begins, and whoever stops hands over well
// before its lease would expire. What client-go does is measured and not judged.
func TestOwnersDoNotOverlap(t *testing.T) {
	const ttl = 4 * time.Second
	s, err := server.New()
	if errors.Is(err, server.ErrNone) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for fault, limit := range map[string]time.Duration{"cut": 2 * ttl, "term": ttl / 2} {
		t.Run(fault, func(t *testing.T) {
			m, err := round(s, "lease", fault, ttl)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("takeover after %s, the old stopped after %s, overlap %s", m.takeover, m.stopped, m.overlap)
			if m.overlap != 0 {
				t.Errorf("they overlapped for %s", m.overlap)
			}
			if m.takeover > limit {
				t.Errorf("the takeover took %s", m.takeover)
			}
		})
	}
}
