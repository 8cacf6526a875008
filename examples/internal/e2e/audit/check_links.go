package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

var linkChecks = []check{
	pure("no span is an orphan", orphans),
	pure("every link leads to a span", linksLead),
	pure("an attempt is a root, or the child of the first of its streak in the same trace", parents),
	pure("an attempt has the links that it has to have, and no other", links),
	pure("the spans that bodies make nest in their attempt's", nesting),
	pure("a streak longer than a trace was seen", func(f *facts) error {
		for _, t := range f.tasks() {
			for i := range t.Attempts {
				if t.Streak(i) > maxTrace && !t.Plan.Resident {
					return nil
				}
			}
		}
		return fmt.Errorf("none of more than %d", maxTrace)
	}),
}

func orphans(f *facts) error {
	for _, s := range f.spans.All {
		if p, ok := f.spans.ByID[s.Parent]; s.Parent != "" && (!ok || p.Trace != s.Trace) && !f.inside(s.Parent) {
			return fmt.Errorf("the parent of %s, %v, is not in its trace", s.Name, s.Attrs)
		}
	}
	return nil
}

// inside reports whether a span is that of a body which is still running.
func (f *facts) inside(id string) bool {
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if a.Span.ID == id && a.Ended.IsZero() {
				return true
			}
		}
	}
	return false
}

func linksLead(f *facts) error {
	n := 0
	for _, s := range f.spans.All {
		for _, l := range s.Links {
			n++
			if end, ok := f.spans.ByID[l.ID]; !ok || end.Trace != l.Trace {
				return fmt.Errorf("the link %s of %s, %v, leads nowhere", l.Attrs[attrLink], s.Name, s.Attrs)
			}
		}
	}
	if n < 200 {
		return fmt.Errorf("only %d links to follow", n)
	}
	return nil
}

func parents(f *facts) error {
	return f.eachSpan(func(t *ledger.Task, i int, s ask.Span) string {
		place := t.Streak(i) % maxTrace
		if place == 0 {
			if s.Parent != "" {
				return "it is no root"
			}
			return ""
		}
		if first := t.Attempts[i-place].Span; s.Parent != first.ID || s.Trace != first.Trace {
			return fmt.Sprintf("its parent is %q, the first of the streak %q", s.Parent, first.ID)
		}
		return ""
	})
}

func links(f *facts) error {
	return f.eachSpan(func(t *ledger.Task, i int, s ask.Span) string {
		var got []string
		for _, l := range s.Links {
			got = append(got, l.Attrs[attrLink]+" "+l.Trace+" "+l.ID)
		}
		want := f.wantLinks(t, i)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			return fmt.Sprintf("links %v, by the ledger %v", got, want)
		}
		return ""
	})
}

func (f *facts) wantLinks(t *ledger.Task, i int) []string {
	var want []string
	add := func(kind string, to ledger.Span) {
		if to.ID != "" {
			want = append(want, kind+" "+to.Trace+" "+to.ID)
		}
	}
	streak := t.Streak(i)
	if i > 0 {
		add(linkPrevious, t.Attempts[i-1].Span)
	}
	if streak%maxTrace == 0 { // a new trace
		add(linkSubmitter, t.Caller)
		if streak > 0 {
			add(linkFull, t.Attempts[i-maxTrace].Span)
		}
	}
	if i == 0 && t.Plan.Replaces != "" {
		for _, o := range f.tasks() {
			if o.Supervisor == t.Supervisor && o.Name == t.Plan.Replaces {
				add(linkReplaced, o.Attempts[len(o.Attempts)-1].Span)
			}
		}
	}
	return want
}

// nesting follows the parents. The end of a span is a reading of the wall clock at its begin,
// and what the monotonic clock says has passed since. What came between the two readings at
// the begin, which is part of what lies between Opened and Started, is lost.
func nesting(f *facts) error {
	var diffs []string
	n := 0
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if a.Work.ID == "" {
				continue
			}
			n++
			s, ok := f.spans.ByID[a.Work.ID]
			if !ok || s.Parent != a.Span.ID || s.Trace != a.Work.Trace {
				diffs = append(diffs, fmt.Sprintf("%s, attempt %d: its work is below %q, not %q", t.Name, a.Number, s.Parent, a.Span.ID))
			}
			if p, ok := f.spans.ByID[a.Span.ID]; ok && (s.Began.Before(p.Began) || s.Ended.After(p.Ended.Add(a.Started.Sub(a.Opened)+grain))) {
				diffs = append(diffs, fmt.Sprintf("%s, attempt %d: its work is not within the attempt: it begins %v after it, and ends %v before",
					t.Name, a.Number, s.Began.Sub(p.Began), p.Ended.Sub(s.Ended)))
			}
		}
	}
	if n < 200 {
		return fmt.Errorf("only %d spans of bodies", n)
	}
	return some("spans of bodies", diffs)
}

