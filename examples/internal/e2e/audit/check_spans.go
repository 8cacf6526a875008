package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

var spanChecks = []check{
	pure("every attempt has the span that its body saw, with its name, task, number and result", everySpan),
	pure("there is one span for each attempt, and no other", oneSpanEach),
	pure("spans begin and end with their attempts", spanTimes),
	pure("failures have the status error with their text and type, others have none", statuses),
	pure("a panic has an exception with the stack of the panic, others have none", exceptions),
	pure("timeout, delays and the admission are on the span", plannedAttributes),
	pure("a stopped attempt has the cause", causes),
	pure("a task that ended itself has a cause on its span", quitCause),
	pure("what a stopped body could not finish is on its span", lostOnSpan),
	pure("each task has an id of its own", ids),
	pure("a resident attempt has a span at its start and one at its end", residents),
	pure("an abandoned attempt has a span that ends when it was given up", abandonedSpans),
}

// bodies calls do with every attempt whose body saw a span, unless it was given up, and
// that span.
func (f *facts) eachSpan(do func(t *ledger.Task, i int, s ask.Span) string) error {
	var diffs []string
	n := 0
	for _, t := range f.tasks() {
		for i, a := range t.Attempts {
			if t.Plan.Resident || given(t, i) {
				continue
			}
			n++
			where := fmt.Sprintf("%s/%s, attempt %d", t.Supervisor, t.Name, i+1)
			s, ok := f.spans.ByID[a.Span.ID]
			if !ok {
				diffs = append(diffs, fmt.Sprintf("%s: the span %q that its body saw is not there", where, a.Span.ID))
				continue
			}
			if diff := do(t, i, s); diff != "" {
				diffs = append(diffs, where+": "+diff)
			}
		}
	}
	if n < 200 {
		return fmt.Errorf("only %d attempts to look at", n)
	}
	return some("spans", diffs)
}

func everySpan(f *facts) error {
	return f.eachSpan(func(t *ledger.Task, i int, s ask.Span) string {
		a := t.Attempts[i]
		got := []string{s.Trace, s.Name, s.Attrs[attrSupervisor], s.Attrs[attrTask], s.Attrs[attrNumber], s.Attrs[attrResult]}
		want := []string{a.Span.Trace, spanRun + t.Name, t.Supervisor, t.Name, strconv.Itoa(a.Number), a.Result()}
		if g, w := strings.Join(got, " "), strings.Join(want, " "); g != w {
			return fmt.Sprintf("reported %q, by the ledger %q", g, w)
		}
		return ""
	})
}

func oneSpanEach(f *facts) error {
	want, got := map[string]float64{}, map[string]float64{}
	for _, t := range f.tasks() {
		for i, a := range t.Attempts {
			if !given(t, i) && !a.Ended.IsZero() {
				want[t.Supervisor+"/"+t.Name+"/"+a.Result()]++
			}
		}
	}
	for _, s := range f.spans.All {
		if strings.HasPrefix(s.Name, spanRun) && s.Attrs[attrAborted] == "" && !f.ofGiven(s) { // of an aborted one nothing else tells
			got[s.Attrs[attrSupervisor]+"/"+s.Attrs[attrTask]+"/"+s.Attrs[attrResult]]++
		}
	}
	return agree("spans", got, want)
}

// ofGiven reports whether a span is about an attempt that was given up.
func (f *facts) ofGiven(s ask.Span) bool {
	for _, t := range f.tasks() {
		if t.Supervisor == s.Attrs[attrSupervisor] && t.Name == s.Attrs[attrTask] && given(t, int(s.Number(attrNumber))-1) {
			return true
		}
	}
	return false
}

func spanTimes(f *facts) error {
	return f.eachSpan(func(t *ledger.Task, i int, s ask.Span) string {
		a := t.Attempts[i]
		if d := s.Duration(); d < a.Duration-grain || d > a.Framed+grain {
			return fmt.Sprintf("its span took %s, its body %s, both with all around them %s", d, a.Duration, a.Framed)
		}
		if s.Began.Before(a.Opened.Add(-grain)) || s.Began.After(a.Started) {
			return fmt.Sprintf("its body began %s after its span, %s after everything", a.Started.Sub(s.Began), a.Started.Sub(a.Opened))
		}
		return ""
	})
}

