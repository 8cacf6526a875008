package livesub

import (
	"container/list"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	keptAttempts = 32   // of each task
	keptEvents   = 16   // of each task
	keptEnded    = 256  // tasks that have ended
	keptJournal  = 1024 // events of each supervisor
	keptFailed   = 64   // tasks of each supervisor that ended badly
)

// ring keeps the last values that were pushed. Its zero value is ready; it grows as
// it fills, so that a task of one attempt costs one.
type ring[T any] struct {
	items []T
	first int // the oldest, once the ring is full
}

// push adds v in place of the oldest of size values.
func (r *ring[T]) push(v T, size int) {
	if len(r.items) < size {
		r.items = append(r.items, v)
		return
	}
	r.items[r.first] = v
	r.first = (r.first + 1) % size
}

// all returns a copy, oldest first.
func (r *ring[T]) all() []T {
	out := make([]T, 0, len(r.items))
	out = append(out, r.items[r.first:]...)
	return append(out, r.items[:r.first]...)
}

// identity is whom an event is about. It is shared by all that is kept of a task.
type identity struct {
	supervisor, task, kind string
	id                     taskvisor.TaskID
}

// attempt is one attempt that has ended.
type attempt struct {
	start    int64 // Unix time in nanoseconds: half the size of a time.Time
	duration time.Duration
	text     string // of the error
	trace    *trace // nil if there is none
	number   uint32
	result   taskvisor.ResultKind
	reason   taskvisor.Reason
}

// trace is where an attempt's trace is found.
type trace struct{ id, link string }

// history is what is kept of one task: what a snapshot does not have.
type history struct {
	identity
	attempts ring[attempt]
	events   ring[record]
	lastText string // of the last event with an error, shared by all that say the same
	failText string // of the last attempt that ended with an error
	endText  string // of the outcome's error

	grave *list.List // the shelf of a task that has ended; nil before
	shelf *list.List // that the history stands on
	place *list.Element
}

// past is the memory of a page: bounded, and filled by events alone.
type past struct {
	max int // tasks

	mu    sync.Mutex // guards the fields below
	heard uint64     // events and supervisors; it begins anywhere, so that no two processes have the same
	tasks map[taskvisor.TaskID]*history
	// Each history stands on one shelf, those longest without an event in front, and
	// is taken from the first shelf that has one when there are too many.
	ended, wrecks, healthy, troubled *list.List          // wrecks ended badly
	journals                         map[string]*journal // by supervisor
}

// journal is the last events of the supervisors of one name.
type journal struct {
	events ring[record]
	last   uint64 // number of the latest
	// failed are the tasks that ended badly, oldest first. A snapshot has those that
	// ended last, which in a busy program are all of the last second.
	failed []taskvisor.EndedTask
}

// ended takes note of a task's end. One that went well answers for those of its name
// that did not.
func (j *journal) ended(e *taskvisor.Event, text string) {
	if e.Outcome == taskvisor.OutcomeCompleted && len(j.failed) > 0 {
		j.failed = slices.DeleteFunc(j.failed, func(f taskvisor.EndedTask) bool { return f.Name == e.Task })
	}
	if !endedBadly(e.Outcome) {
		return
	}
	if len(j.failed) == keptFailed {
		j.failed = slices.Delete(j.failed, 0, 1)
	}
	j.failed = append(j.failed, taskvisor.EndedTask{ID: e.TaskID, Name: e.Task, Kind: e.TaskKind, Slot: e.Slot, Attempts: e.Attempt,
		Outcome: e.Outcome, Reason: e.Reason, Error: text, Ended: e.Time})
}

// endedBadly reports whether an outcome is somebody's concern.
func endedBadly(k taskvisor.OutcomeKind) bool {
	return k == taskvisor.OutcomeFailed || k == taskvisor.OutcomeFatal || k == taskvisor.OutcomeAbandoned
}

func (p *past) init(limit int) {
	p.max = limit
	p.heard = rand.Uint64()
	p.tasks = map[taskvisor.TaskID]*history{}
	p.ended, p.wrecks, p.healthy, p.troubled = list.New(), list.New(), list.New(), list.New()
	p.journals = map[string]*journal{}
}

// add takes note of an event whose error has the given text.
func (p *past) add(e *taskvisor.Event, text string, t *trace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard++
	var h *history
	if e.TaskID != 0 && p.max > 0 {
		h = p.historyLocked(e)
	}
	var who *identity
	if h == nil {
		who = &identity{e.Supervisor, e.Task, e.TaskKind, e.TaskID}
	} else {
		who = &h.identity
		if text != "" && text == h.lastText {
			text = h.lastText // the same string, not another one that says the same
		} else if text != "" {
			h.lastText = text
		}
	}
	rec := newRecord(e, who, text)
	j := p.journalLocked(e)
	j.events.push(rec, keptJournal)
	if e.Kind == taskvisor.TaskRemoved {
		j.ended(e, text)
	}
	if h == nil {
		return
	}
	h.events.push(rec, keptEvents)
	switch e.Kind {
	case taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled:
		if text != "" {
			h.failText = text // orders have causes too, which are nobody's failure
		}
		h.attempts.push(attempt{
			start: e.Time.Add(-e.Duration).UnixNano(), duration: e.Duration, text: text, trace: t,
			number: uint32(e.Attempt), result: e.Result, reason: e.Reason,
		}, keptAttempts)
		p.shelveLocked(h, p.shelfOf(e.Result))
	case taskvisor.TaskRemoved, taskvisor.ControllerRejected:
		h.grave, h.endText = p.ended, text
		most := keptEnded
		if endedBadly(e.Outcome) {
			h.grave, most = p.wrecks, keptFailed
		}
		p.shelveLocked(h, h.grave)
		if h.grave.Len() > most {
			p.forgetLocked(h.grave)
		}
	default:
		h.shelf.MoveToBack(h.place)
	}
}

