package main

import (
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// log writes a line into the log of everything and, from Info on, into the short one.
func (r *reporter) log(level, msg string, fields line) {
	l := line{"level": level, "msg": msg, "time": "2026-01-01T00:00:00Z"}
	for k, v := range fields {
		l[k] = v
	}
	r.f.log = append(r.f.log, l)
	if level != levelDebug {
		r.f.short = append(r.f.short, l)
	}
}

func nanoseconds(d time.Duration) float64 { return float64(d) }

// lines writes what the log says of an attempt.
func (r *reporter) lines(t *ledger.Task, i int, _ ask.Span) {
	a := t.Attempts[i]
	about := func(more line) line {
		l := line{"supervisor": t.Supervisor, "task": t.Name, "task_id": 7.0, "attempt": float64(a.Number)}
		if !t.Plan.Resident {
			l["trace_id"], l["span_id"] = a.Span.Trace, a.Span.ID
		}
		for k, v := range more {
			l[k] = v
		}
		return l
	}
	r.log(levelDebug, msgStarted, about(nil))
	if a.Triggered {
		r.log(levelInfo, msgTriggered, line{"supervisor": t.Supervisor, "task": t.Name, "cause": "somebody cannot wait"})
	}
	if a.Cause == ledger.ReasonTimeout {
		r.log(levelDebug, msgTimeout, about(nil))
	}
	if may, _ := r.f.overdue(t, a); !a.CanceledAt.IsZero() && t.Plan.StuckAfter > 0 && r.f.open(a.Ended).After(may) {
		r.log(levelError, msgStuck, about(line{"stack": "main.(*rig).ignores.func1(0x1)"}))
	}
	switch {
	case a.Result() == ledger.Success:
		r.log(levelDebug, msgSucceeded, about(nil))
	case lost(a):
		r.log(levelWarn, "stopped attempt failed", about(line{"error": a.Error}))
	case a.Canceled:
		r.log(levelInfo, "task ended itself", about(line{"error": a.Error}))
	case a.Failed():
		r.failure(t, i, about)
	}
}

func (r *reporter) failure(t *ledger.Task, i int, about func(line) line) {
	a := t.Attempts[i]
	l := line{keyResult: a.Result(), "error": "job: " + a.Error, "duration": nanoseconds(a.Duration)}
	level := levelWarn
	if a.Result() == ledger.Panic {
		level = levelError
		l["stack"] = "goroutine 7:\n" + a.Func + "(0x1)"
	}
	msg := "attempt failed"
	if next := t.Next(i); next.Cause != "" {
		l["delay"] = nanoseconds(next.Most)
	} else if t.StopAt.IsZero() {
		level, msg = levelError, "task failed for good"
	}
	l = about(l)
	n := len(r.f.short)
	r.log(level, msg, l)
	// One in twelve is in the short log, and says how many were left out before it.
	if a.Number%12 != 1 && t.Next(i).Cause != "" && a.Number != 1 {
		r.f.short = r.f.short[:n]
		left[t]++
		return
	}
	if left[t] > 0 {
		told := line{"suppressed": float64(left[t])}
		for k, v := range r.f.log[len(r.f.log)-1] {
			told[k] = v
		}
		r.f.short[n] = told
		left[t] = 0
	}
}

// left counts the failures that the short log has not accounted for.
var left = map[*ledger.Task]int{}

// comings writes of a task what is about no attempt.
func (r *reporter) comings(t *ledger.Task, id float64) {
	about := line{"supervisor": t.Supervisor, "task": t.Name, "task_id": id}
	r.log(levelInfo, msgAdded, about)
	n := len(t.Attempts)
	if t.Plan.Outcome == "abandoned" {
		a := t.Attempts[n-1]
		with := func(more line) line {
			l := line{"supervisor": t.Supervisor, "task": t.Name, "attempt": float64(n), "trace_id": a.Span.Trace, "span_id": a.Span.ID}
			for k, v := range more {
				l[k] = v
			}
			return l
		}
		r.log(levelDebug, msgStarted, with(nil))
		r.log(levelError, msgStuck, with(line{"stack": "main.(*rig).ignores.func1(0x1)"}))
		r.log(levelError, msgAbandoned, with(nil))
		if !a.Ended.IsZero() {
			r.log(levelDebug, msgSucceeded, with(nil))
		}
	}
	if t.Attempts[n-1].Ended.IsZero() {
		return
	}
	removed := line{"supervisor": t.Supervisor, "task": t.Name, "outcome": t.Plan.Outcome}
	if left[t] > 0 {
		removed["suppressed"] = float64(left[t])
		delete(left, t)
	}
	r.log(levelInfo, msgRemoved, removed)
}

// endings writes about the submissions that were refused, and the supervisors' ends.
func (r *reporter) endings() {
	for _, s := range r.book.Submissions {
		level := levelWarn
		if s.Reason == "superseded" {
			level = levelInfo
		}
		if s.Reason != "" {
			r.log(level, refusalMessages[0], line{"supervisor": s.Supervisor, "task": s.Task, "slot": s.Slot, "reason": s.Reason})
		}
	}
	r.log(levelInfo, msgComplete, line{"supervisor": "alpha"})
	r.log(levelError, msgGrace, line{"supervisor": "beta"})
}
