package taskvisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxNameBytes bounds a task's name and a slot's key: a name is a metric
// label, a log attribute and a part of a span's name, and all of these are
// paid for by the byte.
const maxNameBytes = 128

// Func is the user's work. It is called once per attempt, on a goroutine of
// its own, with a context that belongs to this attempt alone: it is cancelled
// when the attempt must stop ([context.Cause] tells why) and, at the latest,
// when the attempt ends.
//
// What it returns decides what follows: nil is success, [Fatal] ends the task,
// [RetryAfter] sets the next delay, an error that is [ErrCanceled] makes the
// task end itself, and any other error is a failure that the restart policy
// deals with. A panic and [runtime.Goexit] are contained and count as
// failures. The same Func value may be given to several tasks; it is then
// called concurrently.
type Func func(ctx context.Context) error

// TaskID identifies one registered task. It comes from one counter for the
// whole process, starts at 1 and is never reused; 0 is no task.
type TaskID uint64

// TaskSpec is a task before it is registered: a name, the work and the
// policies. It is an immutable value, small enough to be copied, safe for
// concurrent use, and may be added any number of times, under a name that is
// free. Make one with [Once], [Restartable] or [Periodic]; the zero value is
// refused wherever a spec is asked for.
type TaskSpec struct {
	name   string
	fn     Func
	policy *policy // never written after the spec was returned; nil: nothing was set
}

// oncePolicy serves every Once without options, so that making one allocates
// nothing.
var oncePolicy = &policy{set: setRestart | pinRestart, restart: RestartNever()}

// Once returns the spec of a task that runs a single attempt, whatever its
// result. It panics if fn is nil. Another restart policy among opts is an error
// when the spec is added.
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

// Restart returns the restart policy. On a spec that was not registered yet,
// here and in the methods below, what is not set is shown as the package's
// default; on one from a [TaskStatus] or an [Attempt] it is the policy in
// force.
func (s TaskSpec) Restart() RestartPolicy { return s.effective().restart }

// Backoff returns the delays between the retries of a failing task.
func (s TaskSpec) Backoff() BackoffPolicy { return s.effective().backoff }

// Timeout returns the longest time one attempt may take, and whether there is
// such a limit at all.
func (s TaskSpec) Timeout() (d time.Duration, limited bool) {
	p := s.effective()
	return p.timeout, p.set&limitTimeout != 0
}

// MaxRetries returns the number of retries that one streak of failures may
// have, and whether there is such a limit at all.
func (s TaskSpec) MaxRetries() (n int, limited bool) {
	p := s.effective()
	return p.retries, p.set&limitRetries != 0
}

// String describes the task and its effective policy on one line. It never
// touches the work.
func (s TaskSpec) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: restart %s", s.name, s.Restart())
	if s.Restart().kind != restartNever {
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
	return b.String()
}

// LogValue implements [slog.LogValuer]: the effective policy as a group.
func (s TaskSpec) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("name", s.name),
		slog.String("restart", s.Restart().String()),
		slog.String("backoff", s.Backoff().String()),
	}
	if d, limited := s.Timeout(); limited {
		attrs = append(attrs, slog.Duration("timeout", d))
	}
	if n, limited := s.MaxRetries(); limited {
		attrs = append(attrs, slog.Int("max_retries", n))
	}
	return slog.GroupValue(attrs...)
}

func (s TaskSpec) effective() *policy {
	if s.policy != nil && s.policy.set&resolved != 0 {
		return s.policy
	}
	return resolve(nil, s.policy)
}

// validate reports what makes s unfit for registration.
func (s TaskSpec) validate() error {
	if s.fn == nil {
		return errors.New("empty spec: make one with Once, Restartable or Periodic")
	}
	if err := validName("name", s.name); err != nil {
		return err
	}
	if s.policy != nil {
		return s.policy.err
	}
	return nil
}

// validName holds names and slot keys to what labels, logs and terminals can
// show: 1 to 128 bytes of valid UTF-8 without control characters.
func validName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("empty %s", what)
	case len(name) > maxNameBytes:
		return fmt.Errorf("%s of %d bytes is longer than %d", what, len(name), maxNameBytes)
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
