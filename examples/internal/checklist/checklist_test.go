package checklist_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/checklist"
)

// TestRun: what counts as failed, and what is said of each check.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		began := time.Now()
		r := checklist.Runner{Out: &out, Patience: 5 * time.Second, Known: map[string]string{"known": "a reason", "mended": "a reason"}}
		after := func(d time.Duration) func(context.Context, string) error {
			return func(context.Context, string) error {
				if time.Since(began) < d {
					return errors.New("too early")
				}
				return nil
			}
		}
		failed := checklist.Run(t.Context(), r, "part", "env", []checklist.Check[string]{
			{Name: "good", Run: func(_ context.Context, e string) error {
				if e != "env" {
					return errors.New(e)
				}
				return nil
			}},
			{Name: "known", Run: after(time.Hour)},
			{Name: "mended", Run: after(0)},
			{Name: "slow", Run: after(3 * time.Second)},
			{Name: "bad", Run: after(time.Hour)},
		})
		want := `-- part
ok    good (0s)
known known: a reason (too early)
FAIL  mended: listed as known to fail, but holds
ok    slow (3s)
FAIL  bad (5s): too early
`
		if failed != 2 || out.String() != want {
			t.Errorf("%d failed:\n%s", failed, out.String())
		}
		if d := time.Since(began); d != 8*time.Second {
			t.Errorf("took %s", d)
		}
	})
}

// TestRunEndsWithItsContext: an interrupt is not waited out.
func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		r := checklist.Runner{Out: new(strings.Builder), Patience: time.Hour}
		failed := checklist.Run(ctx, r, "part", 0, []checklist.Check[int]{{Name: "bad", Run: func(context.Context, int) error { return errors.New("no") }}})
		if d := time.Since(began); failed != 1 || d != 2*time.Second {
			t.Errorf("%d failed after %s", failed, d)
		}
	})
}
