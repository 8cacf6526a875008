package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// everything is a subscriber with all optional interfaces.
type everything struct {
	events, begun, ended int
	snapshot             func() taskvisor.Snapshot
}

func (s *everything) OnEvent(context.Context, taskvisor.Event) { s.events++ }
func (s *everything) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context {
	s.begun++
	return ctx
}
func (s *everything) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) { s.ended++ }
func (s *everything) Attach(snapshot func() taskvisor.Snapshot) error {
	s.snapshot = snapshot
	return nil
}
func (s *everything) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline(), taskvisor.WithName("everything")}
}

// wrapping passes on what it gets, and says what it wraps.
type wrapping struct{ inner taskvisor.Subscribe }

func (w wrapping) OnEvent(ctx context.Context, e taskvisor.Event) { w.inner.OnEvent(ctx, e) }
func (w wrapping) Unwrap() taskvisor.Subscribe                    { return w.inner }

// embedding looks as if it had the methods of what is inside, and has not.
type embedding struct{ taskvisor.Subscribe }

// opened does so too, but can be looked into.
type opened struct{ taskvisor.Subscribe }

func (o opened) Unwrap() taskvisor.Subscribe { return o.Subscribe }

// The optional interfaces of a subscriber are found through whatever wraps it.
func TestWrappedSubscribers(t *testing.T) {
	for name, wrap := range map[string]func(s taskvisor.Subscribe) taskvisor.Subscribe{
		"bare":    func(s taskvisor.Subscribe) taskvisor.Subscribe { return s },
		"once":    func(s taskvisor.Subscribe) taskvisor.Subscribe { return wrapping{s} },
		"twice":   func(s taskvisor.Subscribe) taskvisor.Subscribe { return &opened{wrapping{s}} },
		"pointer": func(s taskvisor.Subscribe) taskvisor.Subscribe { return &wrapping{s} },
	} {
		s := &everything{}
		sup, err := taskvisor.New(taskvisor.WithSubscriber(wrap(s)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := sup.Run(context.Background(), taskvisor.Once("a", func(context.Context) error { return nil })); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		st := sup.Snapshot().Subscribers[0]
		if s.events == 0 || s.begun != 1 || s.ended != 1 || s.snapshot == nil || st.Name != "everything" || !st.Inline {
			t.Errorf("%s: %+v, status %+v", name, s, st)
		}
	}
}

// One that hides them would lose spans without a word: New refuses it.
func TestHiddenInterfacesAreRefused(t *testing.T) {
	_, err := taskvisor.New(taskvisor.WithSubscriber(&embedding{&everything{}}))
	if err == nil || !strings.Contains(err.Error(), "Unwrap") || !strings.Contains(err.Error(), "everything") {
		t.Errorf("New: %v", err)
	}
	plain := taskvisor.SubscribeFunc(func(context.Context, taskvisor.Event) {})
	if _, err := taskvisor.New(taskvisor.WithSubscriber(&embedding{plain})); err != nil {
		t.Errorf("nothing is hidden: %v", err)
	}
}

// keeper keeps per task what it has seen, in the task.
type keeper struct {
	fail error
	mu   sync.Mutex // tasks are announced side by side
	said []string
}

func (k *keeper) OnEvent(_ context.Context, e taskvisor.Event) {
	e.ReportFailure(k.fail)
	k.mu.Lock()
	defer k.mu.Unlock()
	l := e.Local()
	if e.TaskID == 0 {
		if l != nil {
			k.said = append(k.said, fmt.Sprintf("%s has a Local", e.Kind))
		}
		l.Store(1) // keeps nothing
		if l.Load() != nil || l.LoadOrStore(2) != 2 {
			k.said = append(k.said, "a nil Local keeps something")
		}
		return
	}
	n := l.LoadOrStore(new(int)).(*int)
	*n++
	if e.Kind == taskvisor.TaskRemoved {
		k.said = append(k.said, fmt.Sprintf("%s: %d", e.Task, *n))
		l.Store(nil)
	}
}

func (k *keeper) BeginAttempt(ctx context.Context, a taskvisor.Attempt) context.Context {
	*a.Local().LoadOrStore(new(int)).(*int)++
	return ctx
}
func (k *keeper) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) {}

// What a subscriber keeps about a task is its own and the task's own; a failure that
// it reports is counted for it alone.
func TestLocalsAndFailures(t *testing.T) {
	inline := &keeper{}
	failing := &keeper{fail: errors.New("disk full")}
	sup, err := taskvisor.New(
		taskvisor.WithSubscriber(inline, taskvisor.Inline(), taskvisor.WithName("inline")),
		taskvisor.WithSubscriber(failing, taskvisor.Inline(), taskvisor.WithName("failing")),
		taskvisor.WithMaxConcurrent(1))
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(context.Context) error { return nil }
	if err := sup.Run(context.Background(), taskvisor.Once("a", nothing), taskvisor.Once("b", nothing)); err != nil {
		t.Fatal(err)
	}
	for _, k := range []*keeper{inline, failing} {
		got := map[string]int{}
		for _, s := range k.said {
			got[s]++
		}
		for _, e := range []string{"a: ", "b: "} { // added, bracket, starting, stopped, exhausted, removed; gated or not
			if got[e+"6"]+got[e+"7"] != 1 {
				t.Errorf("%q", k.said)
			}
		}
	}
	for _, st := range sup.Snapshot().Subscribers {
		if want := st.Delivered; st.Name == "inline" && st.Failures != 0 || st.Name == "failing" && st.Failures != want {
			t.Errorf("%s: %d failures in %d deliveries", st.Name, st.Failures, st.Delivered)
		}
	}
	(taskvisor.Event{}).ReportFailure(failing.fail) // delivered by nobody
	if (taskvisor.Event{}).Local() != nil {
		t.Error("an event of nobody's has a Local")
	}
}

// An event knows the policy of its task, as it is in force, after the task is gone too;
// and not its work.
func TestEventsKnowTheirSpec(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t, taskvisor.WithTaskDefaults(taskvisor.WithTimeout(time.Minute)))
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		a := taskvisor.Once("a", noWork, taskvisor.WithGrace(time.Second))
		outcomeOf(t, addTo(t, sup, a))
		h, err := sup.Submit(context.Background(), taskvisor.Submission{Slot: "s", Task: a})
		if err != nil {
			t.Fatal(err)
		}
		outcomeOf(t, h)
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		own := 0
		for _, e := range rec.Events() {
			spec := e.Spec()
			timeout, limited := spec.Timeout()
			switch {
			case e.TaskID == 0 && spec.Name() != "":
				t.Errorf("%v: %v", e, spec)
			case e.TaskID == 0:
			case spec.Name() != "a" || !limited || timeout != time.Minute || spec.Grace() != time.Second:
				t.Errorf("%v: %v", e, spec)
			default:
				own++
			}
		}
		if own != 11 { // submitted; twice added, starting, stopped, exhausted, removed
			t.Errorf("%d events of the task", own)
		}
	})
}
