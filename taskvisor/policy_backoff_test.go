package taskvisor_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	ms      = time.Millisecond
	forever = time.Duration(math.MaxInt64)
)

// Without jitter the delay is min(first · factor^n, max).
func TestBackoffBase(t *testing.T) {
	for name, tt := range map[string]struct {
		b    taskvisor.BackoffPolicy
		want []time.Duration // for n = 0, 1, 2, …
	}{
		"doubling":             {taskvisor.BackoffPolicy{First: 100 * ms, Max: time.Second, Factor: 2}, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, time.Second, time.Second}},
		"by 1.5":               {taskvisor.BackoffPolicy{First: 100 * ms, Max: time.Hour, Factor: 1.5}, []time.Duration{100 * ms, 150 * ms, 225 * ms}},
		"constant":             {taskvisor.ConstantBackoff(ms), []time.Duration{ms, ms, ms}},
		"zero factor is 1":     {taskvisor.BackoffPolicy{First: ms, Max: time.Second}, []time.Duration{ms, ms, ms}},
		"zero value":           {taskvisor.BackoffPolicy{}, []time.Duration{0, 0, 0}},
		"nothing to multiply":  {taskvisor.BackoffPolicy{Max: time.Hour, Factor: 10}, []time.Duration{0, 0, 0}},
		"first is the maximum": {taskvisor.BackoffPolicy{First: time.Second, Max: time.Second, Factor: 3}, []time.Duration{time.Second, time.Second}},
		"to the very end":      {taskvisor.BackoffPolicy{First: forever / 2, Max: forever, Factor: 2}, []time.Duration{forever / 2, forever, forever}},
	} {
		t.Run(name, func(t *testing.T) {
			same(t, "valid", tt.b.Validate(), nil)
			for n, want := range tt.want {
				for _, u := range []float64{0, 0.5, math.Nextafter(1, 0)} { // without jitter the draw does not matter
					same(t, fmt.Sprintf("Delay(%d, %v)", n, u), tt.b.Delay(n, u), want)
				}
			}
			last := tt.want[len(tt.want)-1]
			if tt.b.Factor <= 1 || last == tt.b.Max {
				for _, n := range []int{1 << 10, math.MaxInt32, math.MaxInt} {
					same(t, fmt.Sprintf("Delay(%d)", n), tt.b.Delay(n, 0), last)
				}
			}
			same(t, "Delay(-1)", tt.b.Delay(-1, 0), tt.want[0])
		})
	}
}

// Each jitter spreads the base uniformly over its range: a fixed draw lands
// where its share of the range ends.
func TestBackoffJitter(t *testing.T) {
	type span struct{ lo, hi time.Duration }
	exponential := func(j taskvisor.Jitter) taskvisor.BackoffPolicy {
		return taskvisor.BackoffPolicy{First: 100 * ms, Max: time.Second, Factor: 2, Jitter: j}
	}
	for name, tt := range map[string]struct {
		b    taskvisor.BackoffPolicy
		want []span // for n = 0, 1, 2, …
	}{
		"none":  {exponential(taskvisor.NoJitter), []span{{100 * ms, 100 * ms}, {200 * ms, 200 * ms}}},
		"full":  {exponential(taskvisor.FullJitter), []span{{0, 100 * ms}, {0, 200 * ms}, {0, 400 * ms}, {0, 800 * ms}, {0, time.Second}}},
		"equal": {exponential(taskvisor.EqualJitter), []span{{50 * ms, 100 * ms}, {100 * ms, 200 * ms}, {200 * ms, 400 * ms}, {400 * ms, 800 * ms}, {500 * ms, time.Second}}},
		"band":  {exponential(taskvisor.BandJitter), []span{{100 * ms, 300 * ms}, {100 * ms, 600 * ms}, {100 * ms, time.Second}, {100 * ms, time.Second}}},
		// min(3·base, max) to the nanosecond
		"band, 3·base just below max": {taskvisor.BackoffPolicy{First: 100, Max: 302, Factor: 1, Jitter: taskvisor.BandJitter}, []span{{100, 300}}},
		"band, 3·base is max":         {taskvisor.BackoffPolicy{First: 100, Max: 300, Factor: 1, Jitter: taskvisor.BandJitter}, []span{{100, 300}}},
		"band, 3·base above max":      {taskvisor.BackoffPolicy{First: 100, Max: 299, Factor: 1, Jitter: taskvisor.BandJitter}, []span{{100, 299}}},
		"band, 3·base would wrap":     {taskvisor.BackoffPolicy{First: forever / 2, Max: forever, Factor: 2, Jitter: taskvisor.BandJitter}, []span{{forever / 2, forever}}},
		"exponential's default":       {taskvisor.ExponentialBackoff(100*ms, time.Second), []span{{50 * ms, 100 * ms}}},
	} {
		t.Run(name, func(t *testing.T) {
			for n, want := range tt.want {
				const draws = 1000
				tolerance := max(1, (want.hi-want.lo)/1_000_000) // a float has 53 bits
				for i := range draws {
					u := float64(i) / draws
					ideal := want.lo + time.Duration(u*float64(want.hi-want.lo))
					if got := tt.b.Delay(n, u); (got-ideal).Abs() > tolerance || got < want.lo || got > want.hi {
						t.Fatalf("Delay(%d, %v) = %v, want %v in [%v, %v]", n, u, got, ideal, want.lo, want.hi)
					}
				}
				got := tt.b.Delay(n, math.Nextafter(1, 0))
				if got > want.hi || (want.hi-got) > tolerance {
					t.Errorf("Delay(%d, just below 1) = %v, want at most %v", n, got, want.hi)
				}
			}
		})
	}
}

