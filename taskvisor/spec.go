package taskvisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/life"
)

// maxNameBytes bounds a task's name: it is a metric label, a log attribute and a
// part of a span's name, and all of these are paid for by the byte. A slot's key is
// none of that.
const (
	maxNameBytes = 128
	maxSlotBytes = 1024
)

// Func is the user's work. It is called once per attempt, on a goroutine of
// its own, with a context that belongs to this attempt alone: it is cancelled
// when the attempt must stop ([context.Cause] tells why) and, at the latest,
// when the attempt ends.
//
// What it returns decides what follows: nil is success, [Fatal] ends the task,
// [RetryAfter] and [RunAfter] set the next delay, an error that is [ErrCanceled]
// makes the task end itself, and any other error is a failure that the restart policy
// deals with. A panic and [runtime.Goexit] are contained and count as
// failures. The same Func value may be given to several tasks; it is then
// called concurrently.
type Func func(ctx context.Context) error

// TaskID identifies one registered task. It comes from one counter for the
// whole process, starts at 1 and is never reused; 0 is no task.
type TaskID uint64

// TaskSpec is a task before it is registered: a name, the work and the
// policies. It is an immutable value: copy it, share it between goroutines, and add it as
// often as its name is free. What its options do not say is taken from the supervisor's
// [WithTaskDefaults] when it is added; a wrong option is an error then. Make one with [Once], [Restartable], [Periodic] or [Scheduled]; the zero value is
// refused wherever a spec is asked for.
type TaskSpec struct {
	name   string
	fn     Func
	policy *policy // never written after the spec was returned; nil: nothing was set
}

// oncePolicy serves every Once without options, so that making one allocates
// nothing.
var oncePolicy = &policy{Policy: life.Policy{Restart: life.Never}, set: setRestart | pinRestart}

// Once returns the spec of a task that runs a single attempt, whatever its
// result. It panics if fn is nil. Another restart policy among opts, and what has a
// meaning for retries only, is an error when the spec is added.
func Once(name string, fn Func, opts ...TaskOption) TaskSpec {
	return newSpec(name, fn, oncePolicy, opts)
}

// Restartable returns the spec of a task that follows the restart policy of
// opts, or else of the supervisor's defaults, or else [RestartOnFailure]. It
// panics if fn is nil.
func Restartable(name string, fn Func, opts ...TaskOption) TaskSpec {
	return newSpec(name, fn, nil, opts)
}

// Periodic returns the spec of a task that runs at once and then again each
// time interval has passed since its last success; after a failure its backoff
// decides. A negative interval is an error when the spec is added, and so is
// another restart policy among opts. It panics if fn is nil.
func Periodic(name string, interval time.Duration, fn Func, opts ...TaskOption) TaskSpec {
	p := &policy{}
	RestartAlways(interval).applyTask(p)
	p.set |= pinRestart
	return newSpec(name, fn, p, opts)
}

// Scheduled returns the spec of a task that starts at times of the wall clock: next
// is given a time and returns the first start after it, as the Schedule of a cron
// library does; the zero time means that there is none, and ends the task, or is an
// error when it is added. A start
// that falls into a running attempt, its children included, is skipped. A step of the
// clock, and the end of a suspension, is noticed within a minute. After a failure the
// backoff decides. next is called by Add and, after each success, on the attempt's
// goroutine, where a panic or [runtime.Goexit] counts as the body's. It panics if next or
// fn is nil.
func Scheduled(name string, next func(prev time.Time) time.Time, fn Func, opts ...TaskOption) TaskSpec {
	if next == nil {
		panic("taskvisor: nil schedule for task " + strconv.Quote(name))
	}
	p := &policy{set: setRestart | pinRestart}
	p.Restart, p.Scheduled = life.Always, true
	p.extra().next = next
	return newSpec(name, fn, p, opts)
}

// newSpec makes a spec with the policy p, which With copies before it changes it: the
// specs of all Onces begin with the same one.
func newSpec(name string, fn Func, p *policy, opts []TaskOption) TaskSpec {
	if fn == nil {
		panic("taskvisor: nil Func for task " + strconv.Quote(name))
	}
	return TaskSpec{name: name, fn: fn, policy: p}.With(opts...)
}

