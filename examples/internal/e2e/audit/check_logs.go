package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

const (
	levelDebug = "DEBUG"
	levelInfo  = "INFO"
	levelWarn  = "WARN"
	levelError = "ERROR"
)

var logChecks = []check{
	pure("every failure makes a line with its task, attempt, result, error and duration", failureLines),
	pure("panics and fatal failures are errors, others that are retried warnings", failureLevels),
	pure("lines about an attempt carry the trace and the span that its body saw", tracedLines),
	pure("a panic's line has the stack of the panic", panicStacks),
	pure("a failure's line says when the retry is due", dueLines),
	pure("a fatal failure makes one error line", func(f *facts) error { return oneErrorLine(f, "fatal") }),
	pure("the end of the retries makes one line with the failure", func(f *facts) error { return oneErrorLine(f, "failed") }),
	pure("starts and successes are told at Debug, each once", quietLines),
	pure("timeouts are told when they happen", func(f *facts) error { return f.counted(msgTimeout, "", f.timedOut()) }),
	pure("each demand for one more attempt is told at Info", func(f *facts) error { return f.counted(msgTriggered, levelInfo, f.triggered()) }),
	pure("what a stopped body could not finish is a warning", lostLines),
	pure("why a task ended itself is heard", quitLine),
	pure("stuck attempts are errors, each told once", stuckLines),
	pure("every report of a stuck attempt has the stack of where it is", stuckStacks),
	pure("abandoned tasks are errors", func(f *facts) error { return f.counted(msgAbandoned, levelError, f.abandonedTasks()) }),
	pure("refused submissions are told with their reason, at a level that fits it", refusedLines),
	pure("tasks come and go at Info", comings),
	pure("the end of a supervisor is told", endings),
	pure("there are no errors but those of the script", onlyErrors),
	pure("lines have no other keys than those that are documented", onlyKeys),
	pure("the suppressed log accounts for every failure", func(f *facts) error { return accounted(f, false) }),
	pure("the suppressed log accounts for every failure of tasks that it ended", func(f *facts) error { return accounted(f, true) }),
	pure("the suppressed log is short, and tells of every failing task", short),
}

// about returns the lines of a task with one of the messages, by attempt number.
func (f *facts) about(t *ledger.Task, messages ...string) map[int][]line {
	m := map[int][]line{}
	for _, l := range f.log {
		if l.text("supervisor") == t.Supervisor && l.text("task") == t.Name && slices.Contains(messages, l.msg()) {
			n := int(l.number("attempt"))
			m[n] = append(m[n], l)
		}
	}
	return m
}

// eachFailure calls do with every failed attempt and the line about its failure.
func (f *facts) eachFailure(do func(t *ledger.Task, a *ledger.Attempt, l line) string) error {
	var diffs []string
	n := 0
	for _, t := range f.tasks() {
		lines := f.about(t, failureMessages...)
		for _, a := range t.Attempts {
			if !a.Failed() {
				continue
			}
			n++
			where := fmt.Sprintf("%s/%s, attempt %d", t.Supervisor, t.Name, a.Number)
			i := slices.IndexFunc(lines[a.Number], func(l line) bool { return l.text(keyResult) == a.Result() })
			if i < 0 {
				diffs = append(diffs, where+": no line about the "+a.Result())
				continue
			}
			if diff := do(t, a, lines[a.Number][i]); diff != "" {
				diffs = append(diffs, where+": "+diff)
			}
		}
	}
	if n < 100 {
		return fmt.Errorf("only %d failures to look at", n)
	}
	return some("lines", diffs)
}

func failureLines(f *facts) error {
	return f.eachFailure(func(t *ledger.Task, a *ledger.Attempt, l line) string {
		if !strings.Contains(l.text("error"), a.Error) {
			return fmt.Sprintf("error %q, the body said %q", l.text("error"), a.Error)
		}
		if d := l.duration("duration"); !took(a).holds(d.Seconds()) {
			return fmt.Sprintf("duration %s, by the ledger %s", d, took(a))
		}
		if l.number("task_id") == 0 {
			return "no task_id"
		}
		return ""
	})
}

func failureLevels(f *facts) error {
	return f.eachFailure(func(t *ledger.Task, a *ledger.Attempt, l line) string {
		final := t.Next(a.Number-1).Cause == "" && t.StopAt.IsZero()
		want := levelWarn
		if r := a.Result(); r == ledger.Panic || r == ledger.Fatal {
			want = levelError
		}
		if got := l.text("level"); got != want && !(final && got == levelError) {
			return fmt.Sprintf("level %s of a %s", got, a.Result())
		}
		return ""
	})
}

func tracedLines(f *facts) error {
	n := 0
	for _, t := range f.tasks() {
		for number, lines := range f.about(t, append([]string{msgStarted, msgSucceeded, msgStuck, msgTimeout}, failureMessages...)...) {
			if t.Plan.Resident || number < 1 || number > len(t.Attempts) || t.Name == "again" {
				continue // names that are used again have several attempts of a number
			}
			want := t.Attempts[number-1].Span
			for _, l := range lines {
				n++
				if l.text("trace_id") != want.Trace || l.text("span_id") != want.ID {
					return fmt.Errorf("%q of %s, attempt %d: span %q, its body saw %q", l.msg(), t.Name, number, l.text("span_id"), want.ID)
				}
			}
		}
	}
	if n < 300 {
		return fmt.Errorf("only %d lines to look at", n)
	}
	return nil
}

func panicStacks(f *facts) error {
	return f.eachFailure(func(t *ledger.Task, a *ledger.Attempt, l line) string {
		if a.Result() == ledger.Panic && !strings.Contains(l.text("stack"), a.Func+"(") {
			return fmt.Sprintf("%s is not on the stack %q", a.Func, l.text("stack"))
		}
		return ""
	})
}

