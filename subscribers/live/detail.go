package livesub

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	shownDelays = 5
	maxNeededBy = 20
)

// addDetail adds the task that q asks for, if s has it: the registered one of that
// name, else the one that ended last.
func (p *Page) addDetail(d *document, s *taskvisor.Snapshot, q *query) {
	if d.Detail != nil && d.Detail.Ended == nil {
		return // another supervisor has one of that name: name the supervisor to see this
	}
	for i := range s.Tasks {
		if s.Tasks[i].Name == q.task {
			d.Detail = p.detailOf(s, &s.Tasks[i], d.problems[s.Tasks[i].ID])
			return
		}
	}
	if d.Detail != nil {
		return
	}
	if v, found := p.endedOf(s, q.task); found {
		d.Detail = &detail{Supervisor: s.Supervisor, Name: v.Name, ID: v.ID, Ended: &v}
		p.addPast(d.Detail)
	}
}

// endedOf returns the task of a name that ended last, as far as that is known.
func (p *Page) endedOf(s *taskvisor.Snapshot, name string) (v ended, found bool) {
	for i := range s.Recent { // the latest first
		if e := &s.Recent[i]; e.Name == name {
			v, found = p.endedView(e), true
			break
		}
	}
	for _, e := range p.past.failed(s.Supervisor) {
		if e.Name == name {
			if !found || e.Ended.After(v.Ended) || e.ID == v.ID {
				v = endedView(&e, e.Error)
			}
			return v, true
		}
	}
	return v, found
}

func (p *Page) detailOf(s *taskvisor.Snapshot, st *taskvisor.TaskStatus, pr problem) *detail {
	t := p.taskView(s, st, pr)
	d := &detail{Supervisor: s.Supervisor, Name: st.Name, ID: st.ID, Policy: policyWords(st.Spec),
		Delays: nextDelays(st.Spec, st.Streak), After: st.Spec.Dependencies(), Stack: st.Stack, Status: &t}
	for i := range s.Tasks {
		if len(d.NeededBy) < maxNeededBy && slices.Contains(s.Tasks[i].Spec.Dependencies(), st.Name) {
			d.NeededBy = append(d.NeededBy, s.Tasks[i].Name)
		}
	}
	p.addPast(d)
	return d
}

// addPast adds what the page remembers of a task, the latest first.
func (p *Page) addPast(d *detail) {
	attempts, events := p.past.of(d.ID)
	d.Attempts = make([]attemptView, 0, len(attempts))
	for _, a := range slices.Backward(attempts) {
		v := attemptView{Number: a.number, Start: time.Unix(0, a.start).UTC(), Duration: a.duration.Seconds(),
			Result: a.result.String(), Reason: a.reason.String(), Error: a.text}
		if a.trace != nil {
			v.TraceID, v.Link = a.trace.id, a.trace.link
		}
		d.Attempts = append(d.Attempts, v)
	}
	d.Events = make([]recordView, 0, len(events))
	for _, r := range slices.Backward(events) {
		d.Events = append(d.Events, r.view())
	}
}

// policyWords says in sentences what a spec asks for.
func policyWords(s taskvisor.TaskSpec) []string {
	var words []string
	say := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	interval, always := s.Restart().Interval()
	switch {
	case s.Restart().Never():
		say("runs once, whatever the result")
	case s.Scheduled():
		say("starts at times of its schedule; again after a failure")
	case always && interval > 0:
		say("starts again %s after each success", interval)
	case always:
		say("starts again at once after each success")
	default:
		say("starts again after a failure, ends after a success")
	}
	if !s.Restart().Never() {
		say("%s", backoffWords(s.Backoff()))
		if n, limited := s.MaxRetries(); limited {
			say("gives up when %s in a row have failed", count(n+1, "attempt"))
		} else {
			say("never gives up")
		}
	}
	if d, limited := s.Timeout(); limited {
		say("an attempt may take %s", d)
	} else {
		say("an attempt may take as long as it wants")
	}
	if d, limited := s.IdleTimeout(); limited {
		say("an attempt may be silent for %s", d)
	}
	say("has %s to return when it is stopped", s.Grace())
	if s.Essential() {
		say("essential: when it fails for good, the supervisor shuts down")
	}
	return words
}

func backoffWords(b taskvisor.BackoffPolicy) string {
	if b.Max == 0 {
		return "does not wait after a failure"
	}
	text := fmt.Sprintf("waits %s after a failure", b.First)
	if b.Factor > 1 {
		text += fmt.Sprintf(", ×%g with each further one, at most %s", b.Factor, b.Max)
	}
	switch b.Jitter {
	case taskvisor.FullJitter:
		text += ", a random part of it"
	case taskvisor.EqualJitter:
		text += ", half of it random"
	case taskvisor.BandJitter:
		text += ", up to three times that at random"
	}
	return text
}

// nextDelays are the next delays that a task would wait if it went on failing.
func nextDelays(s taskvisor.TaskSpec, streak int) []delay {
	if s.Restart().Never() {
		return nil
	}
	// Each failure of the streak has had its retry, or waits for it now: the next
	// failure is that of retry number streak, from 0.
	n := shownDelays
	if limit, limited := s.MaxRetries(); limited {
		n = min(n, max(limit-streak, 0))
	}
	var delays []delay
	for i := range n {
		least, most := s.Backoff().Delay(streak+i, 0), s.Backoff().Delay(streak+i, math.Nextafter(1, 0))
		delays = append(delays, delay{least.Seconds(), most.Seconds()})
	}
	return delays
}

// String shows a delay as a range.
func (d delay) String() string {
	least, most := short(seconds(d.Least)), short(seconds(d.Most))
	if least == most {
		return least
	}
	return least + "–" + most
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// short shows a duration as a person reads it at a glance: two units at most.
func short(d time.Duration) string {
	switch d = max(d, 0); {
	case d == 0:
		return "0s"
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return strings.TrimSuffix(d.Round(time.Second).String(), "0s")
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
