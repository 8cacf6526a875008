package taskvisor

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// publish puts e into the ring, as its owners do, and sets its number.
func (r *ring) publish(e *Event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	en := r.next(e.Kind)
	if en == nil {
		return false
	}
	e.Seq = en.Seq
	en.Event = *e
	return true
}

// ringModel is one reader as the contract describes it, made of plain lists.
type ringModel struct {
	capacity    int
	queue       []Event // published, not taken
	saved       []Event // terminal, overwritten
	dropped     map[EventKind]uint64
	lost        []uint64 // numbers of the dropped since the last overflow
	hand        []Event  // taken, not delivered
	delivered   uint64
	given       []Event
	publishedBy map[EventKind]uint64
}

func (m *ringModel) publish(e Event) {
	m.publishedBy[e.Kind]++
	if len(m.queue) == m.capacity {
		oldest := m.queue[0]
		m.queue = m.queue[1:]
		if oldest.Kind.Terminal() {
			m.saved = append(m.saved, oldest)
			if len(m.saved) > max(1, m.capacity/4) {
				m.drop(m.saved[0])
				m.saved = m.saved[1:]
			}
		} else {
			m.drop(oldest)
		}
	}
	m.queue = append(m.queue, e)
}

func (m *ringModel) drop(e Event) {
	m.dropped[e.Kind]++
	m.lost = append(m.lost, e.Seq)
}

// take moves up to n events into the hand, in the order that is promised.
func (m *ringModel) take(n int) {
	move := func(from *[]Event) {
		n = min(n, len(*from))
		m.hand = append(m.hand, (*from)[:n]...)
		*from = (*from)[n:]
	}
	switch {
	case len(m.saved) > 0:
		move(&m.saved)
	case len(m.lost) > 0:
		m.hand = append(m.hand, Event{Kind: SubscriberOverflow, Dropped: uint64(len(m.lost)), FirstSeq: slices.Min(m.lost), LastSeq: slices.Max(m.lost)})
		m.lost = nil
	default:
		move(&m.queue)
	}
}

func (m *ringModel) deliver() {
	e := m.hand[0]
	m.hand = m.hand[1:]
	m.given = append(m.given, e)
	if e.Kind != SubscriberOverflow {
		m.delivered++
	}
}

func (m *ringModel) cut() {
	for _, e := range slices.Concat(m.hand, m.saved, m.queue) {
		if e.Kind != SubscriberOverflow {
			m.dropped[e.Kind]++
		}
	}
	m.hand, m.saved, m.queue = nil, nil, nil
}

// schedule drives a ring and a model of each of its readers through the same
// random steps and compares all that can be seen.
type schedule struct {
	t      *testing.T
	seed   uint64
	ring   ring
	clock  clock
	models []*ringModel
	taken  []bool // some batch was taken
	last   []uint64
}

func newSchedule(t *testing.T, seed uint64, rng *rand.Rand) *schedule {
	s := &schedule{t: t, seed: seed}
	for range 1 + rng.IntN(4) {
		capacity := []int{1, 2, 3, 4, 7, 8, 16, 64, 100, 200}[rng.IntN(10)]
		s.ring.add(capacity, rng.IntN(100))
		s.models = append(s.models, &ringModel{capacity: capacity, dropped: map[EventKind]uint64{}, publishedBy: map[EventKind]uint64{}})
	}
	s.taken = make([]bool, len(s.models))
	s.last = make([]uint64, len(s.models))
	return s
}

func (s *schedule) publish(kind EventKind) {
	e := Event{Kind: kind, Task: "t"}
	before := s.ring.head.Load()
	if !s.ring.publish(&e) || e.Seq != before+1 {
		s.t.Fatalf("seed %d: event %d after %d", s.seed, e.Seq, before)
	}
	for _, m := range s.models {
		m.publish(e)
	}
}

// work takes a batch if there is none, or delivers one event of it.
func (s *schedule) work(i int) {
	rd, m := s.ring.readers[i], s.models[i]
	if len(m.hand) == 0 {
		some, _ := s.ring.take(rd, "name", &s.clock, 1)
		m.take(rd.batchMax)
		s.taken[i] = true
		if some != (len(m.hand) > 0) || some && rd.size != len(m.hand) {
			s.t.Fatalf("seed %d, reader %d: took %v, %d events; want %d", s.seed, i, some, rd.size, len(m.hand))
		}
		return
	}
	at := rd.pos.Load()
	rd.pos.Store(at + 1)
	got, want := rd.batch[at].Event, m.hand[0]
	m.deliver()
	if got.Kind != want.Kind || got.Seq != want.Seq || got.Dropped != want.Dropped || got.FirstSeq != want.FirstSeq || got.LastSeq != want.LastSeq {
		s.t.Fatalf("seed %d, reader %d: delivered %v, want %v", s.seed, i, got, want)
	}
	if got.Kind != SubscriberOverflow {
		if got.Seq <= s.last[i] {
			s.t.Fatalf("seed %d, reader %d: delivered %d after %d", s.seed, i, got.Seq, s.last[i])
		}
		s.last[i] = got.Seq
	}
}

