// Package tally counts what a supervisor does, apart from any metrics library, so that a
// run can be compared with what a Prometheus scraped from it.
package tally

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Tally is a subscriber that counts. It is inline: it misses no event.
type Tally struct {
	mu       sync.Mutex // guards the fields below
	attempts map[string]map[string]uint64
	restarts map[string]map[string]uint64
	outcomes map[string]uint64
	requests map[string]uint64
	rejected map[string]uint64
	ended    map[string]Ending
}

// Ending is how a task ended.
type Ending struct {
	Outcome  string    `json:"outcome"`
	Error    string    `json:"error,omitempty"`
	Attempts int       `json:"attempts"`
	At       time.Time `json:"at"`
}

// Summary is all counts, beside those of a snapshot. Attempts and restarts
// are by task name, hence sums over all tasks that had the name.
type Summary struct {
	Supervisor string    `json:"supervisor"`
	State      string    `json:"state"`
	Time       time.Time `json:"time"`
	Events     uint64    `json:"events"`

	Attempts   map[string]map[string]uint64 `json:"attempts"` // task, then outcome
	Restarts   map[string]map[string]uint64 `json:"restarts"` // task, then cause
	Outcomes   map[string]uint64            `json:"outcomes"` // of tasks
	Requests   map[string]uint64            `json:"requests"` // policy/result
	Rejections map[string]uint64            `json:"rejections"`
	Ended      map[string]Ending            `json:"ended"`  // task: its last end
	Totals     map[string]uint64            `json:"totals"` // from the supervisor's snapshot

	Subscribers []Subscriber `json:"subscribers"`
}

// Subscriber is one subscriber's bookkeeping.
type Subscriber struct {
	Name      string `json:"name"`
	Delivered uint64 `json:"delivered"`
	Dropped   uint64 `json:"dropped"`
	Panics    uint64 `json:"panics"`
}

// New returns a tally that has counted nothing.
func New() *Tally {
	return &Tally{
		attempts: map[string]map[string]uint64{},
		restarts: map[string]map[string]uint64{},
		outcomes: map[string]uint64{},
		requests: map[string]uint64{},
		rejected: map[string]uint64{},
		ended:    map[string]Ending{},
	}
}

// Preferences implements [taskvisor.Preferences].
func (t *Tally) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.WithName("tally"), taskvisor.Inline()}
}

// OnEvent implements [taskvisor.Subscribe]. It is safe for concurrent use.
func (t *Tally) OnEvent(_ context.Context, e taskvisor.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.Kind {
	case taskvisor.TaskStopped, taskvisor.TaskFailed, taskvisor.TaskCanceled:
		count(t.attempts, e.Task, e.Result.String())
	case taskvisor.BackoffScheduled:
		count(t.restarts, e.Task, e.Source.String())
	case taskvisor.TaskAbandoned:
		t.outcomes[e.Outcome.String()]++
		t.ended[e.Task] = endingOf(e)
	case taskvisor.TaskRemoved:
		if e.Outcome != taskvisor.OutcomeAbandoned { // counted when it was abandoned
			t.outcomes[e.Outcome.String()]++
		}
		t.ended[e.Task] = endingOf(e)
	case taskvisor.ControllerSubmitted:
		t.requests[e.Admission.String()+"/"+e.Verdict.String()]++
	case taskvisor.ControllerRejected:
		t.rejected[e.Reason.String()]++
	}
}

func count(m map[string]map[string]uint64, task, what string) {
	if m[task] == nil {
		m[task] = map[string]uint64{}
	}
	m[task][what]++
}

func endingOf(e taskvisor.Event) Ending {
	end := Ending{Outcome: e.Outcome.String(), Attempts: e.Attempt, At: e.Time}
	if e.Err != nil {
		end.Error = e.Err.Error()
	}
	return end
}

// Summary returns a copy of the counts beside those of s.
func (t *Tally) Summary(s taskvisor.Snapshot) Summary {
	sum := Summary{
		Supervisor: s.Supervisor, State: s.State.String(), Time: time.Now(), Events: s.Seq,
		Attempts: map[string]map[string]uint64{}, Restarts: map[string]map[string]uint64{},
		Totals: map[string]uint64{
			"added": s.Added, "removed": s.Removed, "started": s.Started, "ended": s.Ended,
			"submitted": s.Submitted, "rejected": s.Rejected, "joined": s.Joined, "from_slots": s.FromSlots,
		},
	}
	for _, sub := range s.Subscribers {
		row := Subscriber{Name: sub.Name, Delivered: sub.Delivered, Panics: sub.Panics}
		for _, n := range sub.Dropped {
			row.Dropped += n
		}
		sum.Subscribers = append(sum.Subscribers, row)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for task, m := range t.attempts {
		sum.Attempts[task] = maps.Clone(m)
	}
	for task, m := range t.restarts {
		sum.Restarts[task] = maps.Clone(m)
	}
	sum.Outcomes, sum.Requests, sum.Rejections = maps.Clone(t.outcomes), maps.Clone(t.requests), maps.Clone(t.rejected)
	sum.Ended = maps.Clone(t.ended)
	return sum
}

// Write puts the summary into file, whole or not at all: whoever waits for the
// file never reads half of it.
func (s Summary) Write(file string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("summary: %w", err)
	}
	_, err = tmp.Write(append(text, '\n'))
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("summary: %w", err)
	}
	return nil
}
