package taskvisor

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// The defaults of a supervisor and its tasks.
const (
	defaultFirstBackoff = 200 * time.Millisecond
	defaultMaxBackoff   = 30 * time.Second
	defaultGrace        = 60 * time.Second
	defaultStuckAfter   = 5 * time.Second
	defaultDrain        = 5 * time.Second
	defaultCapacity     = 1024 // events a queued subscriber may fall behind
	defaultMaxQueue     = 100  // submissions that may wait for one slot
	minResetAfter       = 60 * time.Second

	// restartFloor is the least time between the starts of two attempts of a
	// task: a loop that fails at once then costs a thousand attempts a second
	// and no more.
	restartFloor = time.Millisecond
)

// TaskOption configures one task, or, through [WithTaskDefaults], every task of
// a supervisor that does not say otherwise. [RestartPolicy], [BackoffPolicy]
// and the values of the With functions are TaskOptions; the interface is
// sealed. Who is given a nil TaskOption panics.
type TaskOption interface{ applyTask(p *policy) }

// Option configures a supervisor; see [New], which panics at a nil one. The
// interface is sealed.
type Option interface{ applySupervisor(c *config) }

// SubscriberOption configures one subscriber; see [WithSubscriber], which
// panics at a nil one, as does [New] at one of [Preferences]. The interface is
// sealed.
type SubscriberOption interface {
	applySubscriber(c *subscriberConfig)
}

// mustOptions says in a sentence what would otherwise be a nil pointer somewhere
// inside.
func mustOptions[O comparable](kind, whose string, opts []O) {
	var none O
	if slices.Contains(opts, none) {
		panic("taskvisor: nil " + kind + " for " + whose)
	}
}

// policy holds the options of one task. Bits of set tell what was said; what
// was not is inherited.
type policy struct {
	set        settings
	restart    RestartPolicy
	backoff    BackoffPolicy
	timeout    time.Duration // per attempt; with limitTimeout only
	retries    int           // per streak; with limitRetries only
	resetAfter time.Duration
	stuckAfter time.Duration
	grace      time.Duration
	err        error // the first misuse
}

type settings uint16

const (
	setRestart settings = 1 << iota
	setBackoff
	setTimeout
	setRetries
	setReset
	setStuck
	setGrace

	pinRestart   // Once and Periodic: the restart policy is part of the kind
	limitTimeout // timeout is a limit, not "none"
	limitRetries // retries is a limit, not "unlimited"
	noFloor
	releaseOnAbandon
	essential
	resolved // every field is filled in: the policy in force
)

func (p *policy) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// resolve returns what is in force for a task with the options own under a
// supervisor with the given defaults; either may be nil.
func resolve(defaults, own *policy) *policy {
	r := &policy{}
	r.resolve(defaults, own)
	return r
}

func (r *policy) resolve(defaults, own *policy) {
	*r = policy{
		set:        resolved,
		backoff:    ExponentialBackoff(defaultFirstBackoff, defaultMaxBackoff),
		stuckAfter: defaultStuckAfter,
		grace:      defaultGrace,
	}
	if defaults != nil {
		r.overlay(defaults)
	}
	if own != nil {
		r.overlay(own)
	}
	if r.set&setReset == 0 {
		r.resetAfter = max(minResetAfter, 2*min(r.backoff.Max, math.MaxInt64/2))
	}
}

// overlay takes from p what p says.
func (r *policy) overlay(p *policy) {
	if p.set&setRestart != 0 {
		r.restart = p.restart
	}
	if p.set&setBackoff != 0 {
		r.backoff = p.backoff
	}
	if p.set&setTimeout != 0 {
		r.timeout = p.timeout
		r.set = r.set&^limitTimeout | p.set&limitTimeout
	}
	if p.set&setRetries != 0 {
		r.retries = p.retries
		r.set = r.set&^limitRetries | p.set&limitRetries
	}
	if p.set&setReset != 0 {
		r.resetAfter = p.resetAfter
	}
	if p.set&setStuck != 0 {
		r.stuckAfter = p.stuckAfter
	}
	if p.set&setGrace != 0 {
		r.grace = p.grace
	}
	r.set |= p.set & (setRestart | setBackoff | setTimeout | setRetries | setReset | setStuck | setGrace |
		noFloor | releaseOnAbandon | essential)
}

type taskOption func(p *policy)

func (o taskOption) applyTask(p *policy) { o(p) }