// The delay depends on n and the draw alone, never on earlier draws.
func TestBackoffIsPure(t *testing.T) {
	b := taskvisor.BackoffPolicy{First: ms, Max: time.Minute, Factor: 2, Jitter: taskvisor.BandJitter}
	first := make([]time.Duration, 0, 20)
	for n := range 20 {
		first = append(first, b.Delay(n, 0.7))
	}
	for n := 19; n >= 0; n-- {
		b.Delay(n, 0.1)
		same(t, fmt.Sprintf("Delay(%d) again", n), b.Delay(n, 0.7), first[n])
	}
	if !slices.IsSorted(first) {
		t.Errorf("a fixed draw does not grow: %v", first)
	}
}

// Draws and policies that are not valid do no harm.
func TestBackoffIsHarmless(t *testing.T) {
	for _, b := range []taskvisor.BackoffPolicy{
		{First: -time.Second, Max: time.Second, Factor: 2},
		{First: time.Second, Max: -time.Second, Factor: 2},
		{First: 2, Max: 1, Factor: math.NaN()},
		{First: 1, Max: forever, Factor: math.Inf(1)},
		{First: forever, Max: forever, Factor: math.MaxFloat64},
		{First: 1, Max: 1, Factor: -1},
		{First: 1, Max: 1, Jitter: 77},
	} {
		for j := range taskvisor.BandJitter + 2 {
			b.Jitter = j
			for _, n := range []int{math.MinInt, -1, 0, 1, 63, 64, 1024, math.MaxInt} {
				for _, u := range []float64{0, 0.5, 1, 2, -1, math.NaN(), math.Inf(1), math.Inf(-1)} {
					if d := b.Delay(n, u); d < 0 || d > max(b.First, b.Max, 0) {
						t.Errorf("%+v.Delay(%d, %v) = %v", b, n, u, d)
					}
				}
			}
		}
	}
}

func TestBackoffValidate(t *testing.T) {
	for _, b := range []taskvisor.BackoffPolicy{
		{},
		{Factor: 1},
		{First: 1, Max: 1, Factor: math.MaxFloat64},
		{Max: forever},
		taskvisor.ConstantBackoff(0), taskvisor.ExponentialBackoff(0, 0),
		{First: 1, Max: 2, Jitter: taskvisor.BandJitter},
	} {
		same(t, fmt.Sprintf("%+v", b), b.Validate(), nil)
	}
	for name, wrong := range wrongTaskOptions {
		if b, ok := wrong.opt.(taskvisor.BackoffPolicy); ok && b.Validate() == nil {
			t.Errorf("%s is valid", name)
		}
	}
}

func TestPolicyStrings(t *testing.T) {
	for want, policy := range map[string]fmt.Stringer{
		"never":                         taskvisor.RestartNever(),
		"on_failure":                    taskvisor.RestartOnFailure(),
		"always(1m0s)":                  taskvisor.RestartAlways(time.Minute),
		"always(0s)":                    taskvisor.RestartAlways(0),
		"200ms ×2 to 30s, equal_jitter": taskvisor.ExponentialBackoff(200*ms, 30*time.Second),
		"1s":                            taskvisor.ConstantBackoff(time.Second),
		"0s":                            taskvisor.BackoffPolicy{},
		"1ms ×1.5 to 1s":                taskvisor.BackoffPolicy{First: ms, Max: time.Second, Factor: 1.5},
		"1s, full_jitter":               taskvisor.BackoffPolicy{First: time.Second, Max: time.Second, Jitter: taskvisor.FullJitter},
		"1s ×3 to 1h0m0s, band_jitter":  taskvisor.BackoffPolicy{First: time.Second, Max: time.Hour, Factor: 3, Jitter: taskvisor.BandJitter},
		"2562047h47m16.854775807s":      taskvisor.ConstantBackoff(forever),
		"1ms ×1e+300 to 1s, unknown_9":  taskvisor.BackoffPolicy{First: ms, Max: time.Second, Factor: 1e300, Jitter: 9},
	} {
		same(t, "policy", policy.String(), want)
	}
	interval, always := taskvisor.RestartAlways(time.Minute).Interval()
	same(t, "interval", interval, time.Minute)
	same(t, "always", always, true)
	_, always = taskvisor.RestartOnFailure().Interval()
	same(t, "on failure is always", always, false)
	same(t, "never", taskvisor.RestartNever().Never(), true)
	same(t, "always is never", taskvisor.RestartAlways(0).Never(), false)
}
