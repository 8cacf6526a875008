package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// facts are what a product without a fault reports of the story.
func (s *story) facts() *facts {
	f := &facts{book: s.book, series: map[string][]ask.Series{}}
	for at := s.book.Began.Add(370 * ms); at.Before(s.book.Ended.Add(2 * time.Second)); at = at.Add(time.Second) {
		f.scrapes = append(f.scrapes, scrape{at, ledger.Reading{Began: at, Ended: at.Add(ms)}})
	}
	r := &reporter{f: f, story: s}
	r.tasks()
	r.supervisors()
	r.admission()
	r.spans()
	return f
}

type reporter struct {
	*story
	f   *facts
	all []ask.Span
}

func (r *reporter) add(name string, value func(s scrape) (float64, bool), labels ...string) {
	if one := series(name, value, r.f.scrapes, labels...); len(one.Points) > 0 {
		r.f.series[name] = append(r.f.series[name], one)
	}
}

// counter is a series that is 0 until the last scrapes.
func (r *reporter) counter(name string, v float64, labels ...string) {
	r.add(name, func(s scrape) (float64, bool) {
		if s.at.Before(r.book.Ended) {
			return 0, true
		}
		return v, true
	}, labels...)
}

func (r *reporter) tasks() {
	for _, t := range r.f.tasks() {
		count, durations := map[string]float64{}, map[string][]time.Duration{}
		restarts, backoff := map[string]float64{}, 0.0
		for i, a := range t.Attempts {
			count[a.Result()]++
			durations[a.Result()] = append(durations[a.Result()], a.Duration)
			next := t.Next(i)
			restarts[next.Cause]++
			if d, _, known := t.Gap(i); known && next.Cause != "" && next.Cause != ledger.Success {
				backoff += min(d, next.Most).Seconds()
			}
		}
		labels := []string{"supervisor", t.Supervisor, "task", t.Name}
		for _, result := range results {
			of := append(labels, labelResult, result)
			r.counter("task_attempts_total", count[result], of...)
			if result == ledger.Success || count[result] > 0 {
				r.histogram("task_attempt_duration_seconds", durations[result], of)
			}
		}
		for _, cause := range []string{"success", "failure", "requested", "triggered"} {
			r.counter("task_restarts_total", restarts[cause], append(labels, "cause", cause)...)
		}
		r.counter("task_backoff_seconds_total", backoff, labels...)
		r.gauges(t, labels)
	}
}

// histogram is both a classic and a native one.
func (r *reporter) histogram(name string, durations []time.Duration, labels []string) {
	sum := 0.0
	for _, d := range durations {
		sum += d.Seconds()
	}
	n := float64(len(durations))
	r.counter(name+"_count", n, labels...)
	r.counter(name+"_sum", sum, labels...)
	for _, bound := range []float64{.1, .25, 1, 10} {
		below := 0.0
		for _, d := range durations {
			if d.Seconds() <= bound {
				below++
			}
		}
		r.counter(name+"_bucket", below, append(labels, "le", strconv.FormatFloat(bound, 'g', -1, 64))...)
	}
	native := series(name, func(scrape) (float64, bool) { return n, true }, r.f.scrapes, labels...)
	native.Native = true
	for i := range native.Points {
		native.Points[i].Sum = sum
	}
	r.f.series[name] = append(r.f.series[name], native)
}

func (r *reporter) gauges(t *ledger.Task, labels []string) {
	gauge := func(name string, expect func(*facts, *ledger.Task, moment, scrape) expected) {
		r.add(name, func(s scrape) (float64, bool) {
			m, sure := r.f.momentOf(t, s)
			if !sure {
				return 0, false
			}
			want := expect(r.f, t, m, s)
			return (want.least + want.most) / 2, !want.absent && !want.skip
		}, labels...)
	}
	gauge("task_attempt_start_timestamp_seconds", attemptStart)
	gauge("task_last_success_timestamp_seconds", lastSuccess)
	gauge("task_next_start_timestamp_seconds", nextStart)
	gauge("task_consecutive_failures", streak)
	gauge("task_backoff_delay_seconds", backoffDelay)
	for _, state := range []string{"pending", "running", "backoff", "waiting", "stopping", "abandoned"} {
		labels := append(labels, "state", state)
		r.add("task_state", func(s scrape) (float64, bool) {
			if r.f.stateOf(t, s) == state {
				return 1, true
			}
			return 0, true
		}, labels...)
	}
}

