package bus_test

import (
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/bus"
)

// What a reader that is cut off did not begin is dropped.
func TestCut(t *testing.T) {
	var b bus.Bus[item, *item]
	r := b.Add(100, tell)
	for range 50 {
		publish(&b, 0, false)
	}
	r.Next()
	r.Cut()
	if r.Next() != nil {
		t.Error("something is read after the cut")
	}
	if st := r.Status(); st.Delivered != 1 || st.Dropped[0] != 49 || st.Queued != 0 {
		t.Errorf("status %+v", st)
	}
}

// So is what was saved for it, which is kept no more.
func TestCutOfWhatWasSaved(t *testing.T) {
	var b bus.Bus[item, *item]
	r := b.Add(4, tell)
	for range 8 {
		publish(&b, 1, false)
	}
	r.Cut()
	if r.Next() != nil || r.InHand() {
		t.Error("something is read, or kept, after the cut")
	}
	if st := r.Status(); st.Delivered != 0 || st.Dropped[1] != 8 || st.Queued != 0 {
		t.Errorf("status %+v", st)
	}
}

// A report of losses that was not begun is no loss itself.
func TestCutAtAReport(t *testing.T) {
	var b bus.Bus[item, *item]
	r := b.Add(4, tell)
	for range 8 {
		publish(&b, 0, false)
	}
	r.Rest() // takes the report, and does not begin it
	r.Cut()
	if st := r.Status(); st.Delivered != 0 || len(st.Dropped) != 1 || st.Dropped[0] != 8 || st.Queued != 0 {
		t.Errorf("status %+v", st)
	}
}

// One that was cut off while it was at an item keeps nothing when it has left it.
func TestCutKeepsNothing(t *testing.T) {
	var b bus.Bus[item, *item]
	slow, fast := b.Add(100, tell), b.Add(100, tell)
	for range 3 {
		publish(&b, 0, false)
		fast.Next()
	}
	slow.Next()
	slow.Cut()
	fast.Rest()
	slow.Next()
	_, items := b.Kept()
	for _, it := range items {
		if it != (item{}) {
			t.Errorf("a bus at rest keeps %+v", it)
		}
	}
}

// The report of losses comes while they go on.
func TestLossesAreReportedMeanwhile(t *testing.T) {
	var b bus.Bus[item, *item]
	r := b.Add(8, tell)
	for range 20 {
		publish(&b, 1, false)
	}
	for n := range 40 {
		if r.Next().label == report {
			return
		}
		for range 3 {
			publish(&b, 1, false)
		}
		_ = n
	}
	t.Error("no report although losses go on")
}

// What is reported has been lost between the first and the last of its numbers, also if
// the first was saved for a while.
func TestReportSpansWhatWasLost(t *testing.T) {
	var b bus.Bus[item, *item]
	var told bus.Lost
	r := b.Add(4, func(l bus.Lost) item { told = l; return item{label: report} })
	for _, label := range []uint8{1, 0, 0, 1, 0, 0, 0, 0} { // the second terminal one takes the place of the first
		publish(&b, label, false)
	}
	for it := r.Next(); it.label != report; it = r.Next() {
		if it.n != 4 {
			t.Errorf("%+v was saved", *it)
		}
	}
	if want := (bus.Lost{N: 3, First: 1, Last: 3}); told != want {
		t.Errorf("lost %+v, want %+v", told, want)
	}
	if st := r.Status(); st.Delivered != 1 || st.Queued != 4 { // the report was not published
		t.Errorf("at the report: %+v", st)
	}
}
