package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// tally counts what happened, apart from any metrics library, so that the
// status page has figures and a run can be compared with what a Prometheus
// scraped from it. It is inline: it misses no event.
type tally struct {
	mu       sync.Mutex // guards the fields below
	attempts map[string]map[string]uint64
	restarts map[string]map[string]uint64
	outcomes map[string]uint64
	requests map[string]uint64
	rejected map[string]uint64
	ended    map[string]ending
}

// ending is how a task ended.
type ending struct {
	Outcome  string    `json:"outcome"`
	Error    string    `json:"error,omitempty"`
	Attempts int       `json:"attempts"`
	At       time.Time `json:"at"`
}

// summary is what -summary writes and /summary serves. Attempts and restarts
// are by task name, hence sums over all tasks that had the name.
type summary struct {
	Supervisor string    `json:"supervisor"`
	State      string    `json:"state"`
	Time       time.Time `json:"time"`
	Events     uint64    `json:"events"`

	Attempts   map[string]map[string]uint64 `json:"attempts"` // task, then outcome
	Restarts   map[string]map[string]uint64 `json:"restarts"` // task, then cause
	Outcomes   map[string]uint64            `json:"outcomes"` // of tasks
	Requests   map[string]uint64            `json:"requests"` // policy/result
	Rejections map[string]uint64            `json:"rejections"`
	Ended      map[string]ending            `json:"ended"`  // task: its last end
	Totals     map[string]uint64            `json:"totals"` // from the supervisor's snapshot

	Subscribers []subscriberSummary `json:"subscribers"`
}

// subscriberSummary is one subscriber's bookkeeping.
type subscriberSummary struct {
	Name      string `json:"name"`
	Delivered uint64 `json:"delivered"`
	Dropped   uint64 `json:"dropped"`
	Panics    uint64 `json:"panics"`
}

func newTally() *tally {
	return &tally{
		attempts: map[string]map[string]uint64{},
		restarts: map[string]map[string]uint64{},
		outcomes: map[string]uint64{},
		requests: map[string]uint64{},
		rejected: map[string]uint64{},
		ended:    map[string]ending{},
	}
}

// Preferences implements [taskvisor.Preferences].
func (t *tally) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.WithName("tally"), taskvisor.Inline()}
}

// OnEvent implements [taskvisor.Subscribe]. It is safe for concurrent use.
func (t *tally) OnEvent(_ context.Context, e taskvisor.Event) {
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

func endingOf(e taskvisor.Event) ending {
	end := ending{Outcome: e.Outcome.String(), Attempts: e.Attempt, At: e.Time}
	if e.Err != nil {
		end.Error = e.Err.Error()
	}
	return end
}

// ending returns how the last task of that name ended, if it did.
func (t *tally) ending(task string) (ending, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.ended[task]
	return e, ok
}

// good returns how many of the task's attempts ended, and how many of these
// were a success. Attempts that we canceled say nothing about the target.
func (t *tally) good(task string) (good, all uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for outcome, n := range t.attempts[task] {
		switch outcome {
		case taskvisor.ResultSuccess.String():
			good += n
			all += n
		case taskvisor.ResultCanceled.String():
		default:
			all += n
		}
	}
	return good, all
}

// summary returns a copy of the counts beside those of s.
func (t *tally) summary(s taskvisor.Snapshot) summary {
	sum := summary{
		Supervisor: s.Supervisor, State: s.State.String(), Time: time.Now(), Events: s.Seq,
		Attempts: map[string]map[string]uint64{}, Restarts: map[string]map[string]uint64{},
		Totals: map[string]uint64{
			"added": s.Added, "removed": s.Removed, "started": s.Started, "ended": s.Ended,
			"submitted": s.Submitted, "rejected": s.Rejected, "joined": s.Joined, "from_slots": s.FromSlots,
		},
	}
	for _, sub := range s.Subscribers {
		row := subscriberSummary{Name: sub.Name, Delivered: sub.Delivered, Panics: sub.Panics}
		for _, n := range sub.Dropped {
			row.Dropped += n
		}
		sum.Subscribers = append(sum.Subscribers, row)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for task, m := range t.attempts {
		sum.Attempts[task] = clone(m)
	}
	for task, m := range t.restarts {
		sum.Restarts[task] = clone(m)
	}
	sum.Outcomes, sum.Requests, sum.Rejections = clone(t.outcomes), clone(t.requests), clone(t.rejected)
	sum.Ended = clone(t.ended)
	return sum
}

func clone[V any](m map[string]V) map[string]V {
	c := make(map[string]V, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// write puts the summary into file, whole or not at all: whoever waits for the
// file never reads half of it.
func (s summary) write(file string) error {
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
