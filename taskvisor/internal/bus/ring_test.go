package bus

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRing holds the ring against a slice, over random lives.
func TestRing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		most := 1 + rng.IntN(9)
		var q ring[int]
		var want []int
		for i := range 100 {
			if n := rng.IntN(len(want) + 1); n > 0 && (len(want) == most || rng.IntN(3) == 0) {
				q.drop(n)
				want = want[n:]
			}
			if len(want) < most && rng.IntN(4) > 0 {
				item := i + 1
				q.push(&item, most)
				want = append(want, item)
			}
			var got []int
			for i := range q.n {
				got = append(got, *q.at(i))
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%v, want %v, of at most %d", got, want, most)
			}
			kept := slices.DeleteFunc(slices.Clone(q.items), func(x int) bool { return x == 0 })
			if len(kept) != len(want) || q.n == 0 && q.items != nil {
				t.Fatalf("it keeps %v of %v, in %d places", kept, want, len(q.items))
			}
		}
	}
}
