package ledger

import (
	"context"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Frame is a subscriber that reads the clock around attempts. Given to a supervisor before
// its other subscribers it is outside of all of them: when an attempt began and ended,
// whoever says so, lies between a reading of the Frame's and one of the body's. It hears
// no event.
type Frame struct{}

type openedKey struct{}

// opened is the Frame's first reading. Only the attempt's goroutine uses it, or the one
// that goes on behind it.
type opened struct {
	at time.Time
	a  *Attempt // nil: the body was not called
}

// OnEvent implements [taskvisor.Subscribe].
func (Frame) OnEvent(context.Context, taskvisor.Event) {}

// Preferences implements [taskvisor.Preferences].
func (Frame) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline(), taskvisor.WithName("ledger")}
}

// BeginAttempt implements [taskvisor.AttemptBracket].
func (Frame) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context {
	return context.WithValue(ctx, openedKey{}, &opened{at: time.Now()})
}

// EndAttempt implements [taskvisor.AttemptBracket].
func (Frame) EndAttempt(ctx context.Context, _ taskvisor.Attempt, _ taskvisor.Result) {
	now := time.Now()
	if o := ctx.Value(openedKey{}).(*opened); o.a != nil {
		o.a.note(func() { o.a.Closed, o.a.Framed = now, now.Sub(o.at) }) // monotonic
	}
}

// Reading notes that the metrics are about to be read, as number n from 1, and that they
// have been when done is called.
func (l *Ledger) Reading() (n int, done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readings = append(l.readings, Reading{Began: time.Now()})
	n = len(l.readings)
	return n, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.readings[n-1].Ended = time.Now()
	}
}
