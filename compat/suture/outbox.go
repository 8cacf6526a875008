package suture

import (
	"sync"
	"time"
)

// outbox calls functions one at a time, in the order in which they were posted, on a
// goroutine that exists while there are any. Who posts never waits.
type outbox struct {
	mu    sync.Mutex // guards the fields below
	queue []func()
	idle  chan struct{} // of the goroutine at work, closed at its end; nil if there is none
}

func (o *outbox) post(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, f)
	if o.idle == nil {
		o.idle = make(chan struct{})
		// Started by who finds none at work; ends when nothing is left; waited for by wait.
		go o.work(o.idle)
	}
}

func (o *outbox) work(idle chan struct{}) {
	finished := false
	defer func() {
		if !finished { // a function called runtime.Goexit
			go o.work(idle)
		}
	}()
	for f := o.next(); f != nil; f = o.next() {
		f()
	}
	finished = true
	close(idle)
}

// next returns nil, and ends the work, if nothing is left.
func (o *outbox) next() func() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		o.queue, o.idle = nil, nil
		return nil
	}
	f := o.queue[0]
	o.queue = o.queue[1:]
	return f
}

// wait waits until nothing is left, at most for d.
func (o *outbox) wait(d time.Duration) {
	o.mu.Lock()
	idle := o.idle
	o.mu.Unlock()
	if idle == nil {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
}
