package taskvisortest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// Every kind has a letter, once, in the trace of a task or of the supervisor.
func TestTraceHasALetterForEveryKind(t *testing.T) {
	letters := make(map[string]taskvisor.EventKind)
	for kind := taskvisor.TaskAdded; kind <= taskvisor.SubscriberPanicked; kind++ {
		var rec taskvisortest.Recorder
		rec.OnEvent(t.Context(), taskvisor.Event{Kind: kind, Task: "t"})
		letter := rec.Trace("t") + rec.Trace("")
		switch kind {
		case taskvisor.ControllerSlotTransition, taskvisor.TaskGated, taskvisor.TaskReady, taskvisor.TaskRecovered:
			if letter != "" {
				t.Errorf("%s: an event beside the path is in a trace as %q", kind, letter)
			}
			continue
		}
		if len([]rune(letter)) != 1 {
			t.Errorf("%s: letters %q, want one", kind, letter)
		}
		if other, taken := letters[letter]; taken {
			t.Errorf("%s and %s share the letter %q", kind, other, letter)
		}
		letters[letter] = kind
	}
}

func TestRecorderSortsAndSelects(t *testing.T) {
	var rec taskvisortest.Recorder
	for _, e := range []taskvisor.Event{
		{Seq: 4, Kind: taskvisor.TaskAdded, Task: "b"},
		{Seq: 2, Kind: taskvisor.TaskStarting, Task: "a"},
		{Seq: 1, Kind: taskvisor.TaskAdded, Task: "a"},
		{Seq: 5, Kind: taskvisor.ShutdownRequested},
		{Seq: 3, Kind: taskvisor.TaskStopped, Task: "a"},
	} {
		rec.OnEvent(t.Context(), e)
	}
	for _, c := range []struct {
		tasks []string
		want  []uint64
	}{
		{nil, []uint64{1, 2, 3, 4, 5}},
		{[]string{"a"}, []uint64{1, 2, 3}},
		{[]string{"b", "a"}, []uint64{1, 2, 3, 4}},
		{[]string{""}, []uint64{5}},
		{[]string{"unknown"}, nil},
	} {
		var got []uint64
		for _, e := range rec.Events(c.tasks...) {
			got = append(got, e.Seq)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("Events(%q) has numbers %v, want %v", c.tasks, got, c.want)
		}
	}
	if got, want := rec.Trace("a"), "A S ✓"; got != want {
		t.Errorf("trace of a %q, want %q", got, want)
	}
	if got := rec.Trace("unknown"); got != "" {
		t.Errorf("trace of nothing %q", got)
	}
	rec.Events()[0].Task = "changed"
	if got := rec.Events()[0].Task; got != "a" {
		t.Errorf("the recorder shares its events: task is %q now", got)
	}
}

func TestRecorderConcurrentSafe(t *testing.T) {
	var rec taskvisortest.Recorder
	var callers group
	for range 8 {
		callers.Go(func() {
			for n := range 100 {
				rec.OnEvent(context.Background(), taskvisor.Event{Seq: uint64(n), Kind: taskvisor.TaskStarting, Task: "t"})
				rec.Events("t")
			}
		})
	}
	callers.Wait()
	if got := len(rec.Events()); got != 800 {
		t.Errorf("%d events recorded, want 800", got)
	}
}

// The traces that the package promises to make readable, through a real
// supervisor.
func TestStartRecordsTraces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := errors.New("bad")
		sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(time.Second))
		add := func(spec taskvisor.TaskSpec) *taskvisor.Handle {
			h, err := sup.Add(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		add(taskvisor.Restartable("retried", taskvisortest.Script(taskvisortest.Fail(bad), taskvisortest.Succeed())))
		add(taskvisor.Restartable("dead", taskvisortest.Script(taskvisortest.Fail(taskvisor.Fatal(bad)))))
		slow := add(taskvisor.Once("slow", taskvisortest.Script(taskvisortest.Ignore(time.Minute))))
		synctest.Wait()
		slow.Stop()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for task, want := range map[string]string{
			"retried": "A S ✗ B S ✓ E D",
			"dead":    "A S ✗ X D",
			"slow":    "A S Q N ✓ R D",
			"":        "",
		} {
			if got := rec.Trace(task); got != want {
				t.Errorf("trace of %q is %q, want %q", task, got, want)
			}
		}
	})
}

// Start ends the supervisor with the test, inside the test's bubble.
func TestStartEndsWithTheTest(t *testing.T) {
	var sup *taskvisor.Supervisor
	var rec *taskvisortest.Recorder
	synctest.Test(t, func(t *testing.T) {
		sup, rec = taskvisortest.Start(t)
		if _, err := sup.Add(t.Context(), taskvisor.Once("blocks", taskvisortest.Script(taskvisortest.Block()))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	})
	if got, want := rec.Trace("blocks"), "A S C D"; got != want {
		t.Errorf("trace after the test is %q, want %q", got, want)
	}
	if got, want := rec.Trace(""), "H V"; got != want {
		t.Errorf("the supervisor's trace is %q, want %q", got, want)
	}
}

// A test that shuts down itself has seen the error: Start does not fail it.
func TestStartLeavesTheErrorToTheTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(time.Second))
		if _, err := sup.Add(t.Context(), taskvisor.Once("late", taskvisortest.Script(taskvisortest.Ignore(time.Minute)))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var late *taskvisor.GraceExceededError
		if err := sup.Shutdown(t.Context()); !errors.As(err, &late) {
			t.Errorf("Shutdown: %v, want a GraceExceededError", err)
		}
		if got, want := rec.Trace(""), "H G"; got != want {
			t.Errorf("the supervisor's trace is %q, want %q", got, want)
		}
		time.Sleep(time.Hour)
	})
}