// With returns a copy of s with opts applied after those that s has; of two
// options for the same thing the later wins. It does not modify s, and panics if
// an option is nil, as do [Once], [Restartable] and [Periodic].
func (s TaskSpec) With(opts ...TaskOption) TaskSpec {
	if len(opts) == 0 {
		return s
	}
	p := &policy{}
	if s.policy != nil {
		*p = *s.policy
	}
	for _, o := range opts {
		if o == nil {
			panic("taskvisor: nil TaskOption for task " + strconv.Quote(s.name))
		}
		o.applyTask(p)
	}
	s.policy = p
	return s
}

// Name returns the task's name.
func (s TaskSpec) Name() string { return s.name }

// Kind returns what [WithKind] said.
func (s TaskSpec) Kind() string { return s.effective().kind }

// Restart returns the restart policy. On a spec that was not registered yet,
// here and in the methods below, what is not set is shown as the package's
// default; on one from a [TaskStatus] or an [Attempt] it is the policy in
// force.
func (s TaskSpec) Restart() RestartPolicy { return s.effective().restart() }

// Scheduled reports whether the task starts at times of the wall clock.
func (s TaskSpec) Scheduled() bool { return s.effective().Scheduled }

// Backoff returns the delays between the retries of a failing task.
func (s TaskSpec) Backoff() BackoffPolicy {
	b := s.effective().Backoff
	return BackoffPolicy{First: b.First, Max: b.Max, Factor: b.Factor, Jitter: Jitter(b.Jitter)}
}

// Timeout returns the longest time one attempt may take, and whether there is
// such a limit at all.
func (s TaskSpec) Timeout() (d time.Duration, limited bool) {
	d = s.effective().Timeout
	return d, d > 0
}

// IdleTimeout returns the longest time an attempt may be silent, and whether there
// is such a limit at all.
func (s TaskSpec) IdleTimeout() (d time.Duration, limited bool) {
	d = s.effective().Idle
	return d, d > 0
}

// MaxRetries returns the number of retries that one streak of failures may
// have, and whether there is such a limit at all.
func (s TaskSpec) MaxRetries() (n int, limited bool) {
	if n = s.effective().Retries; n == life.Unlimited {
		return 0, false
	}
	return n, true
}

// Grace returns how long a stopped body has to return.
func (s TaskSpec) Grace() time.Duration { return s.effective().Grace }

// Essential reports whether the supervisor ends with the task; see [WithEssential].
func (s TaskSpec) Essential() bool { return s.effective().set&essential != 0 }

// Dependencies returns the names given to [After] and [BoundTo].
func (s TaskSpec) Dependencies() []string {
	if m := s.effective().more; m != nil {
		return slices.Clone(m.after)
	}
	return nil
}

// String describes the task and its effective policy on one line. It never
// touches the work.
func (s TaskSpec) String() string {
	var b strings.Builder
	if s.Scheduled() {
		fmt.Fprintf(&b, "%s: restart scheduled", s.name)
	} else {
		fmt.Fprintf(&b, "%s: restart %s", s.name, s.Restart())
	}
	if s.effective().Restart != life.Never {
		fmt.Fprintf(&b, ", backoff %s", s.Backoff())
		if n, limited := s.MaxRetries(); limited {
			fmt.Fprintf(&b, ", at most %d retries", n)
		} else {
			b.WriteString(", unlimited retries")
		}
	}
	if d, limited := s.Timeout(); limited {
		fmt.Fprintf(&b, ", timeout %s", d)
	} else {
		b.WriteString(", no timeout")
	}
	if d, limited := s.IdleTimeout(); limited {
		fmt.Fprintf(&b, ", idle timeout %s", d)
	}
	return b.String()
}

// LogValue implements [slog.LogValuer]: the effective policy as a group.
func (s TaskSpec) LogValue() slog.Value { return slog.GroupValue(s.attrs()...) }

