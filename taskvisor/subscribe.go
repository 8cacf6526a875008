package taskvisor

import (
	"context"
	"sync"
)

// Subscribe is the one extension interface: whatever wants to know what a
// supervisor does implements it and is given to [WithSubscriber].
//
// OnEvent gets every event, in the order of each task. By default it is called
// from a worker of its own, one call at a time, and may block: no task waits for
// it, and beyond its capacity it loses the oldest events, counted. With [Inline]
// it is called by a goroutine that made a transition of the task: never dropped,
// concurrently for different tasks, and it must neither block nor take longer
// than about a microsecond. It may call Stop, Add, Submit and Snapshot there, and
// nothing that waits.
//
// ctx carries the values of the attempt's context, so that trace ids reach log
// handlers; it is not the attempt's context, and may be kept. It is cancelled
// when the deadline for draining subscribers passes at shutdown. A panic is
// contained, counted and reported; [runtime.Goexit] too.
//
// A subscriber may also implement [AttemptBracket], [Attacher] and [Preferences].
// One that wraps another offers Unwrap() Subscribe: those interfaces are then
// found through it, as [net/http.ResponseController] finds its own.
type Subscribe interface {
	OnEvent(ctx context.Context, e Event)
}

// SubscribeFunc makes a subscriber of a function. It is queued, unless
// [WithSubscriber] is told otherwise.
type SubscribeFunc func(ctx context.Context, e Event)

// OnEvent calls f.
func (f SubscribeFunc) OnEvent(ctx context.Context, e Event) { f(ctx, e) }

// Discard is a subscriber that wants nothing. A supervisor without any subscriber
// writes what goes wrong to [log/slog.Default]; one that is given Discard does not.
var Discard Subscribe = discard{}

type discard struct{}

func (discard) OnEvent(context.Context, Event) {}

// AttemptBracket is implemented by subscribers that must surround each attempt,
// such as those that open a span. Both methods are called on the attempt's
// goroutine, so the rules for inline subscribers apply.
type AttemptBracket interface {
	// BeginAttempt is called before the attempt is announced and returns the
	// context that the following brackets and the body get. It must be derived
	// from ctx; another one is ignored and reported as SubscriberPanicked.
	BeginAttempt(ctx context.Context, a Attempt) context.Context
	// EndAttempt is called once for every BeginAttempt that returned, in reverse
	// order of the subscribers, after the result was decided and before it is
	// announced. ctx is what this subscriber's BeginAttempt returned.
	EndAttempt(ctx context.Context, a Attempt, r Result)
}

// Attacher is implemented by subscribers that read state instead of counting
// events. [New] calls Attach once, with a function that may be called at any
// time, from any goroutine, and returns its error. If a later subscriber refuses,
// New fails, and calls Close on those attached before that have a method Close().
type Attacher interface {
	Attach(snapshot func() Snapshot) error
}

// Preferences is implemented by subscribers that are made for one way of being
// called. Options given to [WithSubscriber] win over it.
type Preferences interface {
	Preferences() []SubscriberOption
}

// Local is what one subscriber keeps about one task. It lives and dies with the
// task, so that a subscriber needs no table of tasks of its own: see [Event.Local]
// and [Attempt.Local]. It is safe for concurrent use; a nil Local keeps nothing.
type Local struct {
	mu sync.Mutex // guards v
	v  any
}

// Load returns what is kept; nil if nothing is.
func (l *Local) Load() any {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.v
}

// Store keeps v.
func (l *Local) Store(v any) {
	if l != nil {
		l.mu.Lock()
		l.v = v
		l.mu.Unlock()
	}
}

// LoadOrStore returns what is kept; if nothing is, it keeps and returns v.
func (l *Local) LoadOrStore(v any) any {
	if l == nil {
		return v
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.v == nil {
		l.v = v
	}
	return l.v
}
