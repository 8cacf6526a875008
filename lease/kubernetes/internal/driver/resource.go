package main

import (
	"context"
	"sync"
	"time"
)

const period = 10 * time.Millisecond // between two writes

// resource is what replicas write to. It keeps every write.
type resource struct {
	mu     sync.Mutex // guards the fields below
	writes []write
}

type write struct {
	at      time.Time
	replica int
}

// work writes until ctx ends.
func (r *resource) work(ctx context.Context, replica int) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for ctx.Err() == nil {
		r.mu.Lock()
		r.writes = append(r.writes, write{time.Now(), replica})
		r.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// since returns the writes from then on.
func (r *resource) since(then time.Time) (list []write) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.writes {
		if !w.at.Before(then) {
			list = append(list, w)
		}
	}
	return list
}

// last returns the latest write, if there is any.
func (r *resource) last() (write, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.writes) == 0 {
		return write{}, false
	}
	return r.writes[len(r.writes)-1], true
}
