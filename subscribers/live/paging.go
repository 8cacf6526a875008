package livesub

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// place is where an answer about tasks goes on: behind a task, without those of the first
// answer that stand behind it. That one shows first what needs somebody; the others are in
// order of ids, which do not change when a task gets into trouble or out of it.
type place struct {
	given bool // otherwise it is the first answer
	after taskvisor.TaskID
	shown []taskvisor.TaskID
}

// parsePlace reads what String returns: ids with dots between them.
func parsePlace(s string) (at place, err error) {
	at.given = true
	for i, part := range strings.Split(s, ".") {
		n, err := strconv.ParseUint(part, 10, 64)
		switch {
		case err != nil || i > maxRows:
			return at, fmt.Errorf("after is the next_after of an answer, or a task's id")
		case i == 0:
			at.after = taskvisor.TaskID(n)
		default:
			at.shown = append(at.shown, taskvisor.TaskID(n))
		}
	}
	return at, nil
}

// String is the parameter after; "" for the first answer.
func (at place) String() string {
	if !at.given {
		return ""
	}
	text := strconv.FormatUint(uint64(at.after), 10)
	for _, id := range at.shown {
		text += "." + strconv.FormatUint(uint64(id), 10)
	}
	return text
}

// past reports whether a task was on an answer before.
func (at place) past(id taskvisor.TaskID) bool {
	return at.given && (id <= at.after || slices.Contains(at.shown, id))
}

// addTasks adds at most n tasks, and says where the others are.
func (p *Page) addTasks(v *supervisor, s *taskvisor.Snapshot, q *query, problems map[taskvisor.TaskID]problem, n int) {
	var left, first []*taskvisor.TaskStatus // those that match by id, and of them, on the first answer, those that need somebody
	for i := range s.Tasks {
		st := &s.Tasks[i]
		_, bad := problems[st.ID]
		if !q.matches(st, bad) {
			continue
		}
		v.Matching++
		switch {
		case q.at.past(st.ID):
		case bad && !q.at.given && len(first) < n:
			first = append(first, st)
		default:
			left = append(left, st)
		}
	}
	room := min(n-len(first), len(left))
	for _, st := range append(slices.Clone(first), left[:room]...) {
		v.Tasks = append(v.Tasks, p.taskView(s, st, problems[st.ID]))
	}
	if left = left[room:]; len(left) == 0 {
		return
	}
	next := place{given: true, after: left[0].ID - 1}
	for _, st := range first {
		next.shown = append(next.shown, st.ID)
	}
	next.shown = slices.DeleteFunc(append(next.shown, q.at.shown...), func(id taskvisor.TaskID) bool { return id <= next.after })
	v.Next = next.String()
}
