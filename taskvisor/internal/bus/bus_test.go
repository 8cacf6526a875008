package bus_test

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"unsafe"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/bus"
)

// item is one of two kinds: odd labels are terminal.
type item struct {
	n     uint64
	label uint8
	ptr   *int
}

func (i *item) Number() uint64 { return i.n }
func (i *item) Label() uint8   { return i.label }
func (i *item) Terminal() bool { return i.label%2 == 1 }

const report = 100 // label of what tells of losses

func publish(b *bus.Bus[item, *item], label uint8, final bool) {
	place, n := b.Next(final)
	if place == nil {
		return
	}
	*place = item{n: n, label: label, ptr: new(int)}
	b.Done()
	b.Wake()
}

func tell(l bus.Lost) item { return item{label: report, n: 0, ptr: new(int)} }

// Whatever the schedule: order holds among what is terminal and among what is not,
// nothing is delivered twice, and delivered, dropped and queued are what was published.
func TestSchedules(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			var b bus.Bus[item, *item]
			capacity := 1 + rand.IntN(40)
			r := b.Add(capacity, tell)
			var got []item
			gate := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for it := r.Next(); it != nil; it = r.Next() {
					got = append(got, *it)
					<-gate
				}
			}()
			published := map[uint8]uint64{}
			for range rand.IntN(400 + 2000*rand.IntN(2)) { // some long enough to use chunks again
				label := uint8(rand.IntN(4))
				published[label]++
				publish(&b, label, false)
				if rand.IntN(3) == 0 {
					synctest.Wait()
					select {
					case gate <- struct{}{}:
					default:
					}
				}
			}
			publish(&b, 0, true)
			published[0]++
			publish(&b, 0, true) // sealed: nothing
			close(gate)
			b.WakeAll()
			<-done
			check(t, got, published, r.Status())
		})
	}
}

func check(t *testing.T, got []item, published map[uint8]uint64, st bus.Status) {
	t.Helper()
	seen := map[uint8]uint64{}
	var delivered, last uint64
	reports := 0
	for _, it := range got {
		if it.label == report {
			reports++
			continue
		}
		if it.n <= last {
			t.Fatalf("number %d after %d", it.n, last)
		}
		last = it.n
		delivered++
		seen[it.label]++
	}
	if st.Delivered != delivered || st.Queued != 0 {
		t.Fatalf("%d delivered, status %+v", delivered, st)
	}
	var dropped uint64
	for label, n := range published {
		if n != seen[label]+st.Dropped[label] {
			t.Fatalf("label %d: %d published, %d seen, %d dropped", label, n, seen[label], st.Dropped[label])
		}
		dropped += st.Dropped[label]
	}
	if (reports > 0) != (dropped > 0) {
		t.Fatalf("%d dropped, %d reports", dropped, reports)
	}
}

// A bus whose readers have read everything keeps no item, and few places.
func TestRestKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus.Bus[item, *item]
		r := b.Add(1<<16, tell)
		for range 5000 {
			publish(&b, 0, false)
		}
		n := 0
		go func() {
			for it := r.Next(); it != nil; it = r.Next() {
				n++
			}
		}()
		synctest.Wait()
		if places, _ := b.Kept(); n != 5000 || places != 0 || r.InHand() {
			t.Errorf("%d read, %d places kept, in hand: %t", n, places, r.InHand())
		}
		for i := range 50 { // one at a time: it rests after each
			publish(&b, 0, false)
			synctest.Wait()
			places, items := b.Kept()
			if n != 5001+i || places > 16 {
				t.Errorf("%d read, %d places kept", n, places)
			}
			for _, it := range items {
				if it != (item{}) {
					t.Errorf("a bus at rest keeps %+v", it)
				}
			}
		}
		publish(&b, 0, true)
		b.WakeAll()
		synctest.Wait()
		if n != 5051 {
			t.Errorf("%d read", n)
		}
	})
}

// What a reader is looking at stays as it is, whatever is read and published meanwhile.
func TestItemIsKeptWhileItIsRead(t *testing.T) {
	var b bus.Bus[item, *item]
	slow, fast := b.Add(100, tell), b.Add(100, tell)
	publish(&b, 2, false)
	it := slow.Next()
	was := *it
	for range 50 {
		fast.Next()
		fast.Rest()
		publish(&b, 0, false)
	}
	if *it != was {
		t.Errorf("%+v was %+v", *it, was)
	}
	if next := slow.Next(); next.n != was.n+1 {
		t.Errorf("after %d comes %d", was.n, next.n)
	}
}

// So does the item of a reader that has been moved far past it by losses.
func TestItemIsKeptWhileOthersAreLost(t *testing.T) {
	var b bus.Bus[item, *item]
	slow, fast := b.Add(8, tell), b.Add(100, tell)
	further := func(n int) {
		for range n {
			publish(&b, 0, false)
			fast.Next()
		}
	}
	further(600) // chunks have their last size
	it := slow.Next()
	for it.label == report {
		it = slow.Next()
	}
	was := *it
	further(5000)
	if *it != was {
		t.Errorf("%+v was %+v", *it, was)
	}
}

