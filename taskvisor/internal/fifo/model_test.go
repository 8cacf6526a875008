package fifo_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/fifo"
)

// model is a queue as one would describe it: who waits, in order, who was told to enter
// and has not yet, and who is in. Those that are silent are stepped over.
type model struct {
	limit      int
	waiting    []uint64
	kept, held map[uint64]bool
	silent     map[uint64]bool // waits in the turn of another, and has not asked itself
	told       []uint64
}

func (m *model) enter(id uint64) bool {
	switch {
	case m.kept[id]:
		delete(m.kept, id)
		m.held[id] = true
		return true
	case len(m.kept)+len(m.held) < m.limit: // all that wait are silent
		m.waiting = slices.DeleteFunc(m.waiting, func(x uint64) bool { return x == id })
		delete(m.silent, id)
		m.held[id] = true
		return true
	case slices.Contains(m.waiting, id):
		delete(m.silent, id)
		return false
	}
	m.waiting = append(m.waiting, id)
	return false
}

func (m *model) leave(id uint64) {
	if i := slices.Index(m.waiting, id); i >= 0 {
		m.waiting = slices.Delete(m.waiting, i, i+1)
		delete(m.silent, id)
	} else if m.kept[id] {
		delete(m.kept, id)
	} else {
		delete(m.held, id)
	}
	m.admit()
}

func (m *model) pass(id, to uint64) bool {
	if i := slices.Index(m.waiting, id); i >= 0 {
		m.waiting[i] = to
		delete(m.silent, id)
		m.silent[to] = true
		return true
	}
	if !m.kept[id] {
		return false
	}
	delete(m.kept, id)
	m.waiting = slices.Insert(m.waiting, 0, to)
	m.silent[to] = true
	m.admit()
	return true
}

func (m *model) admit() {
	for len(m.kept)+len(m.held) < m.limit {
		i := slices.IndexFunc(m.waiting, func(id uint64) bool { return !m.silent[id] })
		if i < 0 {
			return
		}
		id := m.waiting[i]
		m.waiting = slices.Delete(m.waiting, i, i+1)
		m.kept[id] = true
		m.told = append(m.told, id)
	}
}

// has reports whether id is anywhere.
func (m *model) has(id uint64) bool {
	return m.kept[id] || m.held[id] || slices.Contains(m.waiting, id)
}

// follow makes the operations that pick chooses on a queue and its model, and returns
// where they differ; "" if they agree.
func follow(pick func(n int) int, steps int) string {
	var q fifo.Queue
	m := &model{kept: map[uint64]bool{}, held: map[uint64]bool{}, silent: map[uint64]bool{}}
	var told []uint64
	var log strings.Builder
	enter := func(id uint64) bool { return q.Enter(id, func() { told = append(told, id) }) }
	for range steps {
		id := uint64(1 + pick(8))
		var got, want any
		switch op := pick(10); {
		case op < 5:
			if m.held[id] { // nobody asks for two places
				continue
			}
			fmt.Fprintf(&log, " enter %d", id)
			got, want = enter(id), m.enter(id)
		case op < 8:
			fmt.Fprintf(&log, " leave %d", id)
			q.Leave(id)
			m.leave(id)
		case op == 8:
			to := uint64(1 + pick(8))
			if m.has(to) { // only one that has neither place nor turn inherits
				continue
			}
			fmt.Fprintf(&log, " pass %d→%d", id, to)
			got, want = q.Pass(id, to), m.pass(id, to)
		default:
			m.limit = pick(5)
			fmt.Fprintf(&log, " resize %d", m.limit)
			q.Resize(m.limit)
			m.admit()
		}
		limit, used := q.Used()
		if got != want || !slices.Equal(told, m.told) || limit != m.limit || used != len(m.kept)+len(m.held) {
			return fmt.Sprintf("after%s: %v, want %v; told %v, want %v; %d of %d in use, want %d of %d",
				log.String(), got, want, told, m.told, used, limit, len(m.kept)+len(m.held), m.limit)
		}
	}
	return ""
}

// Long random uses agree with the model: first in, first out, no place lost or given
// twice, whoever leaves, passes on or resizes.
func TestQueueAgreesWithItsModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		if diff := follow(rng.IntN, 80); diff != "" {
			t.Fatal(diff)
		}
	}
}

// FuzzQueue reads the operations from bytes.
func FuzzQueue(f *testing.F) {
	f.Add([]byte{0, 9, 1, 1, 0, 2, 0, 3, 8, 4, 1, 7})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 500 {
			return
		}
		next := 0
		diff := follow(func(n int) int {
			next++
			return int(data[(next-1)%len(data)]) % n
		}, len(data))
		if diff != "" {
			t.Error(diff)
		}
	})
}