func dueLines(f *facts) error {
	return f.eachFailure(func(t *ledger.Task, a *ledger.Attempt, l line) string {
		next := t.Next(a.Number - 1)
		d, there := l.duration("delay"), l["delay"] != nil
		if there != (next.Cause != "") || there && (d < next.Least || d > next.Most) {
			return fmt.Sprintf("delay %v, planned %s to %s", l["delay"], next.Least, next.Most)
		}
		return ""
	})
}

// oneErrorLine looks at the last attempts of the tasks that ended so.
func oneErrorLine(f *facts, outcome string) error {
	n := 0
	for _, t := range f.tasks() {
		if t.Plan.Outcome != outcome {
			continue
		}
		n++
		if lines := f.about(t, failureMessages...)[len(t.Attempts)]; len(lines) != 1 || lines[0].text("level") != levelError {
			return fmt.Errorf("%d lines about the last attempt of %s", len(lines), t.Name)
		}
	}
	if n == 0 {
		return fmt.Errorf("no task ended as %s", outcome)
	}
	return nil
}

func quietLines(f *facts) error {
	started, succeeded := map[string]float64{}, map[string]float64{}
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			key := fmt.Sprintf("%s/%s/%d", t.Supervisor, t.Name, a.Number)
			started[key]++
			if a.Result() == ledger.Success {
				succeeded[key]++
			}
		}
	}
	if err := f.counted(msgStarted, levelDebug, started); err != nil {
		return err
	}
	return f.counted(msgSucceeded, levelDebug, succeeded)
}

// counted compares the number of lines with a message by supervisor, task and attempt.
// A level other than "" is that of each.
func (f *facts) counted(msg, level string, want map[string]float64) error {
	got := map[string]float64{}
	for _, l := range f.log {
		if l.msg() != msg {
			continue
		}
		if level != "" && l.text("level") != level {
			return fmt.Errorf("%q of %s has the level %s", msg, l.text("task"), l.text("level"))
		}
		got[fmt.Sprintf("%s/%s/%d", l.text("supervisor"), l.text("task"), int(l.number("attempt")))]++
	}
	return agree("lines", got, want)
}

func (f *facts) timedOut() map[string]float64 {
	want := map[string]float64{}
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if a.Cause == ledger.ReasonTimeout {
				want[fmt.Sprintf("%s/%s/%d", t.Supervisor, t.Name, a.Number)]++
			}
		}
	}
	return want
}

// triggered are the demands for one more attempt, which are about a task and not about
// one of its attempts.
func (f *facts) triggered() map[string]float64 {
	want := map[string]float64{}
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if a.Triggered {
				want[fmt.Sprintf("%s/%s/0", t.Supervisor, t.Name)]++
			}
		}
	}
	return want
}

func (f *facts) abandonedTasks() map[string]float64 {
	want := map[string]float64{}
	for _, t := range f.tasks() {
		if t.Plan.Outcome == "abandoned" {
			want[fmt.Sprintf("%s/%s/%d", t.Supervisor, t.Name, len(t.Attempts))]++
		}
	}
	return want
}

func lostLines(f *facts) error {
	n := 0
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if !lost(a) {
				continue
			}
			n++
			if !slices.ContainsFunc(f.log, func(l line) bool {
				return l.text("task") == t.Name && l.text("level") == levelWarn && strings.Contains(l.text("error"), a.Error)
			}) {
				return fmt.Errorf("no warning has %q of %s", a.Error, t.Name)
			}
		}
	}
	if n < 2 {
		return fmt.Errorf("only %d to look at", n)
	}
	return nil
}

func quitLine(f *facts) error {
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if a.Canceled && !slices.ContainsFunc(f.log, func(l line) bool {
				return l.text("task") == t.Name && l.text("level") == levelInfo && strings.Contains(l.text("error"), a.Error)
			}) {
				return fmt.Errorf("no line at Info has %q of %s", a.Error, t.Name)
			}
		}
	}
	return nil
}

// stuckLines wants a line for each body that ran for so much longer than StuckAfter,
// when it had been told to end, that it must have been seen.
func stuckLines(f *facts) error {
	for _, t := range f.tasks() {
		lines := f.about(t, msgStuck)
		for _, a := range t.Attempts {
			n := len(lines[a.Number])
			may, must := f.overdue(t, a)
			switch {
			case a.CanceledAt.IsZero() || t.Plan.StuckAfter == 0 || f.settled(a).Before(may):
				if n > 0 {
					return fmt.Errorf("%s, attempt %d, is called stuck", t.Name, a.Number)
				}
			case f.open(a.Ended).After(must) && n != 1, n > 1:
				return fmt.Errorf("%s, attempt %d: %d lines", t.Name, a.Number, n)
			case n == 1:
				if l := lines[a.Number][0]; l.text("level") != levelError {
					return fmt.Errorf("%s, attempt %d: level %s", t.Name, a.Number, l.text("level"))
				}
			}
		}
	}
	return nil
}

// stuckStacks includes two bodies that are stuck within a second.
func stuckStacks(f *facts) error {
	n := 0
	for _, l := range f.log {
		if l.msg() != msgStuck {
			continue
		}
		n++
		if !strings.Contains(l.text("stack"), ").ignores.") {
			return fmt.Errorf("%s, attempt %v: stack %q", l.text("task"), l["attempt"], l.text("stack"))
		}
	}
	if n < 5 {
		return fmt.Errorf("only %d reports to look at", n)
	}
	return nil
}
