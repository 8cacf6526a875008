package livesub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// TestRejectedSubmissionsAreForgottenFirst: they have ended, whether at once or after a
// wait, and push out nobody who lives.
func TestRejectedSubmissionsAreForgottenFirst(t *testing.T) {
	for _, policy := range []taskvisor.Admission{taskvisor.DropIfRunning, taskvisor.Coalesce} {
		page := livesub.New(livesub.WithMaxHistory(11)) // the owner of the slot, and who waits for it, live too
		started(t, page, func(sup *taskvisor.Supervisor) {
			for i := range 9 {
				add(t, sup, taskvisor.Restartable(fmt.Sprint("resident", i), block))
			}
			for i := range 120 {
				_, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once(fmt.Sprint("t", i), block), Slot: "s", Admission: policy})
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if got := sup.Snapshot().Rejected; got < 118 {
				t.Fatalf("%d were rejected", got)
			}
			for i := range 9 {
				if d := look(t, page, fmt.Sprint("&task=resident", i)).Task; len(d.Events) == 0 {
					t.Errorf("%s: %s is forgotten", policy, d.Name)
				}
			}
		})
	}
}

// TestLateEventsPushOutNobody: what ends a task that was forgotten already is no life.
func TestLateEventsPushOutNobody(t *testing.T) {
	ctx := context.Background()
	page := livesub.New(livesub.WithMaxHistory(3))
	s := taskvisor.Snapshot{Supervisor: "shop", Time: time.Now(), State: taskvisor.SupervisorRunning}
	_ = page.Attach(func() taskvisor.Snapshot { return s })
	seq := uint64(0)
	event := func(id taskvisor.TaskID, kind taskvisor.EventKind) {
		seq++
		page.OnEvent(ctx, taskvisor.Event{Seq: seq, Time: time.Now(), Supervisor: "shop", Task: fmt.Sprint("t", id), TaskID: id, Kind: kind})
	}
	for id := taskvisor.TaskID(1); id <= 3; id++ {
		event(id, taskvisor.TaskAdded)
		s.Tasks = append(s.Tasks, taskvisor.TaskStatus{ID: id, Name: fmt.Sprint("t", id), State: taskvisor.StateRunning})
	}
	for id := taskvisor.TaskID(10); id < 20; id++ {
		event(id, taskvisor.TaskRemoved)
		event(id, taskvisor.BodyReturned)
		event(id, taskvisor.ControllerRejected)
	}
	for _, st := range s.Tasks {
		if d := look(t, page, "&task="+st.Name).Task; len(d.Events) != 1 {
			t.Errorf("%s is forgotten", st.Name)
		}
	}
}

// refuses is a subscriber that cannot be attached.
type refuses struct{}

func (refuses) OnEvent(context.Context, taskvisor.Event) {}
func (refuses) Attach(func() taskvisor.Snapshot) error   { return errors.New("refused") }

// A supervisor that could not be made is not shown.
func TestNewFails(t *testing.T) {
	page := livesub.New()
	made, err := taskvisor.New(taskvisor.WithName("made"), taskvisor.WithSubscriber(page))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := taskvisor.New(taskvisor.WithName("refused"), taskvisor.WithSubscriber(page), taskvisor.WithSubscriber(refuses{})); err == nil {
		t.Fatal("nobody refused")
	}
	if text := get(t, page, "/?format=json"); strings.Contains(text, `"refused"`) || !strings.Contains(text, `"made"`) {
		t.Errorf("the page shows %s", text)
	}
	if err := made.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
