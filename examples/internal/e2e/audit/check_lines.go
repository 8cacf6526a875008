package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// refusedLines: what somebody asked for is no warning.
func refusedLines(f *facts) error {
	levels := map[string]string{"superseded": levelInfo, "removed": levelInfo, "shutting_down": levelInfo}
	want, got := map[string]float64{}, map[string]float64{}
	for _, s := range f.book.Submissions {
		if s.Reason != "" {
			level := levels[s.Reason]
			if level == "" {
				level = levelWarn
			}
			want[fmt.Sprintf("%s/%s/%s/%s/%s", s.Supervisor, s.Task, s.Slot, s.Reason, level)]++
		}
	}
	for _, l := range f.log {
		if slices.Contains(refusalMessages, l.msg()) {
			got[fmt.Sprintf("%s/%s/%s/%s/%s", l.text("supervisor"), l.text("task"), l.text("slot"), l.text("reason"), l.text("level"))]++
		}
	}
	return agree("lines", got, want)
}

func comings(f *facts) error {
	added, removed := map[string]float64{}, map[string]float64{}
	for _, t := range f.tasks() {
		added[t.Supervisor+"/"+t.Name+"/"+levelInfo]++
		if n := len(t.Attempts); n == 0 || !t.Attempts[n-1].Ended.IsZero() {
			removed[t.Supervisor+"/"+t.Name+"/"+levelInfo+"/"+t.Plan.Outcome]++
		}
	}
	came, went := map[string]float64{}, map[string]float64{}
	for _, l := range f.log {
		key := l.text("supervisor") + "/" + l.text("task") + "/" + l.text("level")
		switch l.msg() {
		case msgAdded:
			came[key]++
		case msgRemoved:
			went[key+"/"+l.text("outcome")]++
		}
	}
	if err := agree("lines", came, added); err != nil {
		return err
	}
	return agree("lines", went, removed)
}

func endings(f *facts) error {
	want, got := map[string]float64{}, map[string]float64{}
	for _, s := range f.book.Supervisors {
		msg := msgComplete
		if slices.ContainsFunc(f.tasks(), func(t *ledger.Task) bool {
			n := len(t.Attempts)
			return t.Supervisor == s.Name && given(t, n-1) && f.open(t.Attempts[n-1].Ended).After(s.StoppedAt)
		}) {
			msg = msgGrace
		}
		want[s.Name+"/"+msg]++
	}
	for _, l := range f.log {
		if m := l.msg(); m == msgComplete || m == msgGrace {
			got[l.text("supervisor")+"/"+m]++
		}
	}
	return agree("lines", got, want)
}

// onlyErrors finds what the script does not account for, such as a subscriber that
// panicked.
func onlyErrors(f *facts) error {
	expected := append([]string{msgStuck, msgAbandoned, msgGrace}, failureMessages...)
	for _, l := range f.log {
		if l.text("level") == levelError && !slices.Contains(expected, l.msg()) {
			return fmt.Errorf("error line: %v", l)
		}
	}
	return nil
}

func onlyKeys(f *facts) error {
	handlers := []string{"time", "level", "msg", "trace_id", "span_id"}
	for _, l := range f.log {
		for key := range l {
			if !slices.Contains(logKeys, key) && !slices.Contains(handlers, key) {
				return fmt.Errorf("key %q in %v", key, l)
			}
		}
		if l.text("supervisor") == "" {
			return fmt.Errorf("no supervisor in %v", l)
		}
	}
	return nil
}

// accounted adds up, for each task, what the short log has and what it says it left
// out. Reports of stuck attempts, and demands for one more, are left out like failures. Final says whether it is
// about the tasks whose last failure ended them, or about the others.
func accounted(f *facts, final bool) error {
	chosen := map[string]bool{}
	for _, t := range f.tasks() {
		chosen[t.Supervisor+"/"+t.Name] = final == (t.Plan.Outcome == "failed" || t.Plan.Outcome == "fatal")
	}
	want, got := map[string]float64{}, map[string]float64{}
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if a.Failed() {
				want[t.Supervisor+"/"+t.Name]++
			}
			if a.Triggered {
				want[t.Supervisor+"/"+t.Name]++
			}
		}
	}
	for _, l := range f.log { // each is in the ledger: another check
		if l.msg() == msgStuck {
			want[l.text("supervisor")+"/"+l.text("task")]++
		}
	}
	for _, l := range f.short {
		key := l.text("supervisor") + "/" + l.text("task")
		got[key] += l.number("suppressed")
		if l.msg() == msgStuck || l.msg() == msgTriggered || slices.Contains(failureMessages, l.msg()) && slices.Contains(results, l.text(keyResult)) {
			got[key]++
		}
	}
	maps.DeleteFunc(got, func(key string, n float64) bool { return n == 0 || !chosen[key] })
	maps.DeleteFunc(want, func(key string, _ float64) bool { return !chosen[key] })
	return agree("failures", got, want)
}

// short bounds the lines of each task and result by the suppression's interval.
func short(f *facts) error {
	lines := map[string]int{}
	for _, l := range f.short {
		if r := l.text(keyResult); slices.Contains(failureMessages, l.msg()) && slices.Contains(results, r) {
			lines[l.text("supervisor")+"/"+l.text("task")+"/"+r]++
		}
	}
	most := 2 + int(f.book.Ended.Sub(f.book.Began)/suppression)
	for key, n := range lines {
		if n > most {
			return fmt.Errorf("%d lines of %s in %s", n, key, f.book.Ended.Sub(f.book.Began))
		}
	}
	for _, t := range f.tasks() {
		for _, a := range t.Attempts {
			if a.Failed() && a.Result() != ledger.Fatal && lines[t.Supervisor+"/"+t.Name+"/"+a.Result()] == 0 {
				return fmt.Errorf("no line about a %s of %s", a.Result(), t.Name)
			}
		}
	}
	return nil
}
