package taskvisortest

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// probe stands between a supervisor and the subscriber under test, passes every
// call on, and notes what the subscriber makes of it.
type probe struct {
	rig     *rig
	sub     taskvisor.Subscribe
	bracket taskvisor.AttemptBracket // nil if sub is none
	name    string
	inline  bool          // set before the first event
	hold    chan struct{} // if set, OnEvent waits for it: a queued subscriber that lags
	seen    Recorder      // beside the subscriber: what it should have got

	mu   sync.Mutex          // guards open
	open map[attemptKey]bool // attempts begun and not ended
}

type attemptKey struct {
	task   taskvisor.TaskID
	number int
}

type probeKey struct{}

// OnEvent passes e on.
func (p *probe) OnEvent(ctx context.Context, e taskvisor.Event) {
	if p.hold != nil {
		<-p.hold
	}
	p.guard(fmt.Sprintf("OnEvent(%s of %.40q)", e.Kind, e.Task), p.inline, func() { p.sub.OnEvent(ctx, e) })
}

// BeginAttempt passes the call on, if the subscriber wants it, and looks at
// the context that comes back. A bad one is dropped, so that it is reported
// once and here.
func (p *probe) BeginAttempt(ctx context.Context, a taskvisor.Attempt) context.Context {
	if p.bracket == nil {
		return ctx
	}
	what := fmt.Sprintf("BeginAttempt(%.40q)", a.Task)
	good := false
	got := ctx
	returned := p.guard(what, true, func() {
		given := context.WithValue(ctx, probeKey{}, p)
		got = p.bracket.BeginAttempt(given, a)
		switch {
		case got == nil:
			p.rig.complain("%s returned a nil context", what)
		case got.Value(probeKey{}) != p:
			p.rig.complain("%s returned a context that is not derived from the given one", what)
		case got.Err() != nil && given.Err() == nil:
			p.rig.complain("%s returned a context that is already done: %v", what, got.Err())
		default:
			good = true
		}
	})
	if returned {
		p.mu.Lock()
		p.open[attemptKey{a.TaskID, a.Number}] = true
		p.mu.Unlock()
	}
	if !good {
		return ctx
	}
	return got
}

// EndAttempt passes the call on for attempts whose beginning the subscriber
// survived.
func (p *probe) EndAttempt(ctx context.Context, a taskvisor.Attempt, r taskvisor.Result) {
	if p.bracket == nil {
		return
	}
	key := attemptKey{a.TaskID, a.Number}
	p.mu.Lock()
	begun := p.open[key]
	delete(p.open, key)
	p.mu.Unlock()
	if begun {
		p.guard(fmt.Sprintf("EndAttempt(%.40q, %s)", a.Task, r.Kind), true, func() { p.bracket.EndAttempt(ctx, a, r) })
	}
}

// Attach passes the call on, if the subscriber wants it.
func (p *probe) Attach(snapshot func() taskvisor.Snapshot) (err error) {
	if a, ok := p.sub.(taskvisor.Attacher); ok {
		p.guard("Attach", true, func() { err = a.Attach(snapshot) })
	}
	return err
}

// Preferences passes the call on, if the subscriber has any.
func (p *probe) Preferences() (opts []taskvisor.SubscriberOption) {
	if s, ok := p.sub.(taskvisor.Preferences); ok {
		p.guard("Preferences", true, func() { opts = s.Preferences() })
	}
	return opts
}

// guard does one call of the subscriber and reports whether it returned. With
// prompt it must not have waited for anything.
func (p *probe) guard(what string, prompt bool, do func()) (returned bool) {
	id := p.rig.enter(what)
	defer func() {
		took := p.rig.leave(id)
		switch {
		case returned && prompt && took > 0:
			p.rig.complain("%s blocked until %s had passed; it is called on a task's goroutine and must not block", what, took)
		case returned:
		default:
			if v := recover(); v != nil {
				p.rig.complain("%s panicked: %v\n%s", what, v, debug.Stack())
			} else {
				p.rig.complain("%s called runtime.Goexit", what)
			}
		}
	}()
	do()
	return true
}

// checkEnd reports what the supervisor had to say about the subscriber, and
// attempts that were begun and never ended. The latter would be the
// supervisor's fault, unless the subscriber ended its goroutine.
func (p *probe) checkEnd() {
	for _, e := range p.seen.Events() {
		if e.Kind == taskvisor.SubscriberPanicked && e.Subscriber == p.name {
			p.rig.complain("was reported by the supervisor: %v", e.Err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for a := range p.open {
		p.rig.complain("EndAttempt was not called for attempt %d of task %d", a.number, a.task)
	}
}
