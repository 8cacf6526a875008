package taskvisor_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// BenchmarkSubmit compares the whole life of a submission (verdict, turn, one
// attempt, outcome) with that of a task given to Add, for one and many slots and
// callers. An operation is 8192 instant tasks; ns/task is what to read. The goal
// is at most twice the cost of Add, whatever the number of slots.
func BenchmarkSubmit(b *testing.B) {
	const batch = 8192
	names := make([]string, batch)
	for i := range names {
		names[i] = nth("task-", i)
	}
	instant := func(context.Context) error { return nil }
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("Add/callers=%d", callers), func(b *testing.B) {
			sup := unobserved(b)
			benchmarkLives(b, batch, callers, func(i int) (*taskvisor.Handle, error) {
				return sup.Add(context.Background(), taskvisor.Once(names[i], instant))
			})
		})
		for _, slots := range []int{1, 64, 4096} {
			b.Run(fmt.Sprintf("Queue/slots=%d/callers=%d", slots, callers), func(b *testing.B) {
				sup := unobserved(b, taskvisor.WithMaxQueue(batch))
				benchmarkLives(b, batch, callers, func(i int) (*taskvisor.Handle, error) {
					return sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once(names[i], instant), Slot: names[i%slots]})
				})
			})
		}
	}
}

// benchmarkLives has callers begin lives together and waits for the end of all.
func benchmarkLives(b *testing.B, batch, callers int, begin func(i int) (*taskvisor.Handle, error)) {
	handles := make([]*taskvisor.Handle, batch)
	b.ReportAllocs()
	for b.Loop() {
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for i := c; i < batch; i += callers {
					h, err := begin(i)
					if err != nil {
						b.Error(err)
						return
					}
					handles[i] = h
				}
			})
		}
		wg.Wait()
		for _, h := range handles {
			if o, err := h.Wait(context.Background()); err != nil || o.Kind != taskvisor.OutcomeCompleted {
				b.Fatalf("%s: %v, %v", h.Name(), o.Kind, err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/task")
}

// BenchmarkVerdict is the call alone, for slots whose owners never end. It costs
// the same for every number of slots.
func BenchmarkVerdict(b *testing.B) {
	for _, policy := range []taskvisor.Admission{asQueue, asReplace, asDrop, asCoalesce, asJoin} {
		for _, slots := range []int{1, 4096} {
			b.Run(fmt.Sprintf("%v/slots=%d", policy, slots), func(b *testing.B) {
				sup := unobserved(b, taskvisor.WithMaxQueue(1<<30))
				over := make(chan struct{})
				b.Cleanup(func() { close(over) })
				body := func(context.Context) error { <-over; return nil }
				keys := make([]string, slots)
				for i := range keys {
					keys[i] = nth("slot-", i)
					if _, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once(keys[i], body)}); err != nil {
						b.Fatal(err)
					}
				}
				next := taskvisor.Submission{Task: taskvisor.Once("next", body), Admission: policy}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					next.Slot = keys[i%slots]
					if _, err := sup.Submit(context.Background(), next); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
		}
	}
}
