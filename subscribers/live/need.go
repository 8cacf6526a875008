package livesub

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	maxNeeds     = 50               // listed; the others are counted
	manyFailures = 3                // in a row
	gaveUpFor    = time.Hour        // that a task which gave up is shown
	slotPatience = time.Minute      // that a submission may wait unremarked
	lossShownFor = 10 * time.Minute // that a subscriber's last loss is shown
	overdueAfter = 10 * time.Second // past its start, the supervisor has no processor time
	unusualAfter = time.Minute      // that an attempt must run to be called unusual
	unusualBy    = 10               // times the longest of those that went well
	enoughToTell = 5                // attempts that went well, before one is called unusual
)

// The problems, the worst first: a program that is stuck needs a restart, what keeps
// failing needs a cause removed, the rest needs a look.
var problemRanks = map[string]int{
	"stuck": 0, "abandoned": 1, "gave up": 2, "failing": 3, "stalled": 4, "slot waiting": 5, "subscriber": 6,
}

// problem is why a task needs somebody.
type problem struct {
	label, text string
	since       time.Time
}

// problemOf returns what is wrong with a registered task, if anything is. past gives
// the attempts of a task.
func problemOf(st *taskvisor.TaskStatus, now time.Time, past func(taskvisor.TaskID) []attempt) (problem, bool) {
	switch {
	case st.State == taskvisor.StateAbandoned:
		return problem{"abandoned", "stopped, but its body still runs" + whereabouts(st.Stack), st.Since}, true
	case st.Stuck:
		return problem{"stuck", "its body does not return" + whereabouts(st.Stack), st.AttemptStart}, true
	case st.Streak >= manyFailures:
		return problem{"failing", fmt.Sprintf("failed %d times in a row", st.Streak), st.LastSuccess}, true
	case !st.NextStart.IsZero() && now.Sub(st.NextStart) > overdueAfter:
		return problem{"stalled", "its next attempt is overdue", st.NextStart}, true
	case st.State == taskvisor.StateRunning:
		return unusual(st, now, past)
	}
	return problem{}, false
}

// whereabouts says where a body hangs: the innermost call that is not the standard
// library's, which is where its author has to look.
func whereabouts(stack string) string {
	call := ""
	for line := range strings.Lines(stack) {
		line = strings.TrimSpace(line)
		if at, isPlace := strings.CutPrefix(line, "/"); isPlace && call != "" {
			first, _, _ := strings.Cut(call, "/")
			if strings.HasPrefix(call, "main.") || strings.Contains(first, ".") && first != call {
				return ": " + path.Base(strings.TrimSuffix(call, "(...)")) + " at " + path.Base(at)
			}
		}
		call = line
	}
	return ""
}

// unusual tells an attempt that has probably stopped making progress: one that was
// silent for half of what it may be, or that takes far longer than those before it.
func unusual(st *taskvisor.TaskStatus, now time.Time, past func(taskvisor.TaskID) []attempt) (problem, bool) {
	if idle, limited := st.Spec.IdleTimeout(); limited {
		heard := st.NoteTime
		if heard.Before(st.AttemptStart) {
			heard = st.AttemptStart
		}
		if now.Sub(heard) > idle/2 {
			return problem{"stalled", "no sign of life for half of its idle timeout", heard}, true
		}
	}
	running := now.Sub(st.AttemptStart)
	if st.AttemptStart.IsZero() || running < unusualAfter || st.Results.Success < enoughToTell {
		return problem{}, false
	}
	var longest time.Duration
	good := 0
	for _, a := range past(st.ID) {
		if a.result == taskvisor.ResultSuccess {
			longest = max(longest, a.duration)
			good++
		}
	}
	if good < enoughToTell || running < unusualBy*longest {
		return problem{}, false
	}
	return problem{"stalled", "runs far longer than usual, at most " + short(longest), st.AttemptStart}, true
}