var exemplarChecks = []check{
	pure("every exemplar leads to an attempt of its task and result, with its value", exemplarsLead),
	pure("exemplars are in the bucket of their value", exemplarBuckets),
	pure("the last failure of each kind has an exemplar", exemplarsOfFailures),
	pure("a resident's failures have exemplars, which lead to one of its spans", residentExemplars),
}

// seen finds the attempt whose body saw a span.
func (f *facts) seen(trace, id string) (*ledger.Task, *ledger.Attempt) {
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if id != "" && a.Span.ID == id && a.Span.Trace == trace {
				return t, a
			}
		}
	}
	return nil, nil
}

func exemplarsLead(f *facts) error {
	var diffs []string
	n := 0
	for _, x := range f.exemplars {
		where := keyOf(x.Series, "supervisor", "task", labelResult)
		t, a := f.seen(x.Labels["trace_id"], x.Labels["span_id"])
		if t == nil && f.ofResident(x) {
			continue
		}
		n++
		switch {
		case t == nil:
			diffs = append(diffs, fmt.Sprintf("%s: %v is no attempt's", where, x.Labels))
		case where != t.Supervisor+"/"+t.Name+"/"+a.Result():
			diffs = append(diffs, fmt.Sprintf("%s: leads to a %s of %s/%s", where, a.Result(), t.Supervisor, t.Name))
		case !took(a).holds(x.Value):
			diffs = append(diffs, fmt.Sprintf("%s: value %.3f, the attempt took %s", where, x.Value, took(a)))
		case x.At.Before(a.Ended.Add(-grain)) || x.At.After(f.by(a.Closed)):
			diffs = append(diffs, fmt.Sprintf("%s: of %s, the attempt ended at %s", where, x.At, a.Ended))
		}
	}
	if n < 50 {
		return fmt.Errorf("only %d exemplars", n)
	}
	return some("exemplars", diffs)
}

// took is how long an attempt took: longer than its body, and no longer than everything.
func took(a *ledger.Attempt) extent { return extent{}.plus(a.Duration, a.Framed) }

// ofResident reports whether an exemplar leads to a span about the right attempt of a
// resident task, whose body sees none.
func (f *facts) ofResident(x ask.Exemplar) bool {
	s, ok := f.spans.ByID[x.Labels["span_id"]]
	if !ok || s.Trace != x.Labels["trace_id"] || s.Attrs[attrTask] != x.Series["task"] || s.Attrs[attrSupervisor] != x.Series["supervisor"] {
		return false
	}
	for _, t := range f.tasks() {
		i := int(s.Number(attrNumber)) - 1
		if t.Plan.Resident && t.Supervisor == x.Series["supervisor"] && t.Name == x.Series["task"] && i >= 0 && i < len(t.Attempts) {
			a := t.Attempts[i]
			return a.Result() == x.Series[labelResult] && took(a).holds(x.Value)
		}
	}
	return false
}

func exemplarBuckets(f *facts) error {
	for _, x := range f.exemplars {
		var bound float64
		if !strings.HasSuffix(x.Series["__name__"], "_bucket") || x.Series["le"] == "+Inf" {
			continue
		}
		if _, err := fmt.Sscan(x.Series["le"], &bound); err != nil {
			return fmt.Errorf("bucket %q: %w", x.Series["le"], err)
		}
		if x.Value > bound {
			return fmt.Errorf("%v in the bucket up to %v", x.Value, bound)
		}
	}
	return nil
}

func exemplarsOfFailures(f *facts) error {
	var diffs []string
	for _, t := range f.tasks() {
		last := map[string]*ledger.Attempt{}
		for i, a := range t.Attempts {
			if a.Failed() && !t.Plan.Resident && !given(t, i) {
				last[a.Result()] = a
			}
		}
		for result, a := range last {
			if !slices.ContainsFunc(f.exemplars, func(x ask.Exemplar) bool { return x.Labels["span_id"] == a.Span.ID }) {
				diffs = append(diffs, fmt.Sprintf("the last %s of %s/%s, attempt %d, has none", result, t.Supervisor, t.Name, a.Number))
			}
		}
	}
	return some("exemplars", diffs)
}

func residentExemplars(f *facts) error {
	n := 0
	for _, x := range f.exemplars {
		if f.ofResident(x) {
			n++
		}
	}
	if n == 0 {
		return fmt.Errorf("none of %d exemplars", len(f.exemplars))
	}
	return nil
}
