package taskvisor

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// The defaults of a supervisor and its tasks.
const (
	defaultFirstBackoff = 200 * time.Millisecond
	defaultMaxBackoff   = 30 * time.Second
	defaultGrace        = 20 * time.Second
	defaultStuckAfter   = 5 * time.Second
	defaultDrain        = 5 * time.Second
	defaultCapacity     = 65536 // events a queued subscriber may fall behind
	defaultMaxQueue     = 100   // submissions that may wait for one slot
	minResetAfter       = 60 * time.Second
)

// TaskOption configures one task, or, through [WithTaskDefaults], every task of
// a supervisor that does not say otherwise. [RestartPolicy], [BackoffPolicy]
// and the values of the With functions are TaskOptions; the interface is
// sealed. Every function that takes TaskOptions panics at a nil one.
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

// mustOptions panics at a nil option, and says in a sentence what would otherwise be a nil
// pointer somewhere inside. kind is the option's type; whose names what it was given to.
func mustOptions[O comparable](kind, whose string, opts []O) {
	var none O
	if slices.Contains(opts, none) {
		panic("taskvisor: nil " + kind + " for " + whose)
	}
}

// policy holds the options of one task: those of a spec, those of a supervisor's defaults,
// or, with resolved set, both and the package's defaults together. Bits of set tell what
// was said; what was not is inherited. Tasks with equal policies share one: it is never
// written after it was returned to the user or given to a task.
type policy struct {
	life.Policy
	set         settings
	least, most time.Duration // initial delay; 0 ≤ least ≤ most
	kind        string        // what WithKind said; "": nothing
	more        *morePolicy   // nil unless one of its options was given
	passes      *[]Gate       // of a policy in force: all gates of a task with it, in order; nil: there are none
	err         error         // the first misuse, which adding the task reports
}

// same reports whether two policies of one supervisor are equal, as far as can be told:
// schedules never are, and gates only if they are the same pointer.
func (p *policy) same(q *policy) bool {
	a, b := *p, *q
	a.more, b.more, a.passes, b.passes = nil, nil, nil, nil
	return a == b && p.more.same(q.more)
}

func (m *morePolicy) same(o *morePolicy) bool {
	if m == nil || o == nil {
		return m == o
	}
	return m.next == nil && o.next == nil && slices.Equal(m.after, o.after) && slices.Equal(m.bound, o.bound) &&
		slices.EqualFunc(m.gates, o.gates, sameGate)
}

// sameGate compares pointers only: to compare what other types hold may panic.
func sameGate(a, b Gate) bool { return reflect.ValueOf(a).Kind() == reflect.Pointer && a == b }

// morePolicy holds options that cannot be compared. Specs made from each other share one:
// extra makes a copy before it is changed.
type morePolicy struct {
	gates []Gate                         // in the order in which they are entered; none is nil
	after []string                       // names of the tasks that must be ready first
	bound []string                       // of after, those that interrupt
	next  func(prev time.Time) time.Time // the calendar of a Scheduled; nil for others
}

// settings are the bits of policy.set. Those that begin with set say that a field was
// given; the others are options without a value. Bits only ever join: see overlay.
type settings uint32

const (
	setRestart settings = 1 << iota
	setBackoff
	setTimeout
	setRetries
	setReset
	setStuck
	setGrace
	setInitial
	setIdle

	pinRestart // Once, Periodic and Scheduled: the restart policy is part of the kind
	noFloor
	releaseOnAbandon
	essential
	noRecover
	startPaused
	readiness
	resolved // every field is filled in: the policy in force
)

// fail keeps the first misuse: later ones may follow from it.
func (p *policy) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *policy) restart() RestartPolicy { return RestartPolicy{p.Restart, p.Interval} }

// extra returns a copy of p.more, for p alone: specs share theirs.
func (p *policy) extra() *morePolicy {
	m := &morePolicy{}
	if p.more != nil {
		*m = *p.more
	}
	p.more = m
	return m
}

// resolve returns what is in force for a task with the options own under a
// supervisor with the given defaults; either may be nil.
func resolve(defaults, own *policy) *policy {
	r := &policy{set: resolved}
	r.Backoff = ExponentialBackoff(defaultFirstBackoff, defaultMaxBackoff).plain()
	r.Retries = life.Unlimited
	r.StuckAfter = defaultStuckAfter
	r.Grace = defaultGrace
	if defaults != nil {
		r.overlay(defaults)
	}
	if own != nil {
		r.overlay(own)
	}
	if r.set&setReset == 0 && r.Timeout == 0 {
		r.ResetAfter = max(minResetAfter, 2*min(r.Backoff.Max, math.MaxInt64/2)) // min: the double must not wrap
	}
	// These are bits above, and fields for the machine, which does not know settings.
	r.NoFloor = r.set&noFloor != 0
	r.Release = r.set&releaseOnAbandon != 0
	r.Readiness = r.set&readiness != 0
	return r
}

// overlay takes from p what p says, over what r says already. An option without a value
// cannot be taken back by a task whose supervisor's defaults have it.
func (r *policy) overlay(p *policy) {
	if p.set&setRestart != 0 {
		r.Restart, r.Interval, r.Scheduled = p.Restart, p.Interval, p.Scheduled
	}
	if p.set&setBackoff != 0 {
		r.Backoff = p.Backoff
	}
	if p.set&setTimeout != 0 {
		r.Timeout = p.Timeout
	}
	if p.set&setRetries != 0 {
		r.Retries = p.Retries
	}
	if p.set&setReset != 0 {
		r.ResetAfter = p.ResetAfter
	}
	if p.set&setStuck != 0 {
		r.StuckAfter = p.StuckAfter
	}
	if p.set&setGrace != 0 {
		r.Grace = p.Grace
	}
	if p.set&setInitial != 0 {
		r.least, r.most = p.least, p.most
	}
	if p.set&setIdle != 0 {
		r.Idle = p.Idle
	}
	if p.kind != "" {
		r.kind = p.kind
	}
	r.set |= p.set
	r.overlayMore(p.more)
}

