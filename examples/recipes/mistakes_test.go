package recipes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// trace runs a task for an hour, stops it if it still runs, and returns its trace.
func trace(t *testing.T, spec taskvisor.TaskSpec) (letters string, outcome taskvisor.Outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h, err := sup.Add(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if outcome, err = h.Cancel(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour) // an abandoned body comes back
		letters = rec.Trace(spec.Name())
	})
	return letters, outcome
}

// docs/common-mistakes.md says what each of these looks like.
func TestMistakes(t *testing.T) {
	page, err := os.ReadFile(root + "/docs/common-mistakes.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := func(t *testing.T, spec taskvisor.TaskSpec, want string, kind taskvisor.OutcomeKind) {
		t.Helper()
		got, outcome := trace(t, spec)
		if got != want || outcome.Kind != kind {
			t.Errorf("%s, %v; want %s, %v", got, outcome.Kind, want, kind)
		}
	}
	onPage := func(t *testing.T, letters string) string {
		t.Helper()
		if !strings.Contains(string(page), "`"+letters+"`") {
			t.Errorf("%s is not on the page", letters)
		}
		return letters
	}
	t.Run("returns nil", func(t *testing.T) {
		shown(t, taskvisor.Restartable("x", func(context.Context) error { return nil }),
			onPage(t, "A S ✓ E D"), taskvisor.OutcomeCompleted)
	})
	t.Run("does not look at its context", func(t *testing.T) {
		shown(t, taskvisor.Restartable("x", func(context.Context) error { time.Sleep(90 * time.Minute); return nil }),
			onPage(t, "A S Q K N ✓ R D"), taskvisor.OutcomeAbandoned)
	})
	t.Run("takes a timeout for a kill", func(t *testing.T) {
		n := 0
		shown(t, taskvisor.Restartable("x", func(context.Context) error {
			if n++; n == 1 {
				time.Sleep(time.Minute)
			}
			return nil
		}, taskvisor.WithTimeout(time.Second), taskvisor.WithStuckAfter(time.Hour)), "A S T ✗ B S ✓ E D", taskvisor.OutcomeCompleted)
	})
	t.Run("returns the error of an inner context", func(t *testing.T) {
		shown(t, taskvisor.Restartable("x", func(context.Context) error { return context.DeadlineExceeded }, taskvisor.WithMaxRetries(1)),
			"A S ✗ B S ✗ E D", taskvisor.OutcomeFailed)
	})
	t.Run("children are cancelled when the body returns", func(t *testing.T) {
		done := false
		shown(t, taskvisor.Once("x", func(ctx context.Context) error {
			return taskvisor.Go(ctx, func(ctx context.Context) {
				select {
				case <-time.After(time.Minute):
					done = true
				case <-ctx.Done():
				}
			})
		}), "A S ✓ E D", taskvisor.OutcomeCompleted)
		if done {
			t.Error("the body waited for its child")
		}
	})
	t.Run("Ready without WithReadiness", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sup, _ := taskvisortest.Start(t)
			h, err := sup.Add(t.Context(), taskvisor.Restartable("x", func(ctx context.Context) error { <-ctx.Done(); return nil }))
			if err != nil {
				t.Fatal(err)
			}
			if synctest.Wait(); !h.Status().Ready {
				t.Error("a task without WithReadiness is not ready while it runs")
			}
		})
	})
}

func TestMistakesAtTheSupervisor(t *testing.T) {
	body := func(context.Context) error { return nil }
	synctest.Test(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		for _, spec := range []taskvisor.TaskSpec{
			taskvisor.Once("timeout", body, taskvisor.WithTimeout(0)),
			taskvisor.Periodic("interval", -1, body),
			taskvisor.Once("retries", body, taskvisor.WithMaxRetries(1)),
			taskvisor.Once("dependency", body, taskvisor.After("nobody")),
		} {
			if _, err := sup.Add(t.Context(), spec); err == nil {
				t.Errorf("%s: no error", spec.Name())
			}
		}
		if n := len(sup.List()); n != 0 {
			t.Errorf("%d tasks are registered", n)
		}
		h, err := sup.Add(t.Context(), taskvisor.Once("x", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		h.Stop()
		if _, err := sup.Add(t.Context(), taskvisor.Once("x", body)); !errors.Is(err, taskvisor.ErrTaskExists) {
			t.Errorf("the name is free before the body is back: %v", err)
		}
		h.Wait(t.Context())
		if _, err := sup.Add(t.Context(), taskvisor.Once("x", body)); err != nil {
			t.Error(err)
		}
		if err := sup.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := sup.Run(t.Context()); !errors.Is(err, taskvisor.ErrShuttingDown) {
			t.Errorf("a second run: %v", err)
		}
	})
}

// Run answers for what it was given, and for what is essential.
func TestWhoseFailuresRunReturns(t *testing.T) {
	for _, essential := range []bool{false, true} {
		sup, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard))
		if err != nil {
			t.Fatal(err)
		}
		why := errors.New("late")
		var opts []taskvisor.TaskOption
		if essential {
			opts = append(opts, taskvisor.WithEssential())
		}
		err = sup.Run(t.Context(), taskvisor.Once("adds", func(ctx context.Context) error {
			_, err := sup.Add(ctx, taskvisor.Once("added", func(context.Context) error { return why }, opts...))
			return err
		}))
		if errors.Is(err, why) != essential {
			t.Error(fmt.Sprint("essential: ", essential, ", Run returned: ", err))
		}
	}
}