func (r *reporter) supervisors() {
	f := r.f
	finished, gaveUp := map[string]float64{}, map[string]float64{}
	for _, t := range f.tasks() {
		finished[t.Supervisor+"/"+t.Plan.Outcome]++
		if t.Plan.Outcome == "abandoned" {
			gaveUp[t.Supervisor]++
		}
	}
	for _, s := range r.book.Supervisors {
		of := []string{"supervisor", s.Name}
		count := func(name string, sums func(string) []intervals) {
			all := sums(s.Name)
			r.add(name, func(s scrape) (float64, bool) {
				n := 0
				for _, list := range all {
					least, _ := list.bounds(s)
					n = max(n, least)
				}
				return float64(n), true
			}, of...)
		}
		count("tasks", f.registered)
		count("concurrency_in_use", f.bodies)
		count("stuck_attempts", f.stuck)
		count("abandoned_attempts", f.givenUp)
		count("slot_queue_length_max", f.queues)
		count("slots", f.slotsInUse)
		r.counter("concurrency_limit", float64(s.Limit), of...)
		r.counter("shutdown_start_timestamp_seconds", at(s.StopAt), of...)
		r.counter("shutdown_duration_seconds", s.StoppedAt.Sub(s.StopAt).Seconds(), of...)
		r.counter("supervisor_state", 1, append(of, "state", "stopped")...)
		r.counter("subscriber_events_total", 5000, append(of, "subscriber", "promsub")...)
		r.counter("subscriber_panics_total", 0, append(of, "subscriber", "promsub")...)
		added := float64(len(f.tasksOf(s.Name)))
		removed := added
		for _, t := range f.tasksOf(s.Name) {
			if t.Attempts[len(t.Attempts)-1].Ended.IsZero() {
				removed--
			}
		}
		r.counter("tasks_added_total", added, of...)
		r.counter("tasks_removed_total", removed, of...)
		for _, outcome := range []string{"completed", "failed", "fatal", "canceled", "abandoned"} {
			r.counter("tasks_finished_total", finished[s.Name+"/"+outcome], append(of, "outcome", outcome)...)
		}
		r.counter("attempts_abandoned_total", gaveUp[s.Name], append(of, "cause", "removed")...)
	}
}

func (f *facts) tasksOf(supervisor string) (list []*ledger.Task) {
	for _, t := range f.tasks() {
		if t.Supervisor == supervisor {
			list = append(list, t)
		}
	}
	return list
}

func (r *reporter) admission() {
	requests, refusals := map[[2]string]float64{}, map[string]float64{}
	for _, s := range r.book.Submissions {
		requests[[2]string{s.Policy, s.Verdict}]++
		refusals[s.Reason]++
	}
	for k, n := range requests {
		r.counter("admission_requests_total", n, "supervisor", "alpha", "policy", k[0], "result", k[1])
	}
	for reason, n := range refusals {
		if reason != "" {
			r.counter("admission_rejections_total", n, "supervisor", "alpha", "reason", reason)
		}
	}
	var waited []time.Duration
	for _, t := range r.f.fromSlots() {
		waited = append(waited, t.Attempts[0].Opened.Sub(t.Added))
	}
	r.histogram("admission_wait_seconds", waited, []string{"supervisor", "alpha"})
}

func (r *reporter) span(s ask.Span) { r.all = append(r.all, s) }

func (r *reporter) spans() {
	for id, t := range r.f.tasks() {
		r.span(ask.Span{Trace: t.Caller.Trace, ID: t.Caller.ID, Name: "add " + t.Name, Began: t.Added, Ended: t.Added.Add(ms)})
		for i, a := range t.Attempts {
			if a.Work.ID != "" {
				r.span(ask.Span{Trace: a.Work.Trace, ID: a.Work.ID, Parent: a.Span.ID, Name: "work", Began: a.Started, Ended: a.Ended})
			}
			s := r.attemptSpan(t, i, strconv.Itoa(id+1))
			switch {
			case given(t, i):
				r.abandonedSpan(t, a, s)
			case t.Plan.Resident:
				r.residentSpans(t, a, s)
			default:
				r.span(s)
			}
			if !given(t, i) {
				r.lines(t, i, s)
				r.exemplar(t, a, s)
			}
		}
		r.comings(t, float64(id+1))
	}
	r.f.spans = ask.Index(r.all)
	r.endings()
}

