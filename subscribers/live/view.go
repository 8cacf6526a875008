package livesub

import (
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// maxBusy is how many tasks are named while a shutdown waits for them.
const maxBusy = 10

// build says what was built into the program: it does not change.
var build = sync.OnceValue(func() (module string) {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Path == "" {
		return ""
	}
	return info.Main.Path + " " + info.Main.Version
})

// view answers q.
func (p *Page) view(q *query) *document {
	d := &document{Version: formatVersion, Time: utc(time.Now()), Go: runtime.Version(), Module: build(),
		Needs: []need{}, Supervisors: []supervisor{}, problems: map[taskvisor.TaskID]problem{},
		heard: p.past.count()} // before anything else is read: see tag
	left := q.n
	for _, s := range p.snapshots() {
		if q.supervisor != "" && s.Supervisor != q.supervisor {
			continue
		}
		d.seqs += s.Seq
		p.findProblems(&s, d.problems)
		d.Needs = append(d.Needs, p.needs(&s, d.problems)...)
		if q.task != "" {
			p.addDetail(d, &s, q)
			continue
		}
		v := p.supervisorView(&s, q, d.problems, left)
		left -= len(v.Tasks)
		d.Supervisors = append(d.Supervisors, v)
	}
	sortNeeds(d.Needs)
	d.NeedsTotal = len(d.Needs)
	d.Needs = d.Needs[:min(maxNeeds, len(d.Needs))]
	p.addPrograms(d, q)
	return d
}

// findProblems adds what is wrong with the tasks of one supervisor.
func (p *Page) findProblems(s *taskvisor.Snapshot, problems map[taskvisor.TaskID]problem) {
	past := func(id taskvisor.TaskID) []attempt {
		attempts, _ := p.past.of(id)
		return attempts
	}
	for i := range s.Tasks {
		if pr, bad := problemOf(&s.Tasks[i], s.Time, past); bad {
			problems[s.Tasks[i].ID] = pr
		}
	}
}

// addPrograms adds what the program itself has to show: incidents, of one task if
// one was asked for, and sections, which are about no task.
func (p *Page) addPrograms(d *document, q *query) {
	if p.incidents != nil {
		for _, in := range p.incidents.get() {
			mine := q.task == "" || in.Task == q.task
			if mine && (q.supervisor == "" || in.Supervisor == "" || in.Supervisor == q.supervisor) && len(d.Incidents) < maxRows {
				d.Incidents = append(d.Incidents, in)
			}
		}
	}
	if q.task != "" {
		return
	}
	for _, src := range p.sections {
		sec := section{src.name, src.get()}
		sec.Rows = sec.Rows[:min(maxRows, len(sec.Rows))]
		d.Sections = append(d.Sections, sec)
	}
}

// supervisorView is one supervisor with at most n of its tasks.
func (p *Page) supervisorView(s *taskvisor.Snapshot, q *query, problems map[taskvisor.TaskID]problem, n int) supervisor {
	v := supervisor{
		Name: s.Supervisor, State: s.State.String(), Seq: s.Seq, Created: utc(s.Created), StopSince: utc(s.StopSince),
		StopBy: utc(s.StopBy), StopTook: s.StopTook.Seconds(), MaxConcurrent: s.MaxConcurrent, InUse: s.InUse,
		Released: s.Released, Counts: map[string]int{}, Total: len(s.Tasks), Tasks: []task{},
		Slots: []slot{}, SlotsTotal: len(s.Slots), Subscribers: []subscriber{}, Ended: []ended{},
	}
	for i := range s.Tasks {
		st := &s.Tasks[i]
		v.Counts[st.State.String()]++
		if _, bad := problems[st.ID]; bad {
			v.needs++
		}
		if s.State == taskvisor.SupervisorDraining && len(v.Busy) < maxBusy && st.State != taskvisor.StatePending {
			v.Busy = append(v.Busy, st.Name)
		}
	}
	p.addTasks(&v, s, q, problems, n)
	p.addSlots(&v, s)
	for _, sub := range s.Subscribers {
		row := subscriber{Name: sub.Name, Inline: sub.Inline, Queued: sub.Queued, Capacity: sub.Capacity,
			Delivered: sub.Delivered, Panics: sub.Panics, Failures: sub.Failures}
		for _, lost := range sub.Dropped {
			row.Dropped += lost
		}
		v.Subscribers = append(v.Subscribers, row)
	}
	for i := range s.Recent {
		v.Ended = append(v.Ended, p.endedView(&s.Recent[i]))
	}
	return v
}

func (p *Page) addSlots(v *supervisor, s *taskvisor.Snapshot) {
	shown := s.Slots
	if len(shown) > maxRows { // those that wait longest are worth the room
		shown = slices.Clone(shown)
		slices.SortStableFunc(shown, func(a, b taskvisor.SlotStatus) int { return b.Queued - a.Queued })
		shown = shown[:maxRows]
	}
	for _, sl := range shown {
		row := slot{Key: sl.Key, State: sl.State.String(), Owner: sl.Owner, Queued: sl.Queued, Oldest: utc(sl.Oldest)}
		if i, found := find(s.Tasks, sl.Owner); found {
			row.Name = s.Tasks[i].Name
		}
		v.Slots = append(v.Slots, row)
	}
}

// find returns where the task with that id stands.
func find(tasks []taskvisor.TaskStatus, id taskvisor.TaskID) (int, bool) {
	return slices.BinarySearchFunc(tasks, id, func(st taskvisor.TaskStatus, id taskvisor.TaskID) int {
		return int(int64(st.ID) - int64(id))
	})
}

// taskView is one task, with its attempts.
func (p *Page) taskView(s *taskvisor.Snapshot, st *taskvisor.TaskStatus, pr problem) task {
	v := task{
		ID: st.ID, Name: st.Name, Kind: st.Kind, Slot: st.Slot, State: st.State.String(), Since: utc(st.Since),
		Added: utc(st.Added), AddedFrom: st.AddedFrom, NextStart: utc(st.NextStart), Attempt: st.Attempt,
		Started: utc(st.AttemptStart), Streak: st.Streak, Problem: pr.label, Ready: st.Ready, Note: clip(st.Note, maxText),
		NoteTime: utc(st.NoteTime), StopBy: utc(st.StopBy), Results: st.Results, LastResult: st.LastResult.String(),
		LastError: p.lastText(st), LastSuccess: utc(st.LastSuccess), text: pr.text,
	}
	if st.State == taskvisor.StatePending {
		v.WaitsFor = waitsFor(s, st)
	}
	v.attempts, _ = p.past.of(st.ID)
	return v
}

// lastText is what is shown of the last error of a registered task.
func (p *Page) lastText(st *taskvisor.TaskStatus) string {
	if p.format == nil || st.LastError == "" {
		return st.LastError
	}
	text, _ := p.past.errorOf(st.ID) // the core's text has not passed the formatter
	return text
}

// waitsFor says what a pending task waits for.
func waitsFor(s *taskvisor.Snapshot, st *taskvisor.TaskStatus) string {
	switch {
	case s.State == taskvisor.SupervisorNew:
		return "the supervisor's start"
	case st.Gate != "":
		return st.Gate
	case st.Slot != "":
		return "its slot"
	}
	return ""
}

// endText is what is shown of the error of a task that has ended.
func (p *Page) endText(e *taskvisor.EndedTask) string {
	if p.format == nil || e.Error == "" {
		return e.Error
	}
	_, text := p.past.errorOf(e.ID) // the core's text has not passed the formatter
	return text
}

func (p *Page) endedView(e *taskvisor.EndedTask) ended { return endedView(e, p.endText(e)) }

func endedView(e *taskvisor.EndedTask, text string) ended {
	return ended{ID: e.ID, Name: e.Name, Kind: e.Kind, Slot: e.Slot, Attempts: e.Attempts, Outcome: e.Outcome.String(),
		Reason: e.Reason.String(), Error: text, Ended: utc(e.Ended)}
}

// utc is t as JSON shows it, without the monotonic reading.
func utc(t time.Time) time.Time { return t.UTC().Round(0) }