// A reader that does not come back from an item holds on to the chunk that it stands in,
// and not to all that came after it.
func TestNothingPilesUpBehindAnItem(t *testing.T) {
	var b bus.Bus[item, *item]
	hung, lagging := b.Add(300, tell), b.Add(1000, tell)
	publish(&b, 0, false)
	was := *hung.Next()
	lagging.Next()
	const n = 100_000
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for range n {
		place, _ := b.Next(false)
		*place = item{label: 2}
		b.Done()
	}
	if kept, most := heap()-before, int64((1000+4*256)*unsafe.Sizeof(item{})); kept > 2*most {
		t.Errorf("%d bytes are kept of %d items for readers that may fall 1000 behind, which is %d bytes", kept, n, most)
	}
	if next := hung.Next(); next.label != report || was.n != 1 {
		t.Errorf("after %+v comes %+v", was, *next)
	}
}

// A bus that is never at rest, with readers that keep up or lose items, uses the same
// memory again.
func TestChunksAreUsedAgain(t *testing.T) {
	var b bus.Bus[item, *item]
	r := b.Add(1000, tell)
	b.Add(500, tell) // which does not read
	step := func() {
		place, _ := b.Next(false)
		place.label = 2
		b.Done()
	}
	for range 500 {
		step()
	}
	for range 3000 {
		step()
		r.Next()
	}
	if n := testing.AllocsPerRun(3000, func() { step(); r.Next() }); n != 0 {
		t.Errorf("%v allocations for each item", n)
	}
	if places, _ := b.Kept(); places > 256 {
		t.Errorf("%d places in the last chunk", places)
	}
}

// What a reader holds in hand is small beside its capacity: one that stands still at
// an item loses all but an eighth more than that.
func TestWhatIsInHandCountsLittle(t *testing.T) {
	var b bus.Bus[item, *item]
	r := b.Add(16, tell)
	for range 16 {
		publish(&b, 0, false)
	}
	r.Next()
	for range 16 {
		publish(&b, 0, false)
	}
	if st := r.Status(); st.Dropped[0] != 14 {
		t.Errorf("status %+v", st)
	}
}

// Publishing for one reader that keeps up allocates nothing but chunks.
func TestPublishAllocations(t *testing.T) {
	var b bus.Bus[item, *item]
	if n := testing.AllocsPerRun(1000, func() {
		place, _ := b.Next(false)
		place.label = 2
		b.Done()
	}); n != 0 {
		t.Errorf("%v allocations without a reader", n)
	}
	if b.Count(1, false) != b.Last() {
		t.Error("Count gives no number")
	}
	var read bus.Bus[item, *item]
	r := read.Add(100, tell)
	publish(&read, 2, false) // the first makes the chunk
	if n := testing.AllocsPerRun(1000, func() {
		if r.Next() == nil {
			t.Error("nothing to read")
		}
		r.Rest()
		place, _ := read.Next(false)
		place.label = 2
		read.Done()
	}); n != 0 {
		t.Errorf("%v allocations for a reader that keeps up", n)
	}
}

// One item wakes every reader that waits, one after the other.
func TestEveryReaderIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus.Bus[item, *item]
		var got [5]int
		var readers []*bus.Reader[item, *item] // all are there before the first begins
		for range got {
			readers = append(readers, b.Add(10, tell))
		}
		for i, r := range readers {
			go func() {
				for it := r.Next(); it != nil; it = r.Next() {
					got[i]++
				}
			}()
		}
		for n := 1; n <= 3; n++ {
			synctest.Wait()
			publish(&b, 0, false)
			synctest.Wait()
			for i := range got {
				if got[i] != n {
					t.Errorf("reader %d has got %d of %d", i, got[i], n)
				}
			}
		}
		publish(&b, 0, true)
		b.WakeAll()
	})
}

// The end wakes all of them, also if nobody wanted the last item.
func TestEveryReaderEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus.Bus[item, *item]
		ended := make(chan struct{}, 3)
		var readers []*bus.Reader[item, *item]
		for range 3 {
			readers = append(readers, b.Add(10, tell))
		}
		for _, r := range readers {
			go func() {
				for it := r.Next(); it != nil; it = r.Next() {
					t.Errorf("%+v", *it)
				}
				ended <- struct{}{}
			}()
		}
		synctest.Wait()
		b.Count(1, true)
		b.WakeAll()
		synctest.Wait()
		if n := len(ended); n != 3 {
			t.Fatalf("%d of 3 readers have ended", n) // the bubble says where the others are
		}
	})
}

// A reader that is woken knows at that instant that the next is to be woken: whoever
// woke it may not have gone on yet.
func TestTheNextIsKnownBeforeTheFirstIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus.Bus[item, *item]
		first, second := b.Add(10, tell).Park(), b.Add(10, tell).Park()
		go publish(&b, 0, false)
		synctest.Wait()
		if !b.Asleep() {
			t.Error("who is woken now would let the next one sleep")
		}
		<-first
		go b.Wake()
		<-second
		synctest.Wait()
		if b.Asleep() {
			t.Error("nobody is asleep any more")
		}
	})
}
