package leasetest

import (
	"fmt"
	"sync"
	"time"
)

// Witness is what bodies tell when they begin and end, and a resource that they write
// to: it notices bodies of one key that overlap, and refuses stale writes. The zero
// value is ready, and safe for concurrent use.
type Witness struct {
	mu       sync.Mutex // guards the fields below
	running  map[string]map[string]time.Time
	overlaps []string
	highest  map[string]uint64
	refused  int
	fell     []string
}

// Begin says that a body of key begins in the replica of that name, under token, and
// returns the function that says that it has ended.
func (w *Witness) Begin(key, replica string, token uint64) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running == nil {
		w.running, w.highest = make(map[string]map[string]time.Time), make(map[string]uint64)
	}
	for other := range w.running[key] {
		w.overlaps = append(w.overlaps, fmt.Sprintf("%s: %s began while %s ran", key, replica, other))
	}
	if w.running[key] == nil {
		w.running[key] = make(map[string]time.Time)
	}
	w.running[key][replica] = time.Now()
	if token < w.highest[key] {
		w.fell = append(w.fell, fmt.Sprintf("%s: %s began with token %d after %d", key, replica, token, w.highest[key]))
	}
	w.highest[key] = max(token, w.highest[key])
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.running[key], replica)
	}
}

// Write is a write to the resource. It reports false, and refuses it, if a greater
// token has been seen.
func (w *Witness) Write(key string, token uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if token < w.highest[key] {
		w.refused++
		return false
	}
	if w.highest == nil {
		w.highest = make(map[string]uint64)
	}
	w.highest[key] = token
	return true
}

// Running returns the replicas in which a body of key runs.
func (w *Witness) Running(key string) (replicas []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.running[key] {
		replicas = append(replicas, r)
	}
	return replicas
}

// Refused returns how many writes were refused.
func (w *Witness) Refused() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
}

// Violations returns what must not happen: bodies of one key that overlapped, and
// bodies that began with a token less than one before.
func (w *Witness) Violations() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(append([]string(nil), w.overlaps...), w.fell...)
}
