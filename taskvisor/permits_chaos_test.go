package taskvisor_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// However tasks restart without delay, replace each other in slots, inherit places and
// are stopped, no more bodies are at work than there are permits, and at the end none is
// lost or given twice.
func TestPermitsUnderRequeueAndReplacementConcurrentSafe(t *testing.T) {
	for range 4 {
		permits := 1 + rand.IntN(3)
		sup, err := taskvisor.New(taskvisor.WithMaxConcurrent(permits), taskvisor.WithGrace(time.Minute), taskvisor.WithSubscriber(taskvisor.Discard))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		var inside, most, bodies atomic.Int64
		body := func(context.Context) error {
			n := inside.Add(1)
			defer inside.Add(-1)
			bodies.Add(1)
			for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
			}
			return nil
		}
		restless := func(name string) taskvisor.TaskSpec {
			return taskvisor.Periodic(name, 0, body, taskvisor.WithoutRestartFloor())
		}
		for i := range 4 {
			addTo(t, sup, restless(nth("resident", i)))
		}
		var callers sync.WaitGroup
		for id := range 4 {
			callers.Go(func() {
				rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
				for n := range 300 {
					spec := restless(nth(nth("s", id)+"-", n))
					if n%3 == 0 {
						spec = taskvisor.Once(nth(nth("o", id)+"-", n), body)
					}
					h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: nth("slot", rng.IntN(3)), Task: spec, Admission: taskvisor.Replace})
					if err != nil {
						t.Error(err)
						return
					}
					if rng.IntN(4) == 0 {
						h.Stop()
					}
				}
			})
		}
		callers.Wait()
		eventually(t, "a resident runs", func() bool { return bodies.Load() > 0 }) // not yet, on a busy machine
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if most.Load() > int64(permits) {
			t.Errorf("%d bodies at a time with %d permits; %d in all", most.Load(), permits, bodies.Load())
		}
		sn := sup.Snapshot()
		if checkConservation(t, sn); sn.InUse != 0 || sn.Started != sn.Ended {
			t.Errorf("at the end %d permits are in use; %d started, %d ended", sn.InUse, sn.Started, sn.Ended)
		}
	}
}

// A restart without delay gives its permit up when others wait, and queues again behind
// them: the bodies take turns.
func TestRestartsTakeTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t, taskvisor.WithMaxConcurrent(1))
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b", "c"} {
			addTo(t, sup, taskvisor.Periodic(name, 0, worksFor(time.Second), taskvisor.WithoutRestartFloor()))
		}
		time.Sleep(30*time.Second - time.Millisecond)
		order := ""
		for _, e := range rec.Events() {
			if e.Kind == taskvisor.TaskStarting {
				order += e.Task
			}
		}
		if want := "abcabcabcabcabcabcabcabcabcabc"; order != want {
			t.Errorf("started %s, want %s", order, want)
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