func (r *reporter) attemptSpan(t *ledger.Task, i int, id string) ask.Span {
	a := t.Attempts[i]
	s := ask.Span{
		Trace: a.Span.Trace, ID: a.Span.ID, Name: spanRun + t.Name, Began: a.Started.Add(-ms / 10), Ended: a.Ended.Add(ms / 10),
		IsError: a.Failed(), Attrs: map[string]string{
			attrSupervisor: t.Supervisor, attrTask: t.Name, attrTaskID: id, attrNumber: strconv.Itoa(a.Number), attrResult: a.Result(),
		},
	}
	if place := t.Streak(i) % maxTrace; place > 0 && !t.Plan.Resident {
		s.Parent = t.Attempts[i-place].Span.ID
	}
	for _, l := range r.f.wantLinks(t, i) {
		var kind, trace, to string
		fmt.Sscan(l, &kind, &trace, &to)
		s.Links = append(s.Links, ask.Link{Trace: trace, ID: to, Attrs: map[string]string{attrLink: kind}})
	}
	if a.Failed() {
		s.StatusText, s.Attrs[attrErrorType] = "job: "+a.Error, "*errors.errorString"
	}
	switch {
	case a.Result() == ledger.Timeout:
		s.Attrs[attrErrorType] = "timeout"
	case a.Result() == ledger.Panic:
		s.Attrs[attrErrorType] = "panic"
		s.Events = []ask.SpanEvent{{Name: eventException, Attrs: map[string]string{attrStack: "goroutine 7:\n" + a.Func + "(0x1)"}}}
	}
	if t.Plan.Timeout > 0 {
		s.Attrs[attrTimeout] = number(t.Plan.Timeout)
	}
	if next := t.Next(i); next.Cause != "" {
		s.Attrs[attrBackoff] = number(next.Most)
	}
	if i > 0 {
		s.Attrs[attrDelay] = number(t.Next(i - 1).Most)
	}
	if t.Plan.Slot != "" {
		s.Attrs[attrPolicy], s.Attrs[attrWait] = "queue", number(a.Opened.Sub(t.Added))
	}
	if a.Stopped() {
		s.Attrs[attrCause] = t.StopBy
	}
	if a.Canceled {
		s.Attrs[attrCause] = "canceled"
	}
	if lost(a) {
		s.Attrs[attrCauseError] = a.Error
	}
	return s
}

func (r *reporter) residentSpans(t *ledger.Task, a *ledger.Attempt, end ask.Span) {
	begin := end
	begin.Trace, begin.ID, begin.Name, begin.Parent, begin.Links = r.id(), r.id(), spanStart+t.Name, "", nil
	begin.Ended = begin.Began.Add(ms)
	begin.Attrs = map[string]string{attrSupervisor: t.Supervisor, attrTask: t.Name, attrNumber: strconv.Itoa(a.Number)}
	end.Trace, end.ID = r.id(), r.id()
	end.Links = []ask.Link{{Trace: begin.Trace, ID: begin.ID, Attrs: map[string]string{attrLink: linkStart}}}
	// The work of a resident body is the root of a trace of its own.
	for i := range r.all {
		if r.all[i].ID == a.Work.ID {
			r.all[i].Parent = ""
		}
	}
	r.span(begin)
	r.span(end)
}

func (r *reporter) abandonedSpan(t *ledger.Task, a *ledger.Attempt, run ask.Span) {
	back := run
	run.Ended, run.IsError = t.StopAt.Add(t.Plan.Grace), true
	run.Attrs = map[string]string{
		attrSupervisor: t.Supervisor, attrTask: t.Name, attrNumber: strconv.Itoa(a.Number), attrOutcome: "abandoned", attrCause: t.StopBy,
	}
	r.span(run)
	if a.Ended.IsZero() {
		return
	}
	back.Trace, back.ID, back.Name = r.id(), r.id(), spanReturn+t.Name
	back.Links = []ask.Link{{Trace: run.Trace, ID: run.ID, Attrs: map[string]string{attrLink: linkAbandoned}}}
	r.span(back)
}

func (r *reporter) exemplar(t *ledger.Task, a *ledger.Attempt, _ ask.Span) {
	x := ask.Exemplar{
		Series: map[string]string{"__name__": "taskvisor_task_attempt_duration_seconds_bucket", "le": "10", "supervisor": t.Supervisor, "task": t.Name, labelResult: a.Result()},
		Labels: map[string]string{"trace_id": a.Span.Trace, "span_id": a.Span.ID}, Value: a.Duration.Seconds(), At: a.Ended,
	}
	if t.Plan.Resident {
		begin := r.all[len(r.all)-2]
		x.Labels = map[string]string{"trace_id": begin.Trace, "span_id": begin.ID}
	}
	r.f.exemplars = append(r.f.exemplars, x)
}