// WithTimeout limits each attempt to d. When it has passed, the attempt's
// context is cancelled with [ErrAttemptTimeout]; the attempt itself ends when
// the work returns, with the result [ResultTimeout] whatever it returns. A d of
// 0 or less is an error when the task is added: see [WithoutTimeout].
func WithTimeout(d time.Duration) TaskOption {
	return taskOption(func(p *policy) {
		if d <= 0 {
			p.fail(fmt.Errorf("timeout %s is not positive: use WithoutTimeout for none", d))
			return
		}
		p.timeout = d
		p.set |= setTimeout | limitTimeout
	})
}

// WithoutTimeout lets attempts take as long as they want, also where the
// supervisor's defaults have a timeout.
func WithoutTimeout() TaskOption {
	return taskOption(func(p *policy) {
		p.timeout = 0
		p.set = (p.set | setTimeout) &^ limitTimeout
	})
}

// WithMaxRetries allows n retries in each streak of failures, hence n+1
// attempts when all fail. A success starts a new streak, and so does a failure
// after a long run: see [WithResetAfter]. A negative n is an error when the
// task is added: see [WithUnlimitedRetries].
func WithMaxRetries(n int) TaskOption {
	return taskOption(func(p *policy) {
		if n < 0 {
			p.fail(fmt.Errorf("retry limit %d is negative: use WithUnlimitedRetries for none", n))
			return
		}
		p.retries = n
		p.set |= setRetries | limitRetries
	})
}

// WithUnlimitedRetries retries for ever, also where the supervisor's defaults
// have a limit.
func WithUnlimitedRetries() TaskOption {
	return taskOption(func(p *policy) {
		p.retries = 0
		p.set = (p.set | setRetries) &^ limitRetries
	})
}

// WithResetAfter says how long an attempt must have run for its failure to be
// the first of a new streak instead of one more of the old. The default, for
// tasks without a timeout only, is the larger of 60 s and twice the backoff's
// maximum. A d of 0 or less is an error when the task is added.
func WithResetAfter(d time.Duration) TaskOption {
	return taskOption(func(p *policy) {
		if d <= 0 {
			p.fail(fmt.Errorf("reset after %s is not positive", d))
			return
		}
		p.resetAfter = d
		p.set |= setReset
	})
}

// WithStuckAfter says how long past its deadline or its stop a body may still
// run before [TaskStuck] reports it, with its stacks; 5 s by default. A d of 0
// or less is an error when the task is added.
func WithStuckAfter(d time.Duration) TaskOption {
	return taskOption(func(p *policy) {
		if d <= 0 {
			p.fail(fmt.Errorf("stuck after %s is not positive", d))
			return
		}
		p.stuckAfter = d
		p.set |= setStuck
	})
}

// WithoutRestartFloor lets attempts of the task follow each other without the
// millisecond that is otherwise kept between their starts. A task that returns
// at once then occupies a processor.
func WithoutRestartFloor() TaskOption {
	return taskOption(func(p *policy) { p.set |= noFloor })
}

// WithReleaseOnAbandon frees the name, permit and slot of an abandoned task at
// once, although its body still runs. The next task of that name or slot then
// overlaps with the old body: use it only where two of them do no harm.
func WithReleaseOnAbandon() TaskOption {
	return taskOption(func(p *policy) { p.set |= releaseOnAbandon })
}

// WithEssential marks the task that the process exists for: when it ends
// failed, fatal, or canceled by its own [ErrCanceled], the supervisor begins a
// graceful shutdown, and [Supervisor.Run] returns an error that unwraps to the
// task's.
func WithEssential() TaskOption {
	return taskOption(func(p *policy) { p.set |= essential })
}

type graceOption time.Duration

func (g graceOption) applyTask(p *policy) {
	if g < 0 {
		p.fail(fmt.Errorf("negative grace %s", time.Duration(g)))
		return
	}
	p.grace = time.Duration(g)
	p.set |= setGrace
}

func (g graceOption) applySupervisor(c *config) {
	if g < 0 {
		c.fail(fmt.Errorf("negative grace %s", time.Duration(g)))
		return
	}
	c.grace = time.Duration(g)
}

// WithGrace says how long a stopped body has to return before it is abandoned;
// 60 s by default. As an [Option] it is the grace of the shutdown and what
// tasks inherit; as a [TaskOption] it is that of an individual stop of the
// task, and never lengthens a shutdown. 0 abandons at once; a negative d is an
// error.
func WithGrace(d time.Duration) interface {
	TaskOption
	Option
} {
	return graceOption(d)
}
