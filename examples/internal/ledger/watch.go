package ledger

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

const (
	// watchers are more than there are likely to be processors: each may be late alone.
	watchers = 4
	// nap is how often each of them looks.
	nap = 10 * time.Millisecond
	// prompt is how late is not worth a note.
	prompt = 2 * time.Millisecond
)

// Watch notes when the machine is busy with something else, until stop is called: how late
// goroutines wake which have nothing to do with tasks, and, on Linux, how long threads are
// ready and wait for a processor. A thread that does may have taken a goroutine and its
// locks along, while all others are prompt.
func (l *Ledger) Watch() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range watchers {
		wg.Go(func() { l.watch(done, nil) })
	}
	wg.Go(func() { l.watch(done, map[string]time.Duration{}) })
	return func() {
		close(done)
		wg.Wait()
	}
}

// watch looks at itself, and at all threads if waited is not nil.
func (l *Ledger) watch(done <-chan struct{}, waited map[string]time.Duration) {
	for last := time.Now(); ; {
		due := time.Now().Add(nap)
		select {
		case <-time.After(nap):
		case <-done:
			return
		}
		now := time.Now()
		l.stalled(Stall{due, now, now.Sub(due)})
		if waited == nil {
			continue
		}
		lost := longest(waited)
		l.stalled(Stall{last.Add(-lost), time.Now(), lost}) // it may have begun to wait before
		last = now
	}
}

func (l *Ledger) stalled(s Stall) {
	if s.Lost <= prompt {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalls = append(l.stalls, s)
}

// longest returns the most that any thread has waited for a processor since it was last
// asked, which waited keeps; 0 where the system does not tell.
func longest(waited map[string]time.Duration) (most time.Duration) {
	files, _ := filepath.Glob("/proc/self/task/*/schedstat") // the pattern is a good one
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		fields := bytes.Fields(text) // ran, waited, how often
		if len(fields) < 2 {
			continue
		}
		n, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil {
			continue
		}
		if before, ok := waited[file]; ok {
			most = max(most, time.Duration(n)-before)
		}
		waited[file] = time.Duration(n)
	}
	return most
}