// check compares the accounts: what was delivered, dropped by kind and is queued
// is what was published.
func (s *schedule) check() {
	for i, m := range s.models {
		var st SubscriberStatus
		s.ring.status(s.ring.readers[i], &st)
		var dropped uint64
		for k := range EventKind(kindCount) {
			if st.Dropped[k] != m.dropped[k] {
				s.t.Fatalf("seed %d, reader %d: dropped %v, want %v", s.seed, i, st.Dropped, m.dropped)
			}
			dropped += st.Dropped[k]
		}
		if st.Delivered != m.delivered || st.Delivered+dropped+uint64(st.Queued) != s.ring.head.Load() || st.Capacity != m.capacity {
			s.t.Fatalf("seed %d, reader %d: %+v of %d, want %d delivered", s.seed, i, st, s.ring.head.Load(), m.delivered)
		}
	}
}

// The ring against the model, on thousands of random schedules: order, overflow,
// protection of terminal events, and every account.
func TestRingMatchesModel(t *testing.T) {
	first := rand.Uint64()
	t.Logf("first seed %d", first)
	for n := range uint64(3000) {
		seed := first + n
		rng := rand.New(rand.NewPCG(seed, 0))
		s := newSchedule(t, seed, rng)
		busy := rng.Float64() // how often readers work
		for range 50 + rng.IntN(500) {
			if rng.Float64() < busy {
				s.work(rng.IntN(len(s.models)))
			} else {
				s.publish(EventKind(1 + rng.IntN(int(SubscriberOverflow)-1))) // all that are published
				if s.ring.sealed {
					break
				}
			}
			if rng.IntN(10) == 0 {
				s.check()
			}
		}
		for i, m := range s.models {
			if rng.IntN(2) == 0 {
				s.ring.cut(s.ring.readers[i])
				m.cut()
			} else {
				for len(m.hand)+len(m.saved)+len(m.lost)+len(m.queue) > 0 {
					s.work(i)
				}
			}
			var published, given, dropped uint64
			for k, n := range m.publishedBy {
				published += n
				dropped += m.dropped[k]
			}
			given = m.delivered
			if given+dropped != published {
				t.Fatalf("seed %d, reader %d: %d delivered, %d dropped, %d published", seed, i, given, dropped, published)
			}
		}
		s.check()
	}
}

// After the verdict nothing is published, and readers learn that they are done.
func TestRingIsSealedByTheVerdict(t *testing.T) {
	for _, verdict := range []EventKind{AllStoppedWithinGrace, GraceExceeded} {
		var r ring
		rd := r.add(4, 0)
		if !r.publish(&Event{Kind: TaskAdded}) || !r.publish(&Event{Kind: verdict}) {
			t.Fatal("refused before the seal")
		}
		if e := (Event{Kind: TaskRemoved}); r.publish(&e) || e.Seq != 0 {
			t.Errorf("%v: event %d was published after it", verdict, e.Seq)
		}
		var c clock
		var kinds []EventKind
		for {
			some, ended := r.take(rd, "", &c, 1)
			if ended {
				break
			}
			if !some {
				t.Fatalf("nothing, and not the end, after %v", kinds)
			}
			for _, en := range rd.batch[:rd.size] {
				kinds = append(kinds, en.Kind)
			}
		}
		if want := []EventKind{TaskAdded, verdict}; !slices.Equal(kinds, want) {
			t.Errorf("delivered %v, want %v", kinds, want)
		}
	}
}

// Credit bounds the patience: a reader that consumes nothing is waited for at
// most as often as it may have in hand, one that consumes earns more.
func TestPatienceIsBoundedByCredit(t *testing.T) {
	for _, patience := range []int{0, 1, 100} {
		var r ring
		var c clock
		rd := r.add(8, patience)
		for range 8 {
			r.publish(&Event{Kind: TaskStarting})
		}
		spend := func() (n int) {
			for r.yield() {
				n++
			}
			return n
		}
		if n := spend(); n != patience {
			t.Errorf("patience %d: %d yields for a reader that is full and idle", patience, n)
		}
		if n := spend(); n != 0 {
			t.Errorf("patience %d: %d more yields without any progress", patience, n)
		}
		r.take(rd, "", &c, 1)
		if n, want := spend(), min(patience, yieldsPer); n != want {
			t.Errorf("patience %d: %d yields after one event, want %d", patience, n, want)
		}
		for range 6 { // to an eighth
			r.take(rd, "", &c, 1)
		}
		if n := spend(); n != 0 || r.pressed.Load() {
			t.Errorf("patience %d: %d yields for a reader that has caught up, pressed %v", patience, n, r.pressed.Load())
		}
	}
}

// An array that grows while readers are behind keeps their events.
func TestRingGrows(t *testing.T) {
	var r ring
	var c clock
	rd := r.add(1000, 0)
	for i := range 1000 {
		r.publish(&Event{Kind: TaskStarting, Attempt: i})
	}
	seen := 0
	for {
		some, _ := r.take(rd, "", &c, 1)
		if !some {
			break
		}
		for _, en := range rd.batch[:rd.size] {
			if en.Attempt != seen {
				t.Fatalf("event %d is %v", seen, en.Event)
			}
			seen++
		}
	}
	if seen != 1000 || len(r.entries) != 1024 {
		t.Errorf("%d events, %d entries", seen, len(r.entries))
	}
	var idle ring
	idle.add(1<<20, 0)
	idle.publish(&Event{})
	if len(idle.entries) != firstRing {
		t.Errorf("a ring of one event has %d entries", len(idle.entries))
	}
}
