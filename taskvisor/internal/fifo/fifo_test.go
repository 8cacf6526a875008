package fifo_test

import (
	"slices"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/fifo"
)

// tell does what callers do with those who can enter now.
func tell(told []func()) {
	for _, ready := range told {
		ready()
	}
}

func TestFirstInFirstOut(t *testing.T) {
	var q fifo.Queue
	tell(q.Resize(2))
	var told []uint64
	enter := func(id uint64) bool { return q.Enter(id, func() { told = append(told, id) }) }
	for id := uint64(1); id <= 5; id++ {
		if got, want := enter(id), id <= 2; got != want {
			t.Fatalf("%d enters: %v", id, got)
		}
	}
	tell(q.Leave(4)) // waits no more
	tell(q.Leave(1))
	tell(q.Leave(1)) // has none any more
	if !slices.Equal(told, []uint64{3}) || enter(5) || !enter(3) {
		t.Fatalf("told %v", told)
	}
	tell(q.Resize(3))
	if !slices.Equal(told, []uint64{3, 5}) {
		t.Fatalf("told %v", told)
	}
	tell(q.Leave(5)) // before it took the place
	tell(q.Leave(2))
	tell(q.Leave(3))
	if limit, used := q.Used(); limit != 3 || used != 0 {
		t.Fatalf("%d of %d in use", used, limit)
	}
}

func TestPass(t *testing.T) {
	var q fifo.Queue
	tell(q.Resize(1))
	told := 0
	if !q.Enter(1, nil) || q.Enter(2, nil) || q.Enter(3, func() { told++ }) {
		t.Fatal("a place too many")
	}
	if !q.Pass(2, 9) || q.Pass(2, 8) || q.Pass(1, 8) {
		t.Fatal("only a turn can be passed on, once")
	}
	tell(q.Leave(1))
	if told != 0 || !q.Enter(9, nil) {
		t.Fatal("the heir has not got the turn")
	}
	tell(q.Leave(2)) // it has nothing any more
	tell(q.Leave(9))
	if told != 1 || !q.Enter(3, nil) {
		t.Fatal("the next was not told")
	}
}
