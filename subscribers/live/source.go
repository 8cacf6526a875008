package livesub

import (
	"sync"
	"time"
)

// patience is how long an answer waits for the program's own part of the page.
const patience = 250 * time.Millisecond

// source is a function of the program's whose result the page shows.
type source[T any] struct {
	name string
	read func() T

	mu   sync.Mutex    // guards the fields below
	busy chan struct{} // closed when the call that is under way ends; nil if none is
	last T             // what was returned last
}

// get returns what read returns now, or, if that takes too long or panics, what it
// returned before. Requests that come meanwhile share one call.
func (s *source[T]) get() T {
	s.mu.Lock()
	busy := s.busy
	if busy == nil {
		busy = make(chan struct{})
		s.busy = busy
		go s.refresh(busy) // ends when read does; get waits for it, within reason
	}
	s.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-busy:
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// refresh is all of the goroutine that get starts: read is the program's, so it may
// block, panic or exit without harm to a request.
func (s *source[T]) refresh(done chan struct{}) {
	var got T
	ok := false
	defer func() {
		_ = recover() // the page goes on with what it has
		s.mu.Lock()
		defer s.mu.Unlock()
		if ok {
			s.last = got
		}
		s.busy = nil
		close(done)
	}()
	got = s.read()
	ok = true
}
