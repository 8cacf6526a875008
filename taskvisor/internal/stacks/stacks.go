// Package stacks reads the stacks of goroutines that carry the label of a task. Go has no
// means to ask for the stack of one goroutine: each capture reads those of the whole
// process and picks out what was asked for. Hence captures are rationed and shared.
package stacks

import (
	"sync"
	"time"
)

// Label is the pprof label by which a task's goroutines are found: its id, in decimal.
const Label = "taskvisor_task_id"

// The bounds of what is kept of one task, and of all tasks of one capture, in bytes. The
// text stands in events and statuses: a task with 100 000 goroutines must not fill memory.
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

// Reader takes the stacks of tasks for all callers, with one capture for those that
// ask at the same time. The zero value is ready. It is safe for concurrent use.
type Reader struct {
	mu    sync.Mutex    // guards the fields below; a leaf
	asked []request     // not answered, nor being answered
	busy  bool          // the reader's goroutine exists: at most one does
	hurry bool          // it takes no rest before it ends; implies busy
	quiet time.Time     // when the next rest ends: no capture before that, unless in a hurry
	wake  chan struct{} // closed to end the rest that it was made for, which may be over; nil: there was none since
}

type request struct {
	id  uint64
	got func(stack string)
}

// Ask has got called with the stack of the task's goroutines, as they are at some
// time after the call, on a goroutine of the reader's; "" if there are none. No lock is
// held then, but got must neither block nor end the goroutine, which serves all callers.
func (r *Reader) Ask(id uint64, got func(stack string)) {
	r.mu.Lock()
	r.asked = append(r.asked, request{id, got})
	start := !r.busy
	r.busy = true
	r.mu.Unlock()
	if start {
		// Started by the first Ask; ends when all are answered; nobody waits for it.
		go r.serve()
	}
}

// serve captures as long as there are requests. It gives busy up in the step in which it
// finds none, so that the next Ask starts another goroutine.
func (r *Reader) serve() {
	for {
		r.mu.Lock()
		if len(r.asked) == 0 {
			r.busy, r.hurry = false, false
			r.mu.Unlock()
			return
		}
		var wake chan struct{} // nil: no rest
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

// Hurry has all requests served without a rest. A supervisor that ends calls it, so that
// it leaves no goroutine behind that waits for time to pass.
func (r *Reader) Hurry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hurry = r.busy // without a goroutine there is nobody to hurry, now or later
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
}

// once serves all requests that there are.
func (r *Reader) once() {
	r.mu.Lock()
	asked := r.asked // before the capture: an Ask that comes during it waits for the next
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

// All captures all tasks' stacks at once, however lately that was done, on the caller's
// goroutine. It is for the end of a shutdown, which happens once.
func All() map[uint64]string { return capture() }
