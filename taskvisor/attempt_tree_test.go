package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/metrics"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// tree is a random error with what the contract says about it.
type tree struct {
	err             error
	fatal, canceled bool
	asked           []time.Duration // by RetryAfter, in the order of errors.As
}

func randomTree(rng *rand.Rand, depth int) tree {
	if depth == 0 {
		switch rng.IntN(6) {
		case 0:
			return tree{err: taskvisor.ErrCanceled, canceled: true}
		case 1:
			return tree{err: exits(rng.IntN(100) + 1)}
		case 2:
			return tree{err: &unruly{}}
		case 3:
			return tree{err: taskvisor.ErrRemoved}
		default:
			return tree{err: fmt.Errorf("leaf %d", rng.IntN(100))}
		}
	}
	switch rng.IntN(8) {
	case 0:
		x := randomTree(rng, depth-1)
		x.err, x.fatal = taskvisor.Fatal(x.err), true
		return x
	case 1:
		x, d := randomTree(rng, depth-1), time.Duration(1+rng.IntN(1000))*time.Second
		x.err, x.asked = taskvisor.RetryAfter(d, x.err), append([]time.Duration{d}, x.asked...)
		return x
	case 2, 3:
		x, y := randomTree(rng, depth-1), randomTree(rng, rng.IntN(depth))
		return tree{errors.Join(x.err, nil, y.err), x.fatal || y.fatal, x.canceled || y.canceled, append(x.asked, y.asked...)}
	case 4:
		x, y := randomTree(rng, rng.IntN(depth)), randomTree(rng, depth-1)
		return tree{fmt.Errorf("two: %w, %w", x.err, y.err), x.fatal || y.fatal, x.canceled || y.canceled, append(x.asked, y.asked...)}
	case 5:
		x := randomTree(rng, depth-1)
		x.err = &taskvisor.PanicError{Value: x.err}
		return x
	default:
		x := randomTree(rng, depth-1)
		x.err = fmt.Errorf("one: %w", x.err)
		return x
	}
}

// Whatever the shape of an error: fatal before canceled before failure, and the
// delay and the exit code that errors.As finds first.
func TestResultOfRandomErrorTrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	book := &notebook{}
	inRoom(t, func(r *room) {
		for i := range 2000 {
			x := randomTree(rng, 1+i%6)
			name := fmt.Sprint(i)
			h := r.add(taskvisor.Restartable(name, func(context.Context) error { return x.err }, taskvisor.ConstantBackoff(time.Hour)))
			synctest.Wait()
			h.Stop()
			synctest.Wait()
			end, plan := (*book)[2], (*book)[3] // after TaskAdded, TaskStarting
			*book = nil
			want := taskvisor.ResultFailure
			switch {
			case x.fatal:
				want = taskvisor.ResultFatal
			case x.canceled:
				want = taskvisor.ResultCanceled
			}
			same(r, x.err.Error(), end.Result, want)
			var coder interface {
				error
				ExitCode() int
			}
			code, ok := end.ExitCode()
			if found := errors.As(x.err, &coder); found != ok || found && coder.ExitCode() != code {
				r.Errorf("%v: exit code %d, %t", x.err, code, ok)
			}
			if want != taskvisor.ResultFailure {
				continue
			}
			delay, source := time.Hour, taskvisor.BackoffFailure
			if len(x.asked) > 0 {
				delay, source = x.asked[0], taskvisor.BackoffRequested
			}
			same(r, "delay", plan.Delay, delay)
			same(r, "source", plan.Source, source)
		}
	}, taskvisor.WithSubscriber(book))
}

// notebook is an inline subscriber for one task at a time.
type notebook []taskvisor.Event

func (n *notebook) OnEvent(_ context.Context, e taskvisor.Event) { *n = append(*n, e) }

func (n *notebook) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

// pretender is an error that answers through Is and As.
type pretender struct {
	is error
	as any
}

