package taskvisortest_test

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// queued is the least that a subscriber can be.
type queued struct{}

func (queued) OnEvent(context.Context, taskvisor.Event) {}

// inline makes queued subscribers inline.
type inline struct{ queued }

func (inline) Preferences() []taskvisor.SubscriberOption {
	return []taskvisor.SubscriberOption{taskvisor.Inline()}
}

// full implements every optional interface, well.
type full struct {
	inline
	mu   sync.Mutex // guards the fields below
	last taskvisor.Event
	open int
}

type fullKey struct{}

func (f *full) OnEvent(_ context.Context, e taskvisor.Event) {
	f.mu.Lock()
	f.last = e
	f.mu.Unlock()
}

func (f *full) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context {
	f.mu.Lock()
	f.open++
	f.mu.Unlock()
	return context.WithValue(ctx, fullKey{}, f)
}

func (f *full) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) {
	f.mu.Lock()
	f.open--
	f.mu.Unlock()
}

func (f *full) Attach(snapshot func() taskvisor.Snapshot) error {
	snapshot()
	return nil
}

func TestSubscriberAcceptsGoodOnes(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) taskvisor.Subscribe{
		"queued":   func(*testing.T) taskvisor.Subscribe { return queued{} },
		"inline":   func(*testing.T) taskvisor.Subscribe { return inline{} },
		"full":     func(*testing.T) taskvisor.Subscribe { return &full{} },
		"recorder": func(*testing.T) taskvisor.Subscribe { return &taskvisortest.Recorder{} },
		"slow but queued": func(*testing.T) taskvisor.Subscribe {
			return onEvent{func(taskvisor.Event) { time.Sleep(time.Microsecond) }}
		},
	} {
		t.Run(name, func(t *testing.T) { taskvisortest.TestSubscriber(t, make) })
	}
}

// The suite is only as good as the events that it brings about: all of them.
func TestSubscriberSeesEveryKind(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[taskvisor.EventKind]bool)
	t.Run("suite", func(t *testing.T) {
		taskvisortest.TestSubscriber(t, func(*testing.T) taskvisor.Subscribe {
			return onEvent{func(e taskvisor.Event) {
				if strings.HasPrefix(e.Supervisor, "conformance-") { // from a supervisor, not by hand
					mu.Lock()
					seen[e.Kind] = true
					mu.Unlock()
				}
			}}
		})
	})
	for kind := taskvisor.TaskAdded; kind <= taskvisor.SubscriberPanicked; kind++ {
		if !seen[kind] && kind != taskvisor.ShutdownAnnounced { // which a signal is needed for
			t.Errorf("no %s reached the subscriber", kind)
		}
	}
}

// onEvent is a queued subscriber made of a function.
type onEvent struct{ do func(e taskvisor.Event) }

func (s onEvent) OnEvent(_ context.Context, e taskvisor.Event) { s.do(e) }

// inlineEvent is the same, inline.
type inlineEvent struct {
	inline
	do func(e taskvisor.Event)
}

func (s inlineEvent) OnEvent(_ context.Context, e taskvisor.Event) { s.do(e) }

// bracket is a subscriber made of two functions.
type bracket struct {
	inline
	begin func(ctx context.Context) context.Context
	end   func()
}

func (b bracket) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context {
	return b.begin(ctx)
}

func (b bracket) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) {
	if b.end != nil {
		b.end()
	}
}

// locked prints errors while it holds the lock that its own OnEvent needs.
type locked struct {
	inline
	mu   sync.Mutex // guards text
	text string
}

func (l *locked) OnEvent(_ context.Context, e taskvisor.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Err != nil {
		l.text = e.Err.Error()
	}
}

// attaching is refused by New.
type attaching struct{ queued }

func (attaching) Attach(func() taskvisor.Snapshot) error { return errBad }

