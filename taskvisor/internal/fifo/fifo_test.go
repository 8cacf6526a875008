package fifo_test

import (
	"slices"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/fifo"
)

func TestFirstInFirstOut(t *testing.T) {
	var q fifo.Queue
	q.Resize(2)
	var told []uint64
	enter := func(id uint64) bool { return q.Enter(id, func() { told = append(told, id) }) }
	for id := uint64(1); id <= 5; id++ {
		if got, want := enter(id), id <= 2; got != want {
			t.Fatalf("%d enters: %v", id, got)
		}
	}
	q.Leave(4) // waits no more
	q.Leave(1)
	q.Leave(1) // has none any more
	if !slices.Equal(told, []uint64{3}) || enter(5) || !enter(3) {
		t.Fatalf("told %v", told)
	}
	q.Resize(3)
	if !slices.Equal(told, []uint64{3, 5}) {
		t.Fatalf("told %v", told)
	}
	q.Leave(5) // before it took the place
	q.Leave(2)
	q.Leave(3)
	if limit, used := q.Used(); limit != 3 || used != 0 {
		t.Fatalf("%d of %d in use", used, limit)
	}
}

// An heir keeps its place in line, and nobody waits for it before it asks.
func TestPass(t *testing.T) {
	var q fifo.Queue
	q.Resize(1)
	var told []uint64
	enter := func(id uint64) bool { return q.Enter(id, func() { told = append(told, id) }) }
	if !enter(1) || enter(2) || enter(3) {
		t.Fatal("a place too many")
	}
	if !q.Pass(2, 9) || q.Pass(2, 8) || q.Pass(1, 8) {
		t.Fatal("only a turn can be passed on, once")
	}
	q.Leave(1) // 9 has not asked
	if !slices.Equal(told, []uint64{3}) || !enter(3) || enter(4) || enter(9) {
		t.Fatalf("told %v", told)
	}
	q.Leave(3)
	if !slices.Equal(told, []uint64{3, 9}) || !q.Pass(9, 10) || !slices.Equal(told, []uint64{3, 9, 4}) {
		t.Fatalf("told %v", told)
	}
	q.Leave(4)
	if !enter(10) {
		t.Fatal("a free place, and the heir has to wait")
	}
}
