package taskvisor_test

import (
	"context"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// eventFields says, for each kind, which fields are set, and, behind the bar,
// which may be. Seq, Time, Kind and Supervisor always are.
var eventFields = map[taskvisor.EventKind]string{
	taskvisor.TaskAdded:           "Task TaskID | Slot Admission Duration",
	taskvisor.TaskGated:           "Task TaskID Attempt Gate",
	taskvisor.TaskReady:           "Task TaskID Attempt | Duration",
	taskvisor.TaskRecovered:       "Task TaskID Attempt | Duration",
	taskvisor.BodyReturned:        "Task TaskID Attempt Result | Duration Err Reason",
	taskvisor.TaskAddFailed:       "Task Reason",
	taskvisor.TaskStarting:        "Task TaskID Attempt | Timeout Duration",
	taskvisor.TimeoutHit:          "Task TaskID Attempt Timeout Duration",
	taskvisor.TaskStuck:           "Task TaskID Attempt Duration | Reason Stack",
	taskvisor.TaskStopped:         "Task TaskID Attempt Result | Duration",
	taskvisor.TaskFailed:          "Task TaskID Attempt Result Err | Duration Stack",
	taskvisor.TaskCanceled:        "Task TaskID Attempt Result Err Reason | Duration",
	taskvisor.BackoffScheduled:    "Task TaskID Attempt Source | Delay Err",
	taskvisor.TaskRemoveRequested: "Task TaskID Reason | Attempt",
	taskvisor.ActorExhausted:      "Task TaskID Attempt Outcome | Err",
	taskvisor.ActorDead:           "Task TaskID Attempt Outcome Err",
	taskvisor.TaskAbandoned:       "Task TaskID Outcome Reason Err | Attempt Duration Stack",
	taskvisor.TaskReturned:        "Task TaskID | Attempt Duration",
	taskvisor.TaskRemoved:         "Task TaskID Outcome | Attempt Reason Err",

	taskvisor.ControllerSubmitted:      "Task TaskID Slot Verdict | Admission Owner Queued Reason",
	taskvisor.ControllerRejected:       "Task TaskID Slot Reason | Admission Duration Err",
	taskvisor.ControllerSlotTransition: "Slot From To | Owner Queued Task TaskID",

	taskvisor.ShutdownRequested:     "Err",
	taskvisor.AllStoppedWithinGrace: "| Duration",
	taskvisor.GraceExceeded:         "Err | Duration",
	taskvisor.SubscriberPanicked:    "Subscriber Err | Stack",
}

// Nothing in an event needs parsing, and nothing is in it that its kind does not
// announce: looked at over some hundred random lives.
func TestEventsSetTheirFields(t *testing.T) {
	first := rand.Uint64()
	t.Logf("seeds from %d", first)
	seen := map[taskvisor.EventKind]bool{}
	for n := range uint64(300) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, first+n)
			w.live()
			for _, e := range w.rec.Events() {
				seen[e.Kind] = true
				checkFields(t, first+n, e)
			}
		})
	}
	bubble(t, func(t *testing.T) {
		sup, rec := newSup(t, taskvisor.WithSubscriber(queuedFunc(func(context.Context, taskvisor.Event) { panic(1) })))
		if err := sup.Run(context.Background(), taskvisor.Once("a", // long enough for the panic to be reported before the verdict
			taskvisortest.Script(taskvisortest.After(time.Second, taskvisortest.Succeed())))); err != nil {
			t.Fatal(err)
		}
		for _, e := range rec.Events() {
			seen[e.Kind] = true
			checkFields(t, 0, e)
		}
	})
	bubble(t, func(t *testing.T) { // an abandoned body that comes back
		sup, rec := taskvisortest.Start(t)
		h := addTo(t, sup, taskvisor.Once("a", taskvisortest.Script(taskvisortest.Ignore(time.Minute)), taskvisor.WithGrace(time.Second)))
		synctest.Wait()
		h.Stop()
		time.Sleep(time.Hour)
		for _, e := range rec.Events() {
			seen[e.Kind] = true
			checkFields(t, 0, e)
		}
	})
	for kind := range eventFields {
		if kind == taskvisor.BodyReturned || kind == taskvisor.TaskReady {
			continue // TestReleaseOnAbandon and TestReadiness see them
		}
		if !seen[kind] {
			t.Errorf("no %v in all these lives", kind)
		}
	}
}

func checkFields(t *testing.T, seed uint64, e taskvisor.Event) {
	t.Helper()
	must, may, _ := strings.Cut(eventFields[e.Kind], "|")
	required := append(strings.Fields(must), "Seq", "Time", "Kind", "Supervisor")
	v := reflect.ValueOf(e)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		set, want := !v.Field(i).IsZero(), slices.Contains(required, f.Name)
		switch {
		case set && !want && !slices.Contains(strings.Fields(may), f.Name):
			t.Errorf("seed %d: %s is set in %v", seed, f.Name, e)
		case !set && want:
			t.Errorf("seed %d: %s is not set in %v", seed, f.Name, e)
		}
	}
}