func (p pretender) Error() string        { return "pretender" }
func (p pretender) Is(target error) bool { return target == p.is }
func (p pretender) As(target any) bool {
	coder, ok := target.(*interface{ ExitCode() int })
	if own, has := p.as.(interface{ ExitCode() int }); ok && has {
		*coder = own
		return true
	}
	return false
}

// The methods Is and As of the user's errors are asked.
func TestResultAsksIsAndAs(t *testing.T) {
	inRoom(t, func(r *room) {
		r.run(taskvisor.Restartable("is", func(context.Context) error { return fmt.Errorf("w: %w", pretender{is: taskvisor.ErrCanceled}) }))
		r.trace("is", "A S C D")
		o := r.run(taskvisor.Once("as", func(context.Context) error { return fmt.Errorf("w: %w", pretender{as: exits(9)}) }))
		code, ok := o.ExitCode()
		same(r, "exit code", code, 9)
		same(r, "known", ok, true)
	})
}

// A chain may be long: it is walked, not descended.
func TestResultOfALongChain(t *testing.T) {
	inRoom(t, func(r *room) {
		err := errBoom
		for range 100_000 {
			err = &link{err}
		}
		o := r.run(taskvisor.Once("a", func(context.Context) error { return err }))
		isAll(r, "outcome", o.Err, errBoom)
		same(r, "text", strings.HasPrefix(o.Err.Error(), "link"), true)
	})
}

type link struct{ err error }

func (l *link) Error() string { return "link" }
func (l *link) Unwrap() error { return l.err }

// cyclic errors contain themselves.
type (
	cyclicChain  struct{}
	cyclicBranch struct{}
)

func (cyclicChain) Error() string      { return "cyclic" }
func (e cyclicChain) Unwrap() error    { return e }
func (cyclicBranch) Error() string     { return "cyclic" }
func (e cyclicBranch) Unwrap() []error { return []error{e} }

// An error whose tree never ends ends the attempt, not the process.
func TestResultOfATreeWithoutEnd(t *testing.T) {
	for _, err := range []error{cyclicChain{}, cyclicBranch{}} {
		inRoom(t, func(r *room) {
			o := r.run(taskvisor.Once("a", func(context.Context) error { return err }))
			same(r, "outcome", o.Kind, taskvisor.OutcomeFailed)
		})
	}
}

// watched is an error whose tree never ends, and which sees how large stacks become.
type watched struct {
	asked   *int
	largest *uint64
}

func (watched) Error() string { return "watched" }
func (e watched) Unwrap() []error {
	if *e.asked++; *e.asked%(1<<18) == 0 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
		metrics.Read(sample)
		*e.largest = max(*e.largest, sample[0].Value.Uint64())
	}
	return []error{e}
}

// A tree is walked on a small stack, however deep it is: where a collection of garbage sees
// a large one, all goroutines that begin after it get megabytes.
func TestDeepTreesNeedNoStack(t *testing.T) {
	var asked int
	var largest uint64
	inRoom(t, func(r *room) {
		r.run(taskvisor.Once("a", func(context.Context) error { return watched{&asked, &largest} }))
	})
	if asked < 1<<18 || largest > 32<<20 {
		t.Errorf("asked %d times, %d MB of stacks", asked, largest>>20)
	}
}

// ring is an error that may wrap what wraps it.
type ring struct{ next error }

func (*ring) Error() string   { return "ring" }
func (r *ring) Unwrap() error { return r.next }

// A tree that contains itself ends also where the way leads through what another task has
// said to its own supervisor.
func TestTreeContainsItselfThroughAMark(t *testing.T) {
	inRoom(t, func(r *room) {
		e := &ring{}
		o := r.run(taskvisor.Once("a", func(context.Context) error { return taskvisor.Fatal(e) }))
		e.next = o.Err
		same(r, "outcome", r.run(taskvisor.Once("b", func(context.Context) error { return e })).Kind, taskvisor.OutcomeFailed)
	})
}