// broken are subscribers that the suite must refuse, and what it must say.
var broken = map[string]struct {
	make func(t *testing.T) taskvisor.Subscribe
	says string
}{
	"panics": {events(func(e taskvisor.Event) {
		if e.Kind == taskvisor.TaskAdded {
			panic("oops")
		}
	}), `OnEvent(task_added of "ok") panicked: oops`},
	"panics on unknown kinds": {events(func(e taskvisor.Event) {
		_ = [taskvisor.SubscriberPanicked + 1]int{}[e.Kind]
	}), `OnEvent(unknown_34 of "") panicked: runtime error: index out of range`},
	"exits": {events(func(e taskvisor.Event) {
		if e.Kind == taskvisor.TaskRemoved {
			runtime.Goexit()
		}
	}), "called runtime.Goexit"},
	"sleeps inline": {inlineEvents(func(e taskvisor.Event) {
		if e.Kind == taskvisor.TaskStarting {
			time.Sleep(time.Millisecond)
		}
	}), "blocked until 1ms had passed"},
	"blocks inline": {inlineEvents(func(e taskvisor.Event) {
		if e.Kind == taskvisor.TaskFailed {
			select {}
		}
	}), "has not returned after 10s: it blocks"},
	"blocks queued": {events(func(e taskvisor.Event) {
		if e.Kind == taskvisor.TaskRemoved {
			select {}
		}
	}), "has not returned after 10s: it blocks"},
	"deadlocks with itself": {func(*testing.T) taskvisor.Subscribe { return &locked{} }, "hangs, perhaps on a mutex"},
	"leaks": {events(func(e taskvisor.Event) {
		if e.Kind == taskvisor.TaskAdded {
			go func() { select {} }()
		}
	}), "goroutines are left behind"},
	"changes the report": {events(func(e taskvisor.Event) {
		if late, ok := e.Err.(*taskvisor.GraceExceededError); ok {
			slices.SortFunc(late.Tasks, func(a, b taskvisor.TaskStatus) int { return strings.Compare(a.Name, b.Name) })
		}
	}), "changed a *taskvisor.GraceExceededError"},
	"refuses": {func(*testing.T) taskvisor.Subscribe { return attaching{} }, "New with a fresh subscriber"},
	"nil":     {func(*testing.T) taskvisor.Subscribe { return nil }, "newSubscriber returned nil"},
	"returns no context": {begins(func(context.Context) context.Context {
		return nil
	}), "returned a nil context"},
	"returns a foreign context": {begins(func(context.Context) context.Context {
		return context.Background()
	}), "returned a context that is not derived"},
	"returns an ended context": {begins(func(ctx context.Context) context.Context {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx
	}), "returned a context that is already done"},
	"returns a deaf context": {begins(context.WithoutCancel), "not cancelled with the given one"},
	"sleeps in a bracket": {begins(func(ctx context.Context) context.Context {
		time.Sleep(time.Second)
		return ctx
	}), "BeginAttempt"},
	"panics at the end": {func(*testing.T) taskvisor.Subscribe {
		return bracket{begin: func(ctx context.Context) context.Context { return ctx }, end: func() { panic("oops") }}
	}, "EndAttempt"},
}

func events(do func(taskvisor.Event)) func(*testing.T) taskvisor.Subscribe {
	return func(*testing.T) taskvisor.Subscribe { return onEvent{do} }
}

func inlineEvents(do func(taskvisor.Event)) func(*testing.T) taskvisor.Subscribe {
	return func(*testing.T) taskvisor.Subscribe { return inlineEvent{do: do} }
}

func begins(begin func(context.Context) context.Context) func(*testing.T) taskvisor.Subscribe {
	return func(*testing.T) taskvisor.Subscribe { return bracket{begin: begin} }
}

// brokenEnv names the broken subscriber that a child process is to check.
const brokenEnv = "TASKVISORTEST_BROKEN"

// TestSubscriberRefusesBrokenOnes runs the suite in child processes, since it
// fails there, and looks for what it says.
func TestSubscriberRefusesBrokenOnes(t *testing.T) {
	if name := os.Getenv(brokenEnv); name != "" {
		taskvisortest.SetHangsAfter(5 * time.Second)
		taskvisortest.TestSubscriber(t, broken[name].make)
		return
	}
	for name, c := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestSubscriberRefusesBrokenOnes$", "-test.failfast", "-test.timeout=2m")
			cmd.Env = append(os.Environ(), brokenEnv+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Error("the suite accepts it")
			}
			if !strings.Contains(string(out), c.says) {
				t.Errorf("the suite does not say %q but\n%s", c.says, out)
			}
		})
	}
}
