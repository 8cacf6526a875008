package life_test

import (
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// exactBase is min(First·Factor^n, Max), reckoned without rounding and without wrapping.
func exactBase(b life.Backoff, n int) time.Duration {
	d := new(big.Float).SetPrec(300).SetInt64(int64(b.First))
	factor := new(big.Float).SetPrec(300).SetFloat64(b.Factor)
	limit := new(big.Float).SetInt64(int64(b.Max))
	for range n {
		if d.Cmp(limit) >= 0 || d.Sign() == 0 {
			break
		}
		d.Mul(d, factor)
	}
	if d.Cmp(limit) >= 0 {
		return b.Max
	}
	whole, _ := d.Int64()
	return time.Duration(whole)
}

// The delays are the formulas of the contract.
func TestBackoffFormulas(t *testing.T) {
	const ms = time.Millisecond
	for _, b := range []life.Backoff{
		{First: 200 * ms, Max: 30 * time.Second, Factor: 2},
		{First: 0, Max: time.Second, Factor: 3},
		{First: 7 * ms, Max: 7 * ms, Factor: 10},
		{First: ms, Max: math.MaxInt64, Factor: 1.5},
		{First: 5 * ms, Max: time.Hour, Factor: 1},
		{First: 5 * ms, Max: time.Hour},
		{First: 1, Max: math.MaxInt64, Factor: math.MaxFloat64},
	} {
		for n := range 80 {
			exact := b
			exact.Factor = max(b.Factor, 1)
			base := exactBase(exact, n)
			near := func(got, want time.Duration) bool {
				return math.Abs(float64(got-want)) <= 2+1e-12*float64(want)
			}
			third := time.Duration(math.MaxInt64)
			if base <= math.MaxInt64/3 {
				third = 3 * base
			}
			low, high := min(b.First, b.Max), min(third, b.Max)
			for _, u := range []float64{0, 0.25, 0.5, 0.999999} {
				for jitter, want := range map[life.Jitter]time.Duration{
					life.NoJitter:    base,
					life.FullJitter:  time.Duration(u * float64(base)),
					life.EqualJitter: base/2 + time.Duration(u*float64(base-base/2)),
					life.BandJitter:  low + time.Duration(u*float64(high-low)),
				} {
					b.Jitter = jitter
					if got := b.Delay(n, u); !near(got, want) {
						t.Errorf("%+v: delay %d for %v: %v, want %v", b, n, u, got, want)
					}
				}
			}
		}
	}
}

// For every input the delay is neither negative nor above what bounds it.
func FuzzDelay(f *testing.F) {
	f.Add(int64(200e6), int64(30e9), 2.0, uint8(2), 3, 0.5)
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), math.Inf(1), uint8(3), math.MaxInt, math.NaN())
	f.Add(int64(-5), int64(math.MinInt64), -1.0, uint8(1), -7, 2.0)
	f.Fuzz(func(t *testing.T, first, limit int64, factor float64, jitter uint8, n int, u float64) {
		b := life.Backoff{First: time.Duration(first), Max: time.Duration(limit), Factor: factor, Jitter: life.Jitter(jitter % 5)}
		d := b.Delay(n, u)
		if d < 0 || d > max(b.Max, 0) {
			t.Errorf("%+v: delay %d for %v: %d", b, n, u, d)
		}
	})
}

// Times saturate: a delay as long as a duration can be does not wrap.
func TestAfterSaturates(t *testing.T) {
	const end = life.Time(math.MaxInt64)
	for _, now := range []life.Time{1, 1 << 40, end - 1, end} {
		for _, d := range []time.Duration{0, 1, time.Hour, math.MaxInt64} {
			if at := now.After(d); at < now || at != end && at-now != life.Time(d) {
				t.Errorf("%d.After(%d) = %d", now, d, at)
			}
		}
	}
}

// draw is asked only where there is something to draw, and what it says counts.
func TestDrawIsAskedOnce(t *testing.T) {
	for _, tt := range []struct {
		jitter life.Jitter
		asked  int
		delay  time.Duration
	}{{life.NoJitter, 0, 4 * time.Second}, {life.FullJitter, 1, time.Second}, {life.EqualJitter, 1, 2500 * time.Millisecond}, {life.BandJitter, 1, 6 * time.Second}} {
		p := &life.Policy{Retries: life.Unlimited, Backoff: life.Backoff{First: 4 * time.Second, Max: time.Hour, Factor: 2, Jitter: tt.jitter}}
		m := life.New(p, life.Added, false, false)
		m.Announce(1)
		m.Launch(0, 1)
		m.Start(1)
		asked := 0
		m.Returned(life.Ending{Kind: life.Failure}, 1, func() float64 { asked++; return 0.25 })
		if asked != tt.asked || m.Delay() != tt.delay {
			t.Errorf("jitter %d: asked %d times, delay %v", tt.jitter, asked, m.Delay())
		}
	}
}