func (p *past) shelfOf(r taskvisor.ResultKind) *list.List {
	if r == taskvisor.ResultSuccess || r == taskvisor.ResultCanceled {
		return p.healthy
	}
	return p.troubled
}

// over reports whether the event's task has ended: it is not, or no longer, registered.
func over(e *taskvisor.Event) bool {
	switch e.Kind {
	case taskvisor.TaskRemoved, taskvisor.ControllerRejected:
		return true
	case taskvisor.ControllerSubmitted:
		return e.Verdict == taskvisor.VerdictRejected
	}
	return false
}

// historyLocked returns what is kept of the event's task, which is made if there is
// nothing yet; nil if it has ended and only live ones could make room for it.
func (p *past) historyLocked(e *taskvisor.Event) *history {
	if h := p.tasks[e.TaskID]; h != nil {
		return h
	}
	if e.Kind == taskvisor.BodyReturned { // its task is gone, and has been forgotten
		return nil
	}
	shelves := []*list.List{p.ended, p.wrecks, p.healthy, p.troubled}
	home := p.healthy
	if over(e) {
		shelves, home = shelves[:2], p.ended
	}
	for len(p.tasks) >= p.max {
		if !slices.ContainsFunc(shelves, p.forgetLocked) {
			return nil
		}
	}
	h := &history{identity: identity{e.Supervisor, e.Task, e.TaskKind, e.TaskID}}
	p.tasks[e.TaskID] = h
	h.shelf, h.place = home, home.PushBack(h)
	return h
}

// shelveLocked puts h behind all others of a shelf.
func (p *past) shelveLocked(h *history, shelf *list.List) {
	if h.grave != nil {
		shelf = h.grave
	}
	if h.shelf == shelf {
		shelf.MoveToBack(h.place)
		return
	}
	h.shelf.Remove(h.place)
	h.shelf, h.place = shelf, shelf.PushBack(h)
}

// forgetLocked drops the first history of a shelf, if there is one.
func (p *past) forgetLocked(shelf *list.List) bool {
	front := shelf.Front()
	if front == nil {
		return false
	}
	h := shelf.Remove(front).(*history)
	delete(p.tasks, h.id)
	return true
}

// journalLocked returns the journal of the event's supervisor. A second supervisor
// of the name, whose numbers begin anew, begins a new one.
func (p *past) journalLocked(e *taskvisor.Event) *journal {
	j := p.journals[e.Supervisor]
	if j == nil || e.Seq == 1 {
		if j == nil && len(p.journals) >= enoughSupervisors {
			for name := range p.journals { // any: a page of so many has no favourites
				delete(p.journals, name)
				break
			}
		}
		j = &journal{}
		p.journals[e.Supervisor] = j
	}
	j.last = max(j.last, e.Seq)
	return j
}

// attached takes note of another supervisor.
func (p *past) attached() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard++
}

// count returns a number that differs after each event, and each supervisor.
func (p *past) count() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard
}

// of returns copies of what is kept of a task, oldest first.
func (p *past) of(id taskvisor.TaskID) (attempts []attempt, events []record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.tasks[id]; h != nil {
		return h.attempts.all(), h.events.all()
	}
	return nil, nil
}

// after returns copies of the events of one supervisor with numbers above seq: all, if it
// has numbered less than that, up to last as far as it knows itself.
func (p *past) after(supervisor string, seq, last uint64) []record {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.journals[supervisor]
	if j == nil {
		return nil
	}
	if seq > max(j.last, last) {
		seq = 0
	}
	var found []record
	for _, r := range j.events.all() {
		if r.seq > seq {
			found = append(found, r)
		}
	}
	return found
}

// failed returns the tasks of one supervisor that ended badly, the latest first.
func (p *past) failed(supervisor string) []taskvisor.EndedTask {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.journals[supervisor]
	if j == nil {
		return nil
	}
	list := slices.Clone(j.failed)
	slices.Reverse(list)
	return list
}

// errorOf returns the text of the last error of a task's attempts, and of its outcome.
func (p *past) errorOf(id taskvisor.TaskID) (last, end string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.tasks[id]; h != nil {
		return h.failText, h.endText
	}
	return "", ""
}
