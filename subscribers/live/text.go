package livesub

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// text is the document for a terminal: the same order, no colours, one task a line.
func (d *document) text() []byte {
	var b bytes.Buffer
	if d.Detail != nil {
		d.Detail.write(&b, d.Time)
		if d.Stacks != "" {
			fmt.Fprintf(&b, "\nSTACKS NOW\n%s\n", d.Stacks)
		}
		return b.Bytes()
	}
	if len(d.Supervisors) == 0 {
		fmt.Fprintln(&b, "no such task or supervisor")
		return b.Bytes()
	}
	if d.NeedsTotal == 0 {
		fmt.Fprintln(&b, "nothing needs somebody")
	} else {
		table(&b, fmt.Sprintf("NEEDS SOMEBODY (%d)", d.NeedsTotal), func(row func(cells ...string)) {
			for _, n := range d.Needs {
				since := ""
				if !n.Since.IsZero() {
					since = short(d.Time.Sub(n.Since))
				}
				row(n.Problem, n.Supervisor+"/"+n.Task+n.Slot+n.Subscriber, since, n.Text, n.Error)
			}
		})
	}
	for i := range d.Supervisors {
		d.Supervisors[i].write(&b, d.Time)
	}
	for _, sec := range d.Sections {
		fmt.Fprintln(&b)
		table(&b, strings.ToUpper(clean(sec.Name)), func(row func(cells ...string)) {
			row(slices.Clone(sec.Columns)...) // the program's, and table writes into it
			for _, cells := range sec.Rows {
				row(slices.Clone(cells)...)
			}
		})
	}
	return b.Bytes()
}

func (s *supervisor) write(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "\n%s %s, made %s ago, event %d, %d in use, %d tasks", strings.ToUpper(clean(s.Name)), s.State,
		short(now.Sub(s.Created)), s.Seq, s.InUse, s.Total)
	if s.State == "draining" {
		fmt.Fprintf(w, "; grace ends in %s, waits for %s", short(s.StopBy.Sub(now)), clean(strings.Join(s.Busy, ", ")))
	}
	fmt.Fprintln(w)
	table(w, "", func(row func(cells ...string)) {
		if len(s.Tasks) > 0 {
			row("TASK", "STATE", "FOR", "ATTEMPT", "FAILED", "NEXT", "LAST SUCCESS", "LAST ERROR")
		}
		for i := range s.Tasks {
			t := &s.Tasks[i]
			next, success, failed := t.WaitsFor, "", ""
			if !t.NextStart.IsZero() {
				next = "in " + short(t.NextStart.Sub(now))
			}
			if !t.LastSuccess.IsZero() {
				success = short(now.Sub(t.LastSuccess)) + " ago"
			}
			if t.Streak > 0 {
				failed = "×" + strconv.Itoa(t.Streak)
			}
			state := t.State
			if t.Problem != "" {
				state += ", " + t.Problem
			}
			row(t.Name, state, short(now.Sub(t.Since)), strconv.Itoa(t.Attempt), failed, next, success, cut(t.LastError, maxCut))
		}
	})
	if hidden := s.Matching - len(s.Tasks); hidden > 0 {
		fmt.Fprintf(w, "and %d others", hidden)
		if s.Next != "" {
			fmt.Fprintf(w, ", the next by after=%s", s.Next)
		}
		fmt.Fprintln(w)
	}
	if len(s.Slots) > 0 {
		table(w, "\nSLOTS", func(row func(cells ...string)) {
			for _, sl := range s.Slots {
				row(sl.Key, sl.State, sl.Name, strconv.Itoa(sl.Queued)+" waiting")
			}
		})
	}
	if len(s.Ended) > 0 {
		table(w, "\nENDED LATELY", func(row func(cells ...string)) {
			for _, e := range firstOf(s.Ended) {
				row(e.Name, e.Outcome, short(now.Sub(e.Ended))+" ago", count(e.Attempts, "attempt"), cut(e.Error, maxCut))
			}
		})
	}
}

func (d *detail) write(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "%s (task %d of %s)\n", clean(d.Name), d.ID, clean(d.Supervisor))
	table(w, "", func(row func(cells ...string)) {
		if e := d.Ended; e != nil {
			row("outcome", e.Outcome, short(now.Sub(e.Ended))+" ago", e.Error)
		}
		if t := d.Status; t != nil {
			row("state", t.State+" for "+short(now.Sub(t.Since)), t.text)
			row("attempts", strconv.Itoa(t.Attempt), t.ResultWords())
			if t.LastError != "" {
				row("last error", t.LastError)
			}
			if t.Note != "" {
				row("note", t.Note)
			}
		}
		for _, line := range d.Policy {
			row("policy", line)
		}
	})
	table(w, "\nATTEMPTS", func(row func(cells ...string)) {
		for _, a := range d.Attempts {
			row(strconv.Itoa(int(a.Number)), a.Result, a.Start.Format(time.RFC3339), short(seconds(a.Duration)), a.Reason, a.Error, a.TraceID)
		}
	})
	table(w, "\nEVENTS", func(row func(cells ...string)) {
		for _, e := range d.Events {
			row(strconv.FormatUint(e.Seq, 10), e.Time.Format(time.RFC3339Nano), e.Kind, e.Words())
		}
	})
	if d.Stack != "" {
		fmt.Fprintf(w, "\nSTACK WHEN IT WAS STUCK\n%s\n", d.Stack)
	}
}

// table writes aligned columns under a heading. Every row has as many cells as the
// widest may have: shorter ones would end the columns of those below.
func table(w io.Writer, heading string, fill func(row func(cells ...string))) {
	if heading != "" {
		fmt.Fprintln(w, heading)
	}
	var b bytes.Buffer
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fill(func(cells ...string) {
		for i, c := range cells {
			if cells[i] = clean(c); cells[i] == "" && i < len(cells)-1 {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	})
	_ = tw.Flush() // into memory
	for line := range strings.Lines(b.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

// clean replaces what would move a terminal's cursor, or break a line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
