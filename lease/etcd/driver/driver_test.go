package main

import (
	"context"
	"os"
	"testing"
	"time"
)

// Replicas and engines are this binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && (os.Args[1] == "replica" || os.Args[1] == "engine") {
		main()
		return
	}
	os.Exit(m.Run())
}

// With real processes: whoever takes over does so within the ttl and what it takes to
// notice, the old owner has stopped before, unless it was paused, and then the resource
// refuses what it writes.
func TestDriver(t *testing.T) {
	const ttl = 2 * time.Second
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			m, err := round(context.Background(), "lease", f, ttl, os.Stderr)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("takeover after %s, the old stopped after %s, overlap %s, %d stale writes", m.takeover, m.stopped, m.overlap, m.stale)
			limit := ttl + 2*time.Second
			switch f.name {
			case "term":
				limit = ttl / 2
			case "engine":
				limit = 5 * ttl // the client waits longer and longer between two connections
			}
			if m.takeover > limit {
				t.Errorf("the takeover took %s", m.takeover)
			}
			switch f.name {
			case "pause":
				if m.overlap > ttl/4 {
					t.Errorf("it went on for %s after the pause", m.overlap)
				}
			default:
				if m.overlap != 0 || m.stale != 0 {
					t.Errorf("they overlapped for %s", m.overlap)
				}
			}
			if f.name == "engine" && m.stopped > ttl {
				t.Errorf("it went on for %s without an engine", m.stopped)
			}
		})
	}
}