// overlayMore adds gates and dependencies to those of the defaults; a calendar replaces
// another. m is not changed, and shared where there is nothing to add it to.
func (r *policy) overlayMore(m *morePolicy) {
	if m == nil {
		return
	}
	if r.more == nil {
		r.more = m
		return
	}
	r.addGates(m.gates)
	x := r.extra()
	x.after = slices.Concat(x.after, m.after)
	x.bound = slices.Concat(x.bound, m.bound)
	if m.next != nil {
		x.next = m.next
	}
}

// addGates adds gates to those that p has, into a new slice: the spec that this one was made
// from has the old one.
func (p *policy) addGates(gates []Gate) {
	x := p.extra()
	x.gates = slices.Concat(x.gates, gates)
	for i, g := range x.gates {
		if slices.ContainsFunc(x.gates[:i], func(other Gate) bool { return sameGate(g, other) }) {
			p.fail(fmt.Errorf("gate %q is given twice", g.String()))
		}
	}
}

// taskOption makes a TaskOption of a function.
type taskOption func(p *policy)

func (o taskOption) applyTask(p *policy) { o(p) }

// WithTimeout limits each attempt to d. When it has passed, the attempt's
// context is cancelled with [ErrAttemptTimeout]; the attempt itself ends when
// the work returns, with the result [ResultTimeout] whatever it returns. There is
// no limit by default. A d of 0 or less is an error when the task is added: see
// [WithoutTimeout].
func WithTimeout(d time.Duration) TaskOption {
	return taskOption(func(p *policy) {
		if d <= 0 {
			p.fail(fmt.Errorf("timeout %s is not positive: use WithoutTimeout for none", d))
			return
		}
		p.Timeout = d
		p.set |= setTimeout
	})
}

// WithoutTimeout lets attempts take as long as they want, which is the default, also
// where the supervisor's defaults have a timeout.
func WithoutTimeout() TaskOption {
	return taskOption(func(p *policy) {
		p.Timeout = 0
		p.set |= setTimeout
	})
}

// WithMaxRetries allows n retries in each streak of failures, hence n+1
// attempts when all fail. A success starts a new streak, and so does a failure
// after a long run: see [WithResetAfter]. 0 means one attempt; there is no limit by
// default. A negative n is an error when the task is added: see
// [WithUnlimitedRetries].
func WithMaxRetries(n int) TaskOption {
	return taskOption(func(p *policy) {
		if n < 0 {
			p.fail(fmt.Errorf("retry limit %d is negative: use WithUnlimitedRetries for none", n))
			return
		}
		p.Retries = n
		p.set |= setRetries
	})
}

// WithUnlimitedRetries retries for ever, which is the default, also where the
// supervisor's defaults have a limit.
func WithUnlimitedRetries() TaskOption {
	return taskOption(func(p *policy) {
		p.Retries = life.Unlimited
		p.set |= setRetries
	})
}

// WithResetAfter says how long an attempt must have run for its failure to be
// the first of a new streak instead of one more of the old. The default, for
// tasks without a timeout only, is the larger of 60 s and twice the backoff's
// maximum; one with a timeout starts a new streak after a success only. From then on
// the streak of an attempt that still runs is 0, and TaskRecovered announces it. A d
// of 0 or less is an error when the task is added.
func WithResetAfter(d time.Duration) TaskOption {
	return taskOption(func(p *policy) {
		if d <= 0 {
			p.fail(fmt.Errorf("reset after %s is not positive", d))
			return
		}
		p.ResetAfter = d
		p.set |= setReset
	})
}

// WithStuckAfter says how long past its deadline, its interruption or its stop a
// body may still run before [TaskStuck] reports it, with its stacks; 5 s by default. A d of 0
// or less is an error when the task is added.
func WithStuckAfter(d time.Duration) TaskOption {
	return taskOption(func(p *policy) {
		if d <= 0 {
			p.fail(fmt.Errorf("stuck after %s is not positive", d))
			return
		}
		p.StuckAfter = d
		p.set |= setStuck
	})
}

// WithoutRestartFloor lets attempts of the task follow each other without the
// millisecond that is kept between their starts by default. A task that returns
// at once then occupies a processor.
func WithoutRestartFloor() TaskOption {
	return taskOption(func(p *policy) { p.set |= noFloor })
}

// WithReleaseOnAbandon frees the name, permit and slot of an abandoned task at
// once, although its body still runs. The next task of that name or slot then
// overlaps with the old body: use it only where two of them do no harm. By default
// they stay taken until the body is back.
func WithReleaseOnAbandon() TaskOption {
	return taskOption(func(p *policy) { p.set |= releaseOnAbandon })
}

// WithEssential marks the task that the process exists for: when it ends
// failed, fatal, or canceled by its own [ErrCanceled], the supervisor begins a
// graceful shutdown, and [Supervisor.Run] returns an error that unwraps to the
// task's. By default the other tasks go on.
func WithEssential() TaskOption {
	return taskOption(func(p *policy) { p.set |= essential })
}
