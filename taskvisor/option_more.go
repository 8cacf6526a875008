package taskvisor

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// GraceOption is what [WithGrace] returns: an [Option] and a [TaskOption].
type GraceOption struct{ grace time.Duration }

func (g GraceOption) applyTask(p *policy) {
	if g.grace < 0 {
		p.fail(fmt.Errorf("negative grace %s", g.grace))
		return
	}
	p.Grace = g.grace
	p.set |= setGrace
}

func (g GraceOption) applySupervisor(c *config) {
	if g.grace < 0 {
		c.fail(fmt.Errorf("negative grace %s", g.grace))
		return
	}
	c.grace = g.grace
}

// WithGrace says how long a stopped body has to return before it is abandoned;
// 20 s by default, which together with the 5 s of [WithSubscriberDrain] stays below
// the 30 s that Kubernetes gives a process after SIGTERM. Docker gives 10 s, systemd
// 90 s: set both to fit, or the process is killed in the middle. As an [Option] it
// is the grace of the shutdown and what tasks inherit; as a [TaskOption] it is that
// of an individual stop of the task, and never lengthens a shutdown. 0 abandons at
// once; a negative d is an error.
func WithGrace(d time.Duration) GraceOption { return GraceOption{d} }

// WithKind says what class of task this is: a bounded word beside the unique name,
// such as "index" for "index of folder 7 at 10.0.0.9". Where it is set, metric labels
// and span names use it instead of the name, and logs carry both: names may then be
// as many and as strange as they like. There is none by default. A kind follows the
// rules for names; a bad one is an error when the task is added.
func WithKind(kind string) TaskOption {
	return taskOption(func(p *policy) {
		if err := validName("kind", kind, maxNameBytes); err != nil {
			p.fail(err)
			return
		}
		p.kind = kind
	})
}

// WithoutRecover lets a panic of the task's body or of its children end the process,
// as Go does without a supervisor, with the goroutine that panicked first in the
// output. By default a panic is contained and counts as a failure.
func WithoutRecover() TaskOption {
	return taskOption(func(p *policy) { p.set |= noRecover })
}

// WithInitialDelay has the first attempt begin after a delay drawn uniformly from
// least to most, so that many tasks that are added together do not start in step.
// There is none by default. 0 ≤ least ≤ most, or it is an error when the task is
// added, and so is the option on a [Scheduled], which knows when it starts.
func WithInitialDelay(least, most time.Duration) TaskOption {
	return taskOption(func(p *policy) {
		if least < 0 || most < least {
			p.fail(fmt.Errorf("initial delay from %s to %s is not a range", least, most))
			return
		}
		p.least, p.most = least, most
		p.set |= setInitial
	})
}

// WithIdleTimeout times an attempt out, as [WithTimeout] does, when it has not
// called [Beat] for d: what hangs, although it may run for ever. There is no limit
// by default. A d of 0 or less is an error when the task is added.
func WithIdleTimeout(d time.Duration) TaskOption {
	return taskOption(func(p *policy) {
		if d <= 0 {
			p.fail(fmt.Errorf("idle timeout %s is not positive", d))
			return
		}
		p.Idle = d
		p.set |= setIdle
	})
}

// WithGate adds gates, which decide when an attempt may begin: see [Gate]. They are
// entered in the order given, those of the supervisor's defaults first. There are
// none by default. A nil gate is an error when the task is added, and so is a pointer that
// is given twice, here or to the defaults: of a [Limit] the attempt would take two places.
func WithGate(gates ...Gate) TaskOption {
	return taskOption(func(p *policy) {
		if slices.Contains(gates, nil) {
			p.fail(errors.New("nil gate"))
			return
		}
		p.addGates(gates)
	})
}

// WithStartPaused registers the task paused: its first attempt begins after
// [Handle.Resume]. By default a task begins at once.
func WithStartPaused() TaskOption {
	return taskOption(func(p *policy) { p.set |= startPaused })
}

// WithReadiness says that the task is ready when its body says so, by [Ready],
// until that attempt ends. By default a [Once] is ready when it has completed, and
// any other task while an attempt runs or the last one has succeeded.
func WithReadiness() TaskOption {
	return taskOption(func(p *policy) { p.set |= readiness })
}

// After has the task's attempts begin only when the named tasks are ready, or have
// been since they were registered. At a shutdown the task is stopped, and has ended,
// before they are: see ShutdownStage. The tasks must be registered, or be part of
// the same batch; a name that is not known, and tasks that wait for each other, are
// errors when the task is added. If one of them ends without having been ready, the
// task fails with [ErrDependency]. By default a task waits for none.
func After(names ...string) TaskOption { return dependOn(names, false) }

// BoundTo is [After], and more: when an attempt of a named task ends, or it is no
// longer ready, the attempt of this task is interrupted, and the next one begins
// when it is ready again. By default a task is bound to none.
func BoundTo(names ...string) TaskOption { return dependOn(names, true) }

// dependOn adds names to what a task needs. That the tasks exist, and do not wait for each
// other, can be known only when the task is added: see ordering.link.
func dependOn(names []string, bound bool) TaskOption {
	return taskOption(func(p *policy) {
		for _, name := range names {
			if err := validName("dependency", name, maxNameBytes); err != nil {
				p.fail(err)
				return
			}
		}
		x := p.extra()
		x.after = slices.Concat(x.after, names)
		if bound {
			x.bound = slices.Concat(x.bound, names)
		}
	})
}
