// Package stacks reads the stacks of goroutines that wear the label of a task.
package stacks

import (
	"sync"
	"time"
)

// Label is the pprof label that tells a task's goroutines: its id, in decimal.
const Label = "taskvisor_task_id"

// The bounds of what is kept of one task, and of all tasks of one capture.
const (
	MaxTask   = 64 << 10
	MaxReport = 1 << 20
)

const cut = "…\n" // ends a stack that was too long

// A capture stops the world: with ten thousand goroutines for a third of a second
// of CPU. So between two of them passes at least every, and share times as long as
// the last one took.
const (
	every = time.Second
	share = 20
)

// Reader takes the stacks of tasks for all who ask, with one capture for those who
// ask at the same time. The zero value is ready. It is safe for concurrent use.
type Reader struct {
	mu    sync.Mutex // guards the fields below
	asked []request
	busy  bool          // a goroutine is capturing
	hurry bool          // it takes no rest, as long as somebody asks
	quiet time.Time     // no capture before that, but for those in a hurry
	wake  chan struct{} // closed to end a rest; nil: nobody rests
}

type request struct {
	id  uint64
	got func(stack string)
}

// Ask has got called with the stack of the task's goroutines, as they are at some
// time after the call, on a goroutine of the reader's; "" if there are none.
func (r *Reader) Ask(id uint64, got func(stack string)) {
	r.mu.Lock()
	r.asked = append(r.asked, request{id, got})
	start := !r.busy
	r.busy = true
	r.mu.Unlock()
	if start {
		// Started by the first who asks; ends when nobody asks any more; nobody
		// waits for it.
		go r.serve()
	}
}

// serve captures as long as somebody asks.
func (r *Reader) serve() {
	for {
		r.mu.Lock()
		if len(r.asked) == 0 {
			r.busy, r.hurry = false, false
			r.mu.Unlock()
			return
		}
		var wake chan struct{}
		rest := time.Until(r.quiet)
		if rest > 0 && !r.hurry {
			wake = make(chan struct{})
			r.wake = wake
		}
		r.mu.Unlock()
		if wake != nil {
			timer := time.NewTimer(rest)
			select {
			case <-timer.C:
			case <-wake:
				timer.Stop()
			}
		}
		r.once()
	}
}

// Hurry has those who have asked served without a rest: who ends leaves no goroutine
// behind that waits for time to pass.
func (r *Reader) Hurry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hurry = r.busy
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
}

// once serves all who have asked so far.
func (r *Reader) once() {
	r.mu.Lock()
	asked := r.asked
	r.asked = nil
	r.mu.Unlock()
	begun := time.Now()
	stacks := capture()
	r.mu.Lock()
	r.quiet = time.Now().Add(max(every, share*time.Since(begun)))
	r.mu.Unlock()
	for _, q := range asked {
		q.got(stacks[q.id])
	}
}

// All captures all tasks' stacks at once, however lately that was done.
func All() map[uint64]string { return capture() }
