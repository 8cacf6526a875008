// Package checklist runs lists of checks and says of each whether it holds.
package checklist

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Check is one claim about E.
type Check[E any] struct {
	Name string
	Run  func(ctx context.Context, e E) error
}

// Runner runs checks. Patience is how long each may be tried again before it counts
// as failed: scrapes and exports take their time. Known are the names of the checks
// that are known to fail, with the reason: they count only if they hold, so that the
// list cannot outlive its reasons.
type Runner struct {
	Out      io.Writer
	Patience time.Duration
	Known    map[string]string
}

// Run runs the checks in their order and returns how many count as failed.
func Run[E any](ctx context.Context, r Runner, phase string, e E, checks []Check[E]) (failed int) {
	fmt.Fprintf(r.Out, "-- %s\n", phase)
	for _, c := range checks {
		began := time.Now()
		err := c.Run(ctx, e)
		reason, known := r.Known[c.Name]
		for err != nil && !known && ctx.Err() == nil && time.Since(began) < r.Patience {
			Pause(ctx, time.Second)
			err = c.Run(ctx, e)
		}
		took := time.Since(began).Round(100 * time.Millisecond)
		switch {
		case err != nil && known:
			fmt.Fprintf(r.Out, "known %s: %s (%v)\n", c.Name, reason, err)
		case err != nil:
			failed++
			fmt.Fprintf(r.Out, "FAIL  %s (%s): %v\n", c.Name, took, err)
		case known:
			failed++
			fmt.Fprintf(r.Out, "FAIL  %s: listed as known to fail, but holds\n", c.Name)
		default:
			fmt.Fprintf(r.Out, "ok    %s (%s)\n", c.Name, took)
		}
	}
	return failed
}

// Pause waits for d, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