func statuses(f *facts) error {
	return f.eachSpan(func(t *ledger.Task, i int, s ask.Span) string {
		a := t.Attempts[i]
		kind := s.Attrs[attrErrorType]
		switch {
		case s.IsError != a.Failed():
			return fmt.Sprintf("a %s, status error %t", a.Result(), s.IsError)
		case !s.IsError && (s.StatusText != "" || kind != ""):
			return fmt.Sprintf("a %s with the text %q and the type %q", a.Result(), s.StatusText, kind)
		case s.IsError && !strings.Contains(s.StatusText, a.Error):
			return fmt.Sprintf("text %q, the body said %q", s.StatusText, a.Error)
		}
		want := map[string]string{ledger.Timeout: "timeout", ledger.Panic: "panic"}[a.Result()]
		if a.How == ledger.Exited {
			want = "goexit"
		}
		if want != "" && kind != want || s.IsError && kind == "" {
			return fmt.Sprintf("type %q of a %s", kind, a.Result())
		}
		return ""
	})
}

func exceptions(f *facts) error {
	return f.eachSpan(func(t *ledger.Task, i int, s ask.Span) string {
		a := t.Attempts[i]
		n := 0
		for _, e := range s.Events {
			if e.Name != eventException {
				continue
			}
			n++
			if stack := e.Attrs[attrStack]; !strings.Contains(stack, a.Func+"(") {
				return fmt.Sprintf("the stack does not have %s: %s", a.Func, ask.FirstLine(stack))
			}
		}
		if want := a.Result() == ledger.Panic; want != (n == 1) {
			return fmt.Sprintf("a %s with %d exceptions", a.Result(), n)
		}
		return ""
	})
}

func plannedAttributes(f *facts) error {
	return f.eachSpan(func(t *ledger.Task, i int, s ask.Span) string {
		if s.Number(attrTimeout) != t.Plan.Timeout.Seconds() {
			return fmt.Sprintf("timeout %v, planned %s", s.Number(attrTimeout), t.Plan.Timeout)
		}
		if next := t.Next(i); !within(s, attrBackoff, next) {
			return fmt.Sprintf("next in %q, planned %s to %s", s.Attrs[attrBackoff], next.Least, next.Most)
		}
		if i > 0 && !within(s, attrDelay, t.Next(i-1)) {
			return fmt.Sprintf("begun after %q, planned %s", s.Attrs[attrDelay], t.Next(i-1).Most)
		}
		_, admitted := s.Attrs[attrPolicy]
		if admitted != (t.Plan.Slot != "") {
			return fmt.Sprintf("admission policy %q, slot %q", s.Attrs[attrPolicy], t.Plan.Slot)
		}
		if !admitted {
			return ""
		}
		if wait := (extent{}).plus(f.waited(t)); !wait.holds(s.Number(attrWait)) {
			return fmt.Sprintf("waited %v for its slot, by the ledger %s", s.Number(attrWait), wait)
		}
		return ""
	})
}

// within reports whether an attribute holds a delay as planned, and none where none is
// planned. An attempt that takes less than the restart floor's millisecond does not
// occur.
func within(s ask.Span, key string, next ledger.Next) bool {
	v, there := s.Number(key), s.Attrs[key] != ""
	if next.Cause == "" {
		return !there
	}
	return there && v >= next.Least.Seconds()-1e-9 && v <= next.Most.Seconds()+1e-9
}

func causes(f *facts) error {
	stopped := 0
	err := f.eachSpan(func(t *ledger.Task, i int, s ask.Span) string {
		a := t.Attempts[i]
		if a.Canceled { // has a check of its own
			return ""
		}
		want := ""
		if a.Stopped() || a.Cause == ledger.ReasonTimeout && !t.StopAt.IsZero() && t.StopAt.Before(a.Ended) {
			want = t.StopBy
			stopped++
		}
		if got := s.Attrs[attrCause]; got != want {
			return fmt.Sprintf("cause %q, by the ledger %q", got, want)
		}
		return ""
	})
	if err == nil && stopped < 5 {
		err = fmt.Errorf("only %d stopped attempts to look at", stopped)
	}
	return err
}

func quitCause(f *facts) error {
	return f.eachSpan(func(t *ledger.Task, i int, s ask.Span) string {
		if t.Attempts[i].Canceled && s.Attrs[attrCause] != "canceled" {
			return fmt.Sprintf("cause %q", s.Attrs[attrCause])
		}
		return ""
	})
}

// lost reports whether a stopped body had more to say than that it was stopped.
func lost(a *ledger.Attempt) bool {
	return a.Result() == ledger.Canceled && a.Stopped() && a.How == ledger.ReturnedError && !strings.Contains(a.Error, "taskvisor: ")
}

