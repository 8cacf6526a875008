package life

import (
	"math"
	"time"
)

// Jitter spreads delays. The numbers are those of the public type.
type Jitter uint8

// The jitters, for an undrawn delay base.
const (
	NoJitter    Jitter = iota // base
	FullJitter                // uniform in [0, base]
	EqualJitter               // uniform in [base/2, base]
	BandJitter                // uniform in [min(First, Max), min(3·base, Max)]
)

// Backoff is the delay before each retry. A zero Factor means 1. The public type
// validates it; the methods are harmless for any values all the same, since a delay that
// wraps would become a loop without delay.
type Backoff struct {
	First, Max time.Duration // before the first retry, and the most before jitter
	Factor     float64       // by which each further delay is longer; 1 or more
	Jitter     Jitter
}

// Delay returns the delay before retry n of a streak, from 0, for a draw u in
// [0, 1). For every input, valid or not, it lies between 0 and the largest of
// First, Max and the longest duration: it neither wraps nor is negative.
func (b Backoff) Delay(n int, u float64) time.Duration {
	if !(u >= 0) { // also NaN
		u = 0
	}
	if u >= 1 {
		u = math.Nextafter(1, 0) // the largest number below 1
	}
	base := b.base(n)
	switch b.Jitter {
	case FullJitter:
		return between(0, base, u)
	case EqualJitter:
		return between(base/2, base, u)
	case BandJitter:
		hi := b.limit()
		if base <= hi/3 { // otherwise 3·base is beyond it, and might wrap
			hi = 3 * base
		}
		return between(min(max(b.First, 0), b.limit(), hi), hi, u)
	default:
		return base
	}
}

// limit is Max, made harmless where it is negative.
func (b Backoff) limit() time.Duration { return max(b.Max, 0) }

// base is the delay before jitter: min(First·Factor^n, Max).
func (b Backoff) base(n int) time.Duration {
	first, limit := max(b.First, 0), b.limit()
	if first == 0 || n <= 0 || b.Factor == 0 || b.Factor == 1 {
		return min(first, limit)
	}
	d := float64(first) * math.Pow(b.Factor, float64(n))
	if !(d < float64(limit)) { // also +Inf and NaN, which no duration can hold
		return limit
	}
	return max(time.Duration(d), 0) // a Factor that is negative makes d so
}

// between returns lo + u·(hi−lo), for lo ≤ hi, never past hi: the product is rounded,
// and above 2⁵³ ns (104 days) it may be rounded up.
func between(lo, hi time.Duration, u float64) time.Duration {
	return min(lo+time.Duration(u*float64(hi-lo)), hi)
}
