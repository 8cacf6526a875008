package taskvisor

import "testing"

// The starter hands out in order what it was given, whatever lies in between, and
// keeps no room for a burst that is over.
func TestStarterIsFirstInFirstOut(t *testing.T) {
	var q starter
	given, taken := 0, 0
	tasks := make([]task, 20_000)
	for _, wave := range []struct{ puts, takes int }{{1, 1}, {3, 2}, {2, 1}, {5000, 4000}, {1, 1000}, {9000, 10_001}, {10, 10}} {
		for range wave.puts {
			q.put([]*task{&tasks[given]})
			given++
		}
		for range min(wave.takes, given-taken) {
			if got := q.take(); got != &tasks[taken] {
				t.Fatalf("the %dth is another", taken)
			}
			taken++
		}
	}
	for ; taken < given; taken++ {
		q.take()
	}
	if cap(q.queue) > leastQueue {
		t.Errorf("room for %d is kept", cap(q.queue))
	}
	for range 100_000 { // never empty, and yet bounded
		q.put([]*task{&tasks[0]})
		if len(q.queue)-q.taken > 3 {
			q.take()
		}
	}
	if cap(q.queue) > 64 {
		t.Errorf("room for %d where 4 wait", cap(q.queue))
	}
}
