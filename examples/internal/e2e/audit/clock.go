package main

import (
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// Whatever is said of an attempt's begin lies between Opened and Started, of its end between
// Ended and Closed, of how long it took between Duration and Framed; what a scrape found is
// of the time of a reading. All of that holds on any machine. Only how soon a supervisor
// does what is due is nowhere bounded: there the ledger's stalls say what could be expected.
const (
	// grain is what is lost in writing a time down, in milliseconds at the worst.
	grain = time.Millisecond
	// brief is how late something may be on a machine that has nothing else to do.
	brief = 10 * time.Millisecond
	// wakings are how often something that is due may have to wait for a processor: its
	// timer, its goroutine, and whoever holds the lock that it needs.
	wakings = 3
)

// by returns when something that was due at a time must have happened, on the machine as
// it was then.
func (f *facts) by(due time.Time) time.Time {
	limit := due.Add(brief)
	for {
		next := due.Add(brief + wakings*f.stall(due, limit))
		if !next.After(limit) {
			return limit
		}
		limit = next // in which there may be a longer one
	}
}

// since returns when something may have been due, at the earliest, that happened at a time:
// the other way round.
func (f *facts) since(done time.Time) time.Time {
	earliest := done.Add(-brief)
	for _, s := range f.book.Stalls {
		due := done.Add(-brief - wakings*s.Lost)
		if s.From.Before(done) && s.To.After(due) && due.Before(earliest) {
			earliest = due
		}
	}
	return earliest
}

// stall returns the longest stall in a time.
func (f *facts) stall(from, to time.Time) (longest time.Duration) {
	for _, s := range f.book.Stalls {
		if s.From.Before(to) && s.To.After(from) {
			longest = max(longest, s.Lost)
		}
	}
	return longest
}

// scrape is one that succeeded: Prometheus gives it a time, the ledger knows when it was.
type scrape struct {
	at time.Time // as Prometheus has it, of its plan
	ledger.Reading
}

func (s scrape) String() string { return s.at.Format("15:04:05.000") }

// width is how long it took. A time that it shows is what its wall clock said then, less
// what has passed on the other clock: if it was held up between the two, that is off.
func (s scrape) width() time.Duration { return s.Ended.Sub(s.Began) + grain }

// moment is where a task was throughout a scrape.
type moment struct {
	running int // index of the attempt whose body ran; -1: none
	ended   int // of the last that had ended; -1: none
	stopped bool
	due     bool // the delay may have been over
}

// momentOf returns where a task was throughout a scrape; sure is false if it moved
// meanwhile, or may have.
func (f *facts) momentOf(t *ledger.Task, s scrape) (m moment, sure bool) {
	i := -1
	for i+1 < len(t.Attempts) && !t.Attempts[i+1].Started.After(s.Began) {
		i++
	}
	if i < 0 {
		return m, false
	}
	a := t.Attempts[i]
	running := a.Ended.IsZero() || a.Ended.After(s.Ended)
	if m.stopped = !t.StopAt.IsZero() && t.StopAt.Before(s.Ended); m.stopped {
		told := a.CanceledAt
		if told.Before(t.StopAt) { // of something else
			told = f.by(t.StopAt)
		}
		return moment{i, i - 1, true, false}, running && told.Before(s.Began)
	}
	if running {
		return moment{i, i - 1, false, false}, true
	}
	next := t.Next(i)
	over := a.Ended.Add(next.Least)
	m = moment{-1, i, false, !over.After(s.Ended)}
	if i+1 < len(t.Attempts) {
		if begun := f.since(t.Attempts[i+1].Opened); m.due && begun.Before(s.Ended) {
			return m, false
		}
	}
	return m, next.Cause != "" && f.by(a.Closed).Before(s.Began)
}
