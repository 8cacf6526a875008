package taskvisor_test

import (
	"context"
	"errors"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// reader is a subscriber that reads state.
type reader struct {
	name     string
	err      error // that Attach returns
	attached int
	closed   int
	snapshot func() taskvisor.Snapshot
	inline   bool
}

func (r *reader) OnEvent(context.Context, taskvisor.Event) {}

func (r *reader) Attach(snapshot func() taskvisor.Snapshot) error {
	r.attached++
	r.snapshot = snapshot
	return r.err
}

func (r *reader) Close() { r.closed++ }

func (r *reader) Preferences() []taskvisor.SubscriberOption {
	if r.inline {
		return []taskvisor.SubscriberOption{taskvisor.Inline(), taskvisor.WithName(r.name)}
	}
	return []taskvisor.SubscriberOption{taskvisor.Queued(7), taskvisor.WithName(r.name)}
}

// An attached subscriber reads the supervisor's state at any time: before the
// start, while it runs, and after the end.
func TestAttacherReadsState(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := &reader{name: "reader"}
		sup, _ := newSup(t, taskvisor.WithSubscriber(r))
		state := func(want taskvisor.SupervisorState) {
			t.Helper()
			if r.attached != 1 || r.snapshot().State != want {
				t.Errorf("attached %d times, state %v, want %v", r.attached, r.snapshot().State, want)
			}
		}
		state(taskvisor.SupervisorNew)
		err := sup.Run(context.Background(), taskvisor.Once("a", func(context.Context) error {
			state(taskvisor.SupervisorRunning)
			if sn := r.snapshot(); len(sn.Tasks) != 1 || sn.Tasks[0].Name != "a" {
				t.Errorf("tasks %v", sn.Tasks)
			}
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
		state(taskvisor.SupervisorStopped)
		if r.closed != 0 {
			t.Error("it was closed although New succeeded")
		}
	})
}

// New returns the error of a subscriber that refuses, and lets those before it
// go.
func TestAttachError(t *testing.T) {
	first, bad, last := &reader{name: "first"}, &reader{name: "bad", err: errBoom}, &reader{name: "last"}
	sup, err := taskvisor.New(taskvisor.WithSubscriber(first), taskvisor.WithSubscriber(bad), taskvisor.WithSubscriber(last))
	if sup != nil || !errors.Is(err, errBoom) {
		t.Errorf("New: %v, %v", sup, err)
	}
	if first.closed != 1 || bad.closed != 0 || last.attached != 0 {
		t.Errorf("the first was closed %d times, the bad one %d, the last attached %d", first.closed, bad.closed, last.attached)
	}
}

// Preferences are a subscriber's own; options win over them. Names are told
// apart.
func TestSubscriberOptionsWinOverPreferences(t *testing.T) {
	sup, err := taskvisor.New(
		taskvisor.WithSubscriber(&reader{name: "queued"}),
		taskvisor.WithSubscriber(&reader{name: "inline", inline: true}),
		taskvisor.WithSubscriber(&reader{name: "queued"}, taskvisor.Inline()),
		taskvisor.WithSubscriber(&reader{name: "inline", inline: true}, taskvisor.Queued(9), taskvisor.WithName("mine")),
		taskvisor.WithSubscriber(&taskvisortest.Recorder{}),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := []taskvisor.SubscriberStatus{{Name: "queued", Capacity: 7}, {Name: "inline", Inline: true}, {Name: "queued#2", Inline: true}, {Name: "mine", Capacity: 9},
		{Name: "*taskvisortest.Recorder", Inline: true}}
	got := sup.Snapshot().Subscribers
	for i := range want {
		if i >= len(got) || got[i].Name != want[i].Name || got[i].Inline != want[i].Inline || got[i].Capacity != want[i].Capacity {
			t.Errorf("subscriber %d: %+v, want %+v", i, got, want[i])
		}
	}
}
