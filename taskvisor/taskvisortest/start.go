package taskvisortest

import (
	"context"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Start makes a supervisor with opts and a [Recorder], starts it, and shuts it
// down when the test ends. An error of New or Start ends the test at once; an
// error of that shutdown, such as a body that outlived its grace, fails it. A
// test that expects an error calls Shutdown itself: nothing is left to do then.
//
// In a synctest bubble give it the t of the bubble: the shutdown then happens
// inside, and a body that ignores its context costs no real time.
func Start(t testing.TB, opts ...taskvisor.Option) (*taskvisor.Supervisor, *Recorder) {
	t.Helper()
	rec := &Recorder{}
	sup, err := taskvisor.New(append([]taskvisor.Option{taskvisor.WithSubscriber(rec)}, opts...)...)
	if err != nil {
		t.Fatalf("taskvisortest: New: %v", err)
	}
	// t.Context() would end before the cleanup and begin the shutdown early.
	if err := sup.Start(context.Background()); err != nil {
		t.Fatalf("taskvisortest: Start: %v", err)
	}
	t.Cleanup(func() {
		select {
		case <-sup.Done():
			return // by the test, which had the error
		default:
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Errorf("taskvisortest: shutdown at the end of the test: %v", err)
		}
	})
	return sup, rec
}
