package taskvisor

import (
	"context"
	"errors"
	"sync/atomic"
)

// sink is one subscriber.
type sink struct {
	subscriberConfig
	bracket AttemptBracket // nil if it is none
	reader  *reader        // nil if inline
	called  atomic.Uint64  // inline deliveries
	panics  atomic.Uint64
}

// call delivers one event to an inline subscriber and contains what it does.
func (f *fanout) call(s *sink, r *entry) {
	returned := false
	defer func() {
		if !returned {
			f.contain(s, r.Kind, recover())
		}
	}()
	v := r.view
	if v == nil {
		v = &f.plain
	}
	s.sub.OnEvent(&v.inline, r.Event)
	returned = true
}

// contain counts and reports a panic (v is what was recovered) or a Goexit (v is
// nil) of a subscriber. One about a diagnostic event is only counted, or it
// would beget the next.
func (f *fanout) contain(s *sink, kind EventKind, v any) {
	s.panics.Add(1)
	if kind == SubscriberPanicked || kind == SubscriberOverflow {
		return
	}
	if v == nil {
		f.report(s, ErrGoexit, "")
		return
	}
	err := newPanicError(v)
	f.report(s, err, err.Stack())
}

func (f *fanout) report(s *sink, err error, stack string) {
	f.announce(Event{Kind: SubscriberPanicked, Subscriber: s.name, Err: err, Stack: stack})
}

var (
	errNilContext     = errors.New("BeginAttempt returned a nil context")
	errForeignContext = errors.New("BeginAttempt returned a context that is not derived from the one it was given")
)

// beginBracket calls s's BeginAttempt and returns its context, or ctx and a
// report if that is of no use, or nil if the call did not return.
func (f *fanout) beginBracket(s *sink, ctx context.Context, a *Attempt) (derived context.Context) {
	returned := false
	defer func() {
		if !returned {
			derived = nil
			f.contain(s, 0, recover())
		}
	}()
	derived = s.bracket.BeginAttempt(ctx, *a)
	err := checkDerived(derived, ctx)
	returned = true
	if err != nil {
		f.report(s, err, "")
		return ctx
	}
	return derived
}

// checkDerived calls methods of the subscriber's context.
func checkDerived(derived, given context.Context) error {
	switch {
	case derived == given:
		return nil
	case derived == nil:
		return errNilContext
	case attemptFrom(derived) != attemptFrom(given), derived.Done() == nil: // WithoutCancel keeps the values only
		return errForeignContext
	}
	return nil
}

func (f *fanout) endBracket(s *sink, ctx context.Context, a *Attempt, r *Result) {
	returned := false
	defer func() {
		if !returned {
			f.contain(s, 0, recover())
		}
	}()
	s.bracket.EndAttempt(ctx, *a, *r)
	returned = true
}

// views are what queued and inline subscribers get as context.
type views struct{ queued, inline eventCtx }

// callbackKey and inlineKey find the supervisor that a subscriber's, or an inline
// subscriber's, context comes from.
type (
	callbackKey struct{}
	inlineKey   struct{}
)

// eventCtx is the values of an attempt's context, and the end of the time for
// draining. It refers to nothing that is ever changed.
type eventCtx struct {
	context.Context // the drain context
	values          context.Context
}

func (c *eventCtx) Value(key any) any {
	if v := c.values.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

// view returns the contexts for events about something whose values are given.
func (f *fanout) view(values context.Context) *views {
	if f.silent {
		return nil
	}
	values = context.WithoutCancel(values)
	return &views{eventCtx{f.plain.queued.Context, values}, eventCtx{f.plain.inline.Context, values}}
}
