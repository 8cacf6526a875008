package slogsub

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// What is said about subscribers is added up: a log that is too slow must not be
// made slower by records about that, nor filled by another subscriber's panics.

// maxReports bounds the subscribers that are told apart. Programs have a handful;
// where supervisors come and go under new names, those that ended are forgotten at
// their verdict, and this is for what is reported after that.
const maxReports = 256

// about names a subscriber of a supervisor.
type about struct {
	kind                   taskvisor.EventKind // SubscriberOverflow or SubscriberPanicked
	supervisor, subscriber string
}

// reported is what was said about one subscriber, and what not yet.
type reported struct {
	interval interval
	dropped  uint64
	left     int // panics
}

// reports holds them all. The zero value is ready; it is safe for concurrent use.
type reports struct {
	mu  sync.Mutex // guards the field below
	all map[about]*reported
}

// add takes an event into account, and reports whether it is to be written; e then
// has all losses, and left is the number of panics left out before it.
func (r *reports) add(e *taskvisor.Event, every time.Duration) (left int, pass bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := about{e.Kind, e.Supervisor, e.Subscriber}
	one := r.all[key]
	if one == nil {
		if r.all == nil {
			r.all = make(map[about]*reported)
		}
		if len(r.all) >= maxReports {
			clear(r.all)
		}
		one = &reported{}
		r.all[key] = one
	}
	one.dropped += e.Dropped
	if !one.interval.pass(e.Time, every) {
		one.left++
		return 0, false
	}
	e.Dropped, left = one.dropped, one.left
	one.dropped, one.left = 0, 0
	return left, true
}

// end forgets a supervisor, and returns what has not been said yet.
func (r *reports) end(supervisor string) map[about]*reported {
	r.mu.Lock()
	defer r.mu.Unlock()
	var rest map[about]*reported
	for key, one := range r.all {
		if key.supervisor != supervisor {
			continue
		}
		delete(r.all, key)
		if one.left > 0 {
			if rest == nil {
				rest = make(map[about]*reported)
			}
			rest[key] = one
		}
	}
	return rest
}

// report writes what e says about a subscriber, if it is time to.
func (s *Subscriber) report(ctx context.Context, e *taskvisor.Event, level slog.Level) {
	if !s.handler.Enabled(ctx, level) {
		return
	}
	left, pass := s.reports.add(e, s.every)
	if !pass {
		return
	}
	if e.Kind == taskvisor.SubscriberOverflow {
		left = 0 // Dropped says it
	}
	s.write(ctx, e, level, left)
}

// finish says at a supervisor's end what no record has said yet.
func (s *Subscriber) finish(ctx context.Context, e *taskvisor.Event) {
	for key, one := range s.reports.end(e.Supervisor) {
		rest := *e
		rest.Kind, rest.Subscriber, rest.Dropped = key.kind, key.subscriber, one.dropped
		rest.Duration, rest.Err = 0, nil
		left := one.left
		if key.kind == taskvisor.SubscriberOverflow {
			left = 0
		}
		s.write(ctx, &rest, s.level(rest), left)
	}
}