func lostOnSpan(f *facts) error {
	return f.eachSpan(func(t *ledger.Task, i int, s ask.Span) string {
		if a := t.Attempts[i]; lost(a) && !strings.Contains(s.Attrs[attrCauseError], a.Error) {
			return fmt.Sprintf("%q is not on its span", a.Error)
		}
		return ""
	})
}

func ids(f *facts) error {
	owner := map[string]*ledger.Task{}
	id := map[*ledger.Task]string{}
	return f.eachSpan(func(t *ledger.Task, i int, s ask.Span) string {
		got := s.Attrs[attrTaskID]
		if got == "" || owner[got] != nil && owner[got] != t || id[t] != "" && id[t] != got {
			return fmt.Sprintf("task id %q", got)
		}
		owner[got], id[t] = t, got
		return ""
	})
}

func residents(f *facts) error {
	var diffs []string
	n := 0
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if !t.Plan.Resident {
				continue
			}
			n++
			begin, end := f.named(spanStart, t, a), f.named(spanRun, t, a)
			switch {
			case a.Span.ID != "":
				diffs = append(diffs, fmt.Sprintf("%s: its body saw the span %s", t.Name, a.Span.ID))
			case len(begin) != 1 || len(end) != 1:
				diffs = append(diffs, fmt.Sprintf("%s, attempt %d: %d starts and %d ends", t.Name, a.Number, len(begin), len(end)))
			case begin[0].Began.Before(a.Opened.Add(-grain)) || begin[0].Began.After(a.Started):
				diffs = append(diffs, fmt.Sprintf("%s, attempt %d: told of its start %s late", t.Name, a.Number, begin[0].Began.Sub(a.Started)))
			case end[0].Duration() < a.Duration-grain || end[0].Duration() > a.Framed+grain || end[0].Attrs[attrResult] != a.Result() || end[0].IsError != a.Failed():
				diffs = append(diffs, fmt.Sprintf("%s, attempt %d: %s after %s, by the ledger %s after %s", t.Name, a.Number,
					end[0].Attrs[attrResult], end[0].Duration(), a.Result(), a.Duration))
			case len(end[0].Links) == 0 || end[0].Links[0].ID != begin[0].ID || end[0].Links[0].Attrs[attrLink] != linkStart:
				diffs = append(diffs, fmt.Sprintf("%s, attempt %d: its end is not linked to its start", t.Name, a.Number))
			}
		}
	}
	if n < 3 {
		return fmt.Errorf("only %d resident attempts", n)
	}
	return some("resident attempts", diffs)
}

// named finds spans of an attempt by their attributes.
func (f *facts) named(prefix string, t *ledger.Task, a *ledger.Attempt) []ask.Span {
	var list []ask.Span
	for _, s := range f.spans.All {
		if s.Name == prefix+t.Name && s.Attrs[attrSupervisor] == t.Supervisor && s.Attrs[attrNumber] == strconv.Itoa(a.Number) {
			list = append(list, s)
		}
	}
	return list
}

func abandonedSpans(f *facts) error {
	n := 0
	for _, t := range f.tasks() {
		for i, a := range t.Attempts {
			if !given(t, i) {
				continue
			}
			n++
			runs := f.named(spanRun, t, a)
			if len(runs) != 1 || runs[0].ID != a.Span.ID {
				return fmt.Errorf("%s has %d spans", t.Name, len(runs))
			}
			run := runs[0]
			if run.Attrs[attrOutcome] != "abandoned" || run.Attrs[attrResult] != "" || !run.IsError || run.Attrs[attrCause] != t.StopBy {
				return fmt.Errorf("%s: %v, error %t", t.Name, run.Attrs, run.IsError)
			}
			if run.Ended.Before(t.StopAt.Add(f.grace(t)-grain)) || !a.Ended.IsZero() && !run.Ended.Before(a.Ended) || run.Ended.After(f.by(t.Gone)) {
				return fmt.Errorf("%s ends at %s, was given up at about %s", t.Name, run.Ended, t.Gone)
			}
			back := f.named(spanReturn, t, a)
			if a.Ended.IsZero() {
				continue
			}
			if len(back) != 1 || back[0].Attrs[attrResult] != a.Result() || len(back[0].Links) != 1 ||
				back[0].Links[0].ID != run.ID || back[0].Links[0].Attrs[attrLink] != linkAbandoned {
				return fmt.Errorf("the return of %s: %v", t.Name, back)
			}
		}
	}
	if n != 2 {
		return fmt.Errorf("%d abandoned attempts to look at", n)
	}
	return nil
}