// attrs lists the effective policy, under the keys that logs use.
func (s TaskSpec) attrs() []slog.Attr {
	p := s.effective()
	restart := s.Restart().String()
	if p.Scheduled {
		restart = "scheduled"
	}
	attrs := []slog.Attr{
		slog.String("name", s.name),
		slog.String("restart", restart),
		slog.String("backoff", s.Backoff().String()),
	}
	if p.kind != "" {
		attrs = append(attrs, slog.String("kind", p.kind))
	}
	if p.Timeout > 0 {
		attrs = append(attrs, slog.Duration("timeout", p.Timeout))
	}
	if p.Idle > 0 {
		attrs = append(attrs, slog.Duration("idle_timeout", p.Idle))
	}
	if n, limited := s.MaxRetries(); limited {
		attrs = append(attrs, slog.Int("max_retries", n))
	}
	if p.ResetAfter > 0 && p.Restart != life.Never {
		attrs = append(attrs, slog.Duration("reset_after", p.ResetAfter))
	}
	attrs = append(attrs, slog.Duration("grace", p.Grace), slog.Duration("stuck_after", p.StuckAfter))
	if p.most > 0 {
		attrs = append(attrs, slog.Duration("least_initial_delay", p.least), slog.Duration("most_initial_delay", p.most))
	}
	for _, is := range []struct {
		set  settings
		name string
	}{{essential, "essential"}, {startPaused, "start_paused"}, {readiness, "readiness"}, {releaseOnAbandon, "release_on_abandon"},
		{noFloor, "no_restart_floor"}, {noRecover, "no_recover"}} {
		if p.set&is.set != 0 {
			attrs = append(attrs, slog.Bool(is.name, true))
		}
	}
	if m := p.more; m != nil {
		if len(m.gates) > 0 {
			attrs = append(attrs, slog.Int("gates", len(m.gates)))
		}
		if len(m.after) > 0 {
			attrs = append(attrs, slog.Any("after", slices.Clone(m.after)))
		}
		if len(m.bound) > 0 {
			attrs = append(attrs, slog.Any("bound_to", slices.Clone(m.bound)))
		}
	}
	return attrs
}

// effective is the policy in force, on a spec that a supervisor shows, or else what it
// would be without defaults of a supervisor. It is never nil and must not be written.
func (s TaskSpec) effective() *policy {
	if s.policy != nil && s.policy.set&resolved != 0 {
		return s.policy
	}
	return resolve(nil, s.policy)
}

// validate reports what makes s unfit for registration: here, and not where the spec is
// made, since functions that make specs return no errors.
func (s TaskSpec) validate() error {
	if s.fn == nil {
		return errors.New("empty spec: make one with Once, Restartable, Periodic or Scheduled")
	}
	if err := validName("name", s.name, maxNameBytes); err != nil {
		return err
	}
	p := s.policy
	switch {
	case p == nil || p == oncePolicy: // no option was given
		return nil
	case p.err != nil:
		return p.err
	case p.set&setRestart != 0 && p.Restart == life.Never && p.set&(setBackoff|setRetries|setReset) != 0:
		return errors.New("an option for retries has no meaning for a task that runs once")
	case p.Scheduled && p.set&setInitial != 0:
		return errors.New("an initial delay has no meaning for a task that is scheduled")
	case p.more != nil && slices.Contains(p.more.after, s.name):
		return fmt.Errorf("%q depends on itself", s.name)
	}
	return nil
}

// validName holds names and slot keys to what labels, logs and terminals can
// show: a byte or more, and not too many, of valid UTF-8 without control characters.
func validName(what, name string, longest int) error {
	switch {
	case name == "":
		return fmt.Errorf("empty %s", what)
	case len(name) > longest:
		return fmt.Errorf("%s of %d bytes is longer than %d", what, len(name), longest)
	}
	for i := 0; i < len(name); {
		// Names are nearly always plain ASCII: that path costs one comparison a byte.
		if c := name[i]; c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				return fmt.Errorf("%s %q has a control character", what, name)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(name[i:])
		if r == utf8.RuneError && size == 1 {
			return fmt.Errorf("%s %q is not valid UTF-8", what, name)
		}
		if unicode.IsControl(r) {
			return fmt.Errorf("%s %q has a control character", what, name)
		}
		i += size
	}
	return nil
}