// needs lists what needs somebody in one supervisor, tasks included.
func (p *Page) needs(s *taskvisor.Snapshot, problems map[taskvisor.TaskID]problem) []need {
	var list []need
	failed := p.gaveUp(s)
	again := map[string]*taskvisor.TaskStatus{} // tasks of the names that failed
	for i := range failed {
		again[failed[i].Name] = nil
	}
	for i := range s.Tasks {
		st := &s.Tasks[i]
		if _, ended := again[st.Name]; ended {
			again[st.Name] = st
		}
		if pr, bad := problems[st.ID]; bad {
			n := need{Problem: pr.label, Supervisor: s.Supervisor, Task: st.Name, ID: st.ID, Text: pr.text, Since: pr.since}
			if pr.label == "failing" {
				n.Error = p.lastText(st)
			}
			list = append(list, n)
		}
	}
	for i := range failed {
		e := &failed[i]
		if st := again[e.Name]; st == nil || st.ID != e.ID && !madeUp(st, e.Ended, s.Time) {
			list = append(list, need{Problem: "gave up", Supervisor: s.Supervisor, Task: e.Name, ID: e.ID, Since: e.Ended,
				Text: fmt.Sprintf("%s after %s", e.Outcome, count(e.Attempts, "attempt")), Error: e.Error})
		}
	}
	for _, sl := range s.Slots {
		if sl.Queued > 0 && s.Time.Sub(sl.Oldest) > slotPatience {
			list = append(list, need{Problem: "slot waiting", Supervisor: s.Supervisor, Slot: sl.Key, Since: sl.Oldest,
				Text: fmt.Sprintf("%s for the slot, %s", waiting(sl.Queued), sl.State)})
		}
	}
	return append(list, p.subscriberNeeds(s)...)
}

// gaveUp lists the tasks that ended badly within the last hour, of each name the
// latest: those that the page heard of, and those that it is about to hear of.
func (p *Page) gaveUp(s *taskvisor.Snapshot) []taskvisor.EndedTask {
	heard := p.past.failed(s.Supervisor)
	known := map[taskvisor.TaskID]bool{}
	well := map[string]time.Time{} // when a task of the name last ended well
	for _, e := range heard {
		known[e.ID] = true
	}
	var list []taskvisor.EndedTask
	for _, e := range s.Recent {
		switch {
		case e.Outcome == taskvisor.OutcomeCompleted && e.Ended.After(well[e.Name]):
			well[e.Name] = e.Ended
		case endedBadly(e.Outcome) && !known[e.ID] && p.format == nil: // else its text is not known yet
			list = append(list, e)
		}
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(append(list, heard...), func(e taskvisor.EndedTask) bool {
		old := seen[e.Name] || s.Time.Sub(e.Ended) >= gaveUpFor || well[e.Name].After(e.Ended)
		seen[e.Name] = true
		return old
	})
}

// madeUp reports whether a task does well although one of its name gave up: by a success,
// and for one that does not end by what it says, or by running until a failure would begin
// a new streak.
func madeUp(st *taskvisor.TaskStatus, ended, now time.Time) bool {
	if !st.LastSuccess.Before(ended) {
		return true
	}
	for _, a := range st.Spec.LogValue().Group() {
		switch {
		case st.State != taskvisor.StateRunning:
		case a.Key == "readiness" && st.Ready, a.Key == "reset_after" && now.Sub(st.AttemptStart) >= a.Value.Duration():
			return true
		}
	}
	return false
}

// loss is what a subscriber had lost when somebody looked, and when that was more
// than before.
type loss struct {
	count uint64
	seen  time.Time
}

// subscriberNeeds lists the subscribers that lose events. A snapshot tells how many
// were lost, but not when: the page remembers what it saw before.
func (p *Page) subscriberNeeds(s *taskvisor.Snapshot) []need {
	var list []need
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, sub := range s.Subscribers {
		lost := sub.Panics + sub.Failures
		for _, n := range sub.Dropped {
			lost += n
		}
		key := s.Supervisor + "\x00" + sub.Name
		l := p.losses[key]
		if lost > l.count {
			l.seen = s.Time
		}
		if l.count = lost; lost == 0 {
			delete(p.losses, key)
			continue
		}
		if len(p.losses) < 16*enoughSupervisors { // names are the program's, but who knows
			p.losses[key] = l
		}
		if s.Time.Sub(l.seen) < lossShownFor {
			list = append(list, need{Problem: "subscriber", Supervisor: s.Supervisor, Subscriber: sub.Name,
				Text: "lost events, panicked or failed " + count(int(lost), "time"), Since: l.seen})
		}
	}
	return list
}

// sortNeeds puts the worst first, and of those the longest.
func sortNeeds(list []need) {
	for i := range list {
		list[i].rank = problemRanks[list[i].Problem]
	}
	slices.SortStableFunc(list, func(a, b need) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), a.Since.Compare(b.Since))
	})
}

// count returns n with a noun in the right number.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func waiting(n int) string {
	if n == 1 {
		return "1 submission waits"
	}
	return fmt.Sprintf("%d submissions wait", n)
}
