//go:build !race

package taskvisor

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"
)

// The end of a submission, where its slot is passed on or given up, fits into the
// two kilobytes that a goroutine begins with. A stack that is outgrown there is
// copied, with the controller's lock held: a third of what a serial slot cost.
// Under the race detector frames are larger.
func TestSubmissionEndsOnASmallStack(t *testing.T) {
	for _, slots := range []int{1, 1000} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			// On two, waiting for a lock takes a stack of its own accord.
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			const n = 2000
			s := startedSupervisor(t, WithMaxQueue(n))
			var moved atomic.Int32
			s.runners.New = func() any {
				r := newRunner()
				run := r.entry
				r.entry = func() {
					var mark byte
					before := uintptr(unsafe.Pointer(&mark))
					run()
					if uintptr(unsafe.Pointer(&mark)) != before {
						moved.Add(1)
					}
				}
				return r
			}
			var hs []*Handle
			for i := range n {
				name := fmt.Sprint(i)
				h, err := s.Submit(context.Background(), Submission{
					Task: Once(name, func(context.Context) error { return nil }), Slot: fmt.Sprint(i % slots)})
				if err != nil {
					t.Fatal(err)
				}
				hs = append(hs, h)
			}
			for _, h := range hs {
				if o, err := h.Wait(context.Background()); o.Kind != OutcomeCompleted {
					t.Fatal(o.Kind, err)
				}
			}
			if m := moved.Load(); m > n/10 { // a few meet the garbage collector
				t.Errorf("%d of %d stacks were outgrown", m, n)
			}
		})
	}
}
