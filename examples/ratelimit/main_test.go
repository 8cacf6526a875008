package main

import (
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/taskvisor/taskvisor-go/examples/internal/readme"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// Two at once, then one each 200 ms, in the order in which they came.
func TestCallsBeginAtTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out readme.Buffer
		log.SetOutput(&out)
		defer log.SetOutput(os.Stderr)
		l := &limiter{Limiter: rate.NewLimiter(5, 2)}
		sup, _ := taskvisortest.Start(t, taskvisor.WithTaskDefaults(taskvisor.WithGate(l)))
		handles, err := sup.AddAll(t.Context(), calls(6)...)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range handles {
			h.Wait(t.Context())
		}
		lines := slices.Sorted(strings.Lines(out.String())) // the first two begin together
		readme.Check(t, strings.Join(lines, ""))
		for id := range l.turns.Range {
			t.Errorf("task %v still waits", id)
		}
	})
}

// The turn of a task that is stopped while it waits is the next one's.
func TestTurnOfAStoppedTaskIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limiter{Limiter: rate.NewLimiter(1, 1)}
		sup, _ := taskvisortest.Start(t, taskvisor.WithTaskDefaults(taskvisor.WithGate(l)))
		began := time.Now()
		var handles []*taskvisor.Handle
		for i := range 2 {
			h, err := sup.Add(t.Context(), taskvisor.Once(fmt.Sprint(i), taskvisortest.Script(taskvisortest.Succeed())))
			if err != nil {
				t.Fatal(err)
			}
			handles = append(handles, h)
			synctest.Wait()
		}
		if st := handles[1].Status(); st.State != taskvisor.StatePending || st.Gate != "rate" {
			t.Fatalf("%v at the gate %q", st.State, st.Gate)
		}
		if o, err := handles[1].Cancel(t.Context()); err != nil || o.Attempts != 0 {
			t.Errorf("%d attempts, %v", o.Attempts, err)
		}
		h, err := sup.Add(t.Context(), taskvisor.Once("next", taskvisortest.Script(taskvisortest.Succeed())))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Wait(t.Context()); err != nil || time.Since(began) != time.Second {
			t.Errorf("the next one began after %v, want 1s: %v", time.Since(began), err)
		}
	})
}
