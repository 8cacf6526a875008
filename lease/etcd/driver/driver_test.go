package main

import (
	"context"
	"errors"
	"fmt"
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
// refuses what it writes. A machine that is too busy is a pause of everybody: what a
// round shows counts if a second and a third show it too.
func TestDriver(t *testing.T) {
	const ttl = 2 * time.Second
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			for try := 1; ; try++ {
				m, err := round(context.Background(), "lease", f, ttl, os.Stderr)
				if err == nil {
					t.Logf("takeover after %s, the old stopped after %s, overlap %s, %d stale writes", m.takeover, m.stopped, m.overlap, m.stale)
					err = judge(f, m, ttl)
				}
				if err == nil {
					return
				}
				if errors.Is(err, errTaken) || try == 3 {
					t.Fatal(err)
				}
				t.Log(err)
			}
		})
	}
}

// judge says what is wrong with a round.
func judge(f fault, m measured, ttl time.Duration) error {
	limit := ttl + 2*time.Second
	switch f.name {
	case "term":
		limit = ttl / 2
	case "engine":
		limit = 5 * ttl // the client waits longer and longer between two connections
	}
	switch {
	case m.takeover > limit:
		return fmt.Errorf("the takeover took %s", m.takeover)
	case f.name == "pause" && m.overlap > ttl/4:
		return fmt.Errorf("it went on for %s after the pause", m.overlap)
	case f.name != "pause" && (m.overlap != 0 || m.stale != 0):
		return fmt.Errorf("they overlapped for %s", m.overlap)
	case f.name == "engine" && m.stopped > ttl:
		return fmt.Errorf("it went on for %s without an engine", m.stopped)
	}
	return nil
}
