package taskvisor_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// BenchmarkSubmit compares the whole life of a submission (verdict, turn, one
// attempt, outcome) with that of a task given to Add, for one and many slots and
// callers. An operation is 8192 instant tasks; ns/task is what to read, and xAdd,
// how much that is of the same tasks given to Add by as many callers. Both are
// measured in turn. The goal is at most 2, whatever the number of
// slots.
//
// What shares a slot runs one after the other, while tasks given to Add run on
// all processors. xSerial is the same ratio for Adds that run one after the other
// as well, since there is one permit: it is what the queue of a slot costs.
func BenchmarkSubmit(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("Add/callers=%d", callers), func(b *testing.B) {
			newLives(callers).measure(b, viaAdd(newSupervisor(b)))
		})
		for _, slots := range []int{1, 64, 4096} {
			b.Run(fmt.Sprintf("Queue/slots=%d/callers=%d", slots, callers), func(b *testing.B) {
				sup := newSupervisor(b, taskvisor.WithMaxQueue(perBatch))
				submit := func(name string, i int) (*taskvisor.Handle, error) {
					return sup.Submit(context.Background(), taskvisor.Submission{
						Task: taskvisor.Once(name, instant), Slot: slotKeys[i%slots]})
				}
				peers := []peer{{"xAdd", viaAdd(newSupervisor(b))}}
				if slots == 1 {
					peers = append(peers, peer{"xSerial", viaAdd(newSupervisor(b, taskvisor.WithMaxConcurrent(1)))})
				}
				newLives(callers).measure(b, submit, peers...)
			})
		}
	}
}

// perBatch is how many tasks BenchmarkSubmit begins together.
const perBatch = 8192

var (
	taskNames = names("task-", perBatch)
	slotKeys  = names("slot-", 4096)
)

func names(prefix string, n int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = nth(prefix, i)
	}
	return s
}

func instant(context.Context) error { return nil }

// begin gives the i-th task of a batch to a supervisor.
type begin func(name string, i int) (*taskvisor.Handle, error)

func viaAdd(sup *taskvisor.Supervisor) begin {
	return func(name string, _ int) (*taskvisor.Handle, error) {
		return sup.Add(context.Background(), taskvisor.Once(name, instant))
	}
}

// peer is what a benchmark is compared with, under the name of the ratio.
type peer struct {
	metric string
	begin  begin
}

// batchOfLives has callers begin tasks together and waits for the end of all.
type batchOfLives struct {
	callers int
	handles []*taskvisor.Handle
}

func newLives(callers int) *batchOfLives {
	return &batchOfLives{callers, make([]*taskvisor.Handle, perBatch)}
}

// measure times b.N batches that go through do, and in turn with them, off the
// benchmark's own clock, as many through each peer. A turn is a few batches long:
// what a supervisor keeps for reuse does not outlast the garbage collections of
// the others' turns. The ratio is the median of all turns.
func (l *batchOfLives) measure(b *testing.B, do begin, peers ...peer) {
	const turn = 4
	ratios := make([][]float64, len(peers))
	l.run(b, 1, do) // makes the heap and the maps grow
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= turn {
		n := min(turn, left)
		own := l.run(b, n, do)
		b.StopTimer()
		for i, p := range peers {
			ratios[i] = append(ratios[i], float64(own)/float64(l.run(b, n, p.begin)))
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*perBatch), "ns/task")
	for i, p := range peers {
		slices.Sort(ratios[i])
		b.ReportMetric(ratios[i][len(ratios[i])/2], p.metric)
	}
}

// run runs n batches to their end.
func (l *batchOfLives) run(b *testing.B, n int, do begin) time.Duration {
	from := time.Now()
	for range n {
		l.begin(b, do)
		for _, h := range l.handles {
			if o, err := h.Wait(context.Background()); err != nil || o.Kind != taskvisor.OutcomeCompleted {
				b.Fatalf("%s: %v, %v", h.Name(), o.Kind, err)
			}
		}
	}
	return time.Since(from)
}

func (l *batchOfLives) begin(b *testing.B, do begin) {
	var wg sync.WaitGroup
	for c := range l.callers {
		wg.Go(func() {
			for i := c; i < perBatch; i += l.callers {
				h, err := do(taskNames[i], i)
				if err != nil {
					b.Error(err)
					return
				}
				l.handles[i] = h
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// BenchmarkVerdict is the call alone, for slots whose owners never end. It costs
// the same for every number of slots.
func BenchmarkVerdict(b *testing.B) {
	for _, policy := range []taskvisor.Admission{asQueue, asReplace, asDrop, asCoalesce, asJoin} {
		for _, slots := range []int{1, 4096} {
			b.Run(fmt.Sprintf("%v/slots=%d", policy, slots), func(b *testing.B) {
				sup := newSupervisor(b, taskvisor.WithMaxQueue(1<<30))
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
