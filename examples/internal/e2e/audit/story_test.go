package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

const ms = time.Millisecond

// story writes a ledger as a good run leaves it, and then the facts that a product
// without a fault would report of it, so that tests can spoil one thing at a time.
type story struct {
	book ledger.Book
	now  time.Time
	n    int // for ids
}

var epoch = time.Unix(1_700_000_000, 0)

func (s *story) id() string { s.n++; return fmt.Sprintf("%016x", s.n) }

// task begins a task's part, at the beginning of the run.
func (s *story) task(supervisor, name string, p ledger.Plan) *ledger.Task {
	t := &ledger.Task{Supervisor: supervisor, Name: name, Plan: p, Caller: ledger.Span{Trace: s.id(), ID: s.id()}, Added: epoch, Known: epoch.Add(ms / 2)}
	s.book.Tasks = append(s.book.Tasks, t)
	s.now = epoch.Add(ms)
	return t
}

// attempt adds an attempt of the given length, after the delay that the plan has.
func (s *story) attempt(t *ledger.Task, d time.Duration, edit func(a *ledger.Attempt)) *ledger.Attempt {
	i := len(t.Attempts)
	a := &ledger.Attempt{Number: i + 1, How: ledger.ReturnedNil, Duration: d}
	if i > 0 {
		a.Waited = t.Next(i-1).Most + ms
		s.now = s.now.Add(a.Waited)
	}
	a.Started, a.Ended = s.now, s.now.Add(d)
	a.Opened, a.Closed, a.Framed = a.Started.Add(-ms/5), a.Ended.Add(ms/5), d+2*ms/5
	s.now = a.Ended
	t.Attempts = append(t.Attempts, a)
	if edit != nil {
		edit(a)
	}
	if !t.Plan.Resident {
		place := t.Streak(i) % maxTrace
		a.Span = ledger.Span{Trace: s.id(), ID: s.id()}
		if place > 0 {
			a.Span.Trace = t.Attempts[i-place].Span.Trace
		}
		a.Work = ledger.Span{Trace: a.Span.Trace, ID: s.id()}
	}
	return a
}

func fails(a *ledger.Attempt) {
	a.How, a.Error = ledger.ReturnedError, fmt.Sprintf("no answer on attempt %d", a.Number)
}

func panics(a *ledger.Attempt) { a.How, a.Error, a.Func = ledger.Panicked, "lost", "main.lost" }

func triggers(a *ledger.Attempt) { a.Triggered = true }

func timesOut(a *ledger.Attempt) {
	fails(a)
	a.Cause, a.CanceledAt = ledger.ReasonTimeout, a.Started.Add(300*ms)
}

// stop stops the task in the middle of its last attempt.
func (s *story) stop(t *ledger.Task, by string) {
	a := t.Attempts[len(t.Attempts)-1]
	t.StopBy, t.StopAt = by, a.Ended.Add(-50*ms)
	a.Cause, a.CanceledAt = by, t.StopAt
	s.gone(t, t.Plan.Outcome)
}

func (s *story) gone(t *ledger.Task, outcome string) {
	t.Gone, t.Heard = s.now.Add(ms), outcome
}

func goodBook() *story {
	s := &story{}
	plan := func(backoff time.Duration, outcome string) ledger.Plan {
		return ledger.Plan{Always: true, Interval: 500 * ms, Retries: -1, First: backoff, Max: 2 * backoff, Outcome: outcome}
	}
	cycle := func(t *ledger.Task, n int, d time.Duration, edits ...func(a *ledger.Attempt)) {
		for i := range n {
			s.attempt(t, d, edits[i%len(edits)])
		}
	}
	steady := s.task("alpha", "steady", plan(0, "canceled"))
	cycle(steady, 120, 400*ms, nil)
	flaky := s.task("alpha", "flaky", plan(400*ms, "canceled"))
	cycle(flaky, 120, 300*ms, fails, fails, nil)
	hanging := s.task("alpha", "hanging", plan(400*ms, "canceled"))
	hanging.Plan.Timeout = 300 * ms
	cycle(hanging, 40, 300*ms, timesOut, nil)
	triggered := s.task("alpha", "triggered", plan(400*ms, "canceled"))
	cycle(triggered, 60, 300*ms, triggers, nil, func(a *ledger.Attempt) { triggers(a); fails(a) }, fails, nil)
	panicking := s.task("alpha", "panicking", plan(400*ms, "canceled"))
	cycle(panicking, 40, 200*ms, panics, nil)
	looping := s.task("alpha", "looping", ledger.Plan{Retries: -1, First: 500 * ms, Max: 500 * ms, Outcome: "completed"})
	cycle(looping, 40, 100*ms, fails)
	s.attempt(looping, 100*ms, nil)
	s.gone(looping, "completed")
	doomed := s.task("alpha", "doomed", ledger.Plan{Retries: -1, First: 400 * ms, Max: 400 * ms, Outcome: "fatal"})
	cycle(doomed, 1, 100*ms, fails)
	s.attempt(doomed, 100*ms, func(a *ledger.Attempt) { fails(a); a.Fatal = true })
	s.gone(doomed, "fatal")
	giving := s.task("alpha", "giving-up", ledger.Plan{Retries: 1, First: 400 * ms, Max: 400 * ms, Outcome: "failed"})
	cycle(giving, 2, 100*ms, fails)
	s.gone(giving, "failed")
	quitting := s.task("alpha", "quitting", ledger.Plan{Retries: -1, Outcome: "canceled"})
	s.attempt(quitting, 100*ms, func(a *ledger.Attempt) { fails(a); a.Canceled = true })
	s.gone(quitting, "canceled")
	s.stops(plan)
	s.abandons()
	s.slots()
	for i, name := range []string{"first", "second"} {
		t := s.task("beta", name, plan(400*ms, "canceled"))
		t.Attempts = nil
		cycle(t, 10+i, 700*ms, nil)
	}
	s.end()
	return s
}

