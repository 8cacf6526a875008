package taskvisor

import (
	"fmt"
	"math"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// RestartPolicy says what follows an attempt. It is comparable and a
// [TaskOption]; the zero value restarts on failure.
type RestartPolicy struct {
	kind     life.Restart
	interval time.Duration // after a success, with life.Always; 0 otherwise, so that == compares
}

// RestartNever ends the task after one attempt, whatever its result.
func RestartNever() RestartPolicy { return RestartPolicy{kind: life.Never} }

// RestartOnFailure retries after a retryable failure and ends the task after a
// success. It is the default.
func RestartOnFailure() RestartPolicy { return RestartPolicy{} }

// RestartAlways retries after a retryable failure, as [RestartOnFailure] does,
// and starts the next attempt interval after each success, counted from its
// completion. A negative interval is an error when a task with it is added.
func RestartAlways(interval time.Duration) RestartPolicy {
	return RestartPolicy{kind: life.Always, interval: interval}
}

// String returns never, on_failure or always, the latter with its interval.
func (r RestartPolicy) String() string {
	switch r.kind {
	case life.Never:
		return "never"
	case life.Always:
		return fmt.Sprintf("always(%s)", r.interval)
	default:
		return "on_failure"
	}
}

// Interval returns the time between a success and the next attempt, and
// whether there is a next attempt after a success at all.
func (r RestartPolicy) Interval() (d time.Duration, always bool) {
	return r.interval, r.kind == life.Always
}

// Never reports whether the policy is [RestartNever].
func (r RestartPolicy) Never() bool { return r.kind == life.Never }

// applyTask implements TaskOption. Periodic calls it before it pins the policy.
func (r RestartPolicy) applyTask(p *policy) {
	switch {
	case r.interval < 0:
		p.fail(fmt.Errorf("negative interval %s", r.interval))
	case p.set&pinRestart != 0 && p.restart() != r: // the same policy once more is no contradiction
		p.fail(fmt.Errorf("restart policy %s contradicts %s, which Once, Periodic, Scheduled and AsTask fix", r, p.restart()))
	default:
		p.Restart, p.Interval = r.kind, r.interval
		p.set |= setRestart
	}
}

// BackoffPolicy is the delay before each retry: First, multiplied by Factor
// with every further retry of the streak, never above Max, then spread by
// Jitter. It is plain data, comparable, printable and a [TaskOption]. A zero
// Factor means 1; the zero value retries without delay.
type BackoffPolicy struct {
	First, Max time.Duration
	Factor     float64
	Jitter     Jitter
}

// ExponentialBackoff returns delays of first, 2·first, 4·first … up to max,
// each drawn from its upper half ([EqualJitter]).
func ExponentialBackoff(first, max time.Duration) BackoffPolicy {
	return BackoffPolicy{First: first, Max: max, Factor: 2, Jitter: EqualJitter}
}

// ConstantBackoff returns a delay of d before every retry, without jitter.
func ConstantBackoff(d time.Duration) BackoffPolicy {
	return BackoffPolicy{First: d, Max: d, Factor: 1}
}

// Delay returns the delay before retry n of a streak, counted from 0, for a
// uniform draw u in [0, 1). It is a pure function and saturates: for every n,
// u and receiver, a valid one or not, the result is between 0 and the largest
// of First, Max and the longest duration; it neither wraps nor is negative.
//
// The jitters FullJitter and EqualJitter are those of M. Brooker, "Exponential
// Backoff And Jitter" (AWS Architecture Blog, 2015). BandJitter is its
// "decorrelated jitter" drawn around the undrawn delay instead of the previous
// draw, so that a delay depends on n and u alone.
func (b BackoffPolicy) Delay(n int, u float64) time.Duration { return b.plain().Delay(n, u) }

// plain is b as the machine computes with it.
func (b BackoffPolicy) plain() life.Backoff {
	return life.Backoff{First: b.First, Max: b.Max, Factor: b.Factor, Jitter: life.Jitter(b.Jitter)}
}

// Validate reports what is wrong with b: 0 ≤ First ≤ Max, a finite Factor of 1
// or more (or 0, which means 1), and a known Jitter. Adding a task reports the
// same.
func (b BackoffPolicy) Validate() error {
	switch {
	case b.First < 0:
		return fmt.Errorf("backoff: negative first delay %s", b.First)
	case b.Max < b.First:
		return fmt.Errorf("backoff: maximum %s is less than the first delay %s", b.Max, b.First)
	case b.Factor != 0 && !(b.Factor >= 1 && !math.IsInf(b.Factor, 1)): // also NaN, which is not ≥ 1
		return fmt.Errorf("backoff: factor %v is not a finite number of 1 or more", b.Factor)
	case int(b.Jitter) >= len(jitterLabels):
		return fmt.Errorf("backoff: unknown jitter %d", uint8(b.Jitter))
	}
	return nil
}

// String describes the policy, for example "200ms ×2 to 30s, equal_jitter".
func (b BackoffPolicy) String() string {
	s := b.First.String()
	if b.Factor > 1 {
		s = fmt.Sprintf("%s ×%v to %s", b.First, b.Factor, b.Max)
	}
	if b.Jitter != NoJitter {
		s += ", " + b.Jitter.String()
	}
	return s
}

// applyTask implements TaskOption. All of b replaces what was set before.
func (b BackoffPolicy) applyTask(p *policy) {
	if err := b.Validate(); err != nil {
		p.fail(err)
		return
	}
	p.Backoff = b.plain()
	p.set |= setBackoff
}

// Jitter spreads the retries of tasks that failed together.
type Jitter uint8

// The jitters, for an undrawn delay base.
const (
	NoJitter    Jitter = iota // base
	FullJitter                // uniform in [0, base]
	EqualJitter               // uniform in [base/2, base]
	BandJitter                // uniform in [min(First, Max), min(3·base, Max)]
)

var jitterLabels = []string{"no_jitter", "full_jitter", "equal_jitter", "band_jitter"}

// String returns the stable label.
func (j Jitter) String() string { return label(jitterLabels, j) }

// MarshalText returns the label.
func (j Jitter) MarshalText() ([]byte, error) { return []byte(j.String()), nil }

// UnmarshalText accepts a label.
func (j *Jitter) UnmarshalText(text []byte) error { return parse(j, text, jitterLabels) }