// stops adds tasks that are stopped in the middle of an attempt, and a resident.
func (s *story) stops(plan func(time.Duration, string) ledger.Plan) {
	for _, name := range []string{"stopped", "torn", "gone-3", "gone-4", "gone-5"} {
		t := s.task("alpha", name, plan(400*ms, "canceled"))
		s.attempt(t, 100*ms, nil)
		s.attempt(t, 400*ms, func(a *ledger.Attempt) {
			if name == "stopped" || name == "torn" {
				a.How, a.Error = ledger.ReturnedError, "half of it is written"
			}
		})
		s.stop(t, ledger.ReasonRemoved)
	}
	resident := s.task("alpha", "resident", ledger.Plan{Retries: -1, First: 300 * ms, Max: 300 * ms, Resident: true, Outcome: "canceled"})
	for range 2 {
		s.attempt(resident, 900*ms, fails)
	}
	s.attempt(resident, 5*time.Second, nil)
	s.stop(resident, ledger.ReasonRemoved)
	stubborn := s.task("alpha", "stubborn", ledger.Plan{Retries: -1, First: 300 * ms, Max: 300 * ms, Timeout: 300 * ms, StuckAfter: 500 * ms, Outcome: "canceled"})
	for range 3 {
		s.attempt(stubborn, 4*time.Second, timesOut)
	}
	s.attempt(stubborn, 200*ms, nil)
	s.stop(stubborn, ledger.ReasonRemoved)
}

// abandons adds two bodies that are given up, one of which comes back.
func (s *story) abandons() {
	for _, supervisor := range []string{"alpha", "beta"} {
		t := s.task(supervisor, "deaf", ledger.Plan{Once: true, Outcome: "abandoned", Grace: 700 * ms, StuckAfter: 300 * ms})
		a := s.attempt(t, 9*time.Second, nil)
		a.Work = ledger.Span{}
		t.StopBy, t.StopAt = ledger.ReasonRemoved, a.Started.Add(2*time.Second)
		a.Cause, a.CanceledAt = t.StopBy, t.StopAt
		t.Gone, t.Heard = t.StopAt.Add(t.Plan.Grace), "abandoned"
		if supervisor == "beta" {
			a.Ended, a.Closed, a.Duration, a.Framed, a.Cause, a.How = time.Time{}, time.Time{}, 0, 0, "", ""
		}
	}
}

func (s *story) slots() {
	submit := func(name, policy, verdict, reason string) *ledger.Task {
		t := s.task("alpha", name, ledger.Plan{Once: true, Slot: "queue", Outcome: "completed"})
		s.book.Submissions = append(s.book.Submissions, ledger.Submission{
			Supervisor: "alpha", Task: name, Slot: "queue", Policy: policy, Verdict: verdict, Reason: reason, At: epoch,
		})
		if reason != "" {
			t.Plan.Outcome = "rejected"
			s.gone(t, "rejected")
		}
		return t
	}
	q1 := submit("q1", "queue", "started", "")
	s.attempt(q1, 3*time.Second, nil)
	s.gone(q1, "completed")
	q2 := submit("q2", "queue", "queued", "")
	s.now = epoch.Add(3100 * ms)
	s.attempt(q2, time.Second, nil)
	s.gone(q2, "completed")
	submit("q3", "queue", "rejected", "queue_full")
	q4 := submit("q4", "coalesce", "queued", "superseded")
	q4.StopAt, q4.Gone = epoch.Add(2499*ms), epoch.Add(2500*ms)
}

// end shuts both supervisors down, well after the last attempt.
func (s *story) end() {
	last := epoch
	for _, t := range s.book.Tasks {
		for _, a := range t.Attempts {
			if a.Ended.After(last) {
				last = a.Ended
			}
		}
	}
	last = last.Add(4 * time.Second)
	for _, name := range []string{"alpha", "beta"} {
		sup := &ledger.Supervisor{Name: name, Grace: time.Second, StopAt: last, StoppedAt: last.Add(2 * ms)}
		if name == "beta" {
			sup.Limit = 3
			sup.StoppedAt = last.Add(time.Second + 2*ms)
		}
		s.book.Supervisors = append(s.book.Supervisors, sup)
	}
	for _, t := range s.book.Tasks {
		if t.StopAt.IsZero() && t.Gone.IsZero() {
			t.StopAt, t.StopBy, t.Gone, t.Heard = last, ledger.ReasonShutdown, last.Add(ms), t.Plan.Outcome
			// A periodic task that was told to wait for longer than the run.
			if i := len(t.Attempts) - 1; t.Next(i).Cause != "" {
				t.Plan.Interval = 500 * ms
			}
		}
	}
	s.book.Began, s.book.Ended = epoch.Add(-time.Second), last.Add(2*time.Second)
}

// number is a label or attribute of a number of seconds.
func number(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'g', -1, 64) }

// series makes one series of points at the scrapes.
func series(name string, value func(s scrape) (float64, bool), scrapes []scrape, labels ...string) ask.Series {
	one := ask.Series{Labels: map[string]string{"__name__": metricNamespace + name}}
	for i := 0; i < len(labels); i += 2 {
		one.Labels[labels[i]] = labels[i+1]
	}
	for _, s := range scrapes {
		if v, ok := value(s); ok {
			one.Points = append(one.Points, ask.Point{At: s.at, Value: v})
		}
	}
	return one
}
