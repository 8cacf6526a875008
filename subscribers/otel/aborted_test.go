package otelsub_test

import (
	"context"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// stopper stops each task while its attempt's brackets are being begun.
type stopper struct{ sup **taskvisor.Supervisor }

func (stopper) OnEvent(context.Context, taskvisor.Event) {}

func (s stopper) BeginAttempt(ctx context.Context, a taskvisor.Attempt) context.Context {
	if h, ok := (*s.sup).Lookup(a.Task); ok {
		h.Stop()
	}
	return ctx
}

func (stopper) EndAttempt(context.Context, taskvisor.Attempt, taskvisor.Result) {}

// TestAbortedAttempt: the span of an attempt whose body was not called, since a stop came
// first, says so: no event tells of it, so that no metric and no log can.
func TestAbortedAttempt(t *testing.T) {
	var sup *taskvisor.Supervisor
	inRig(t, nil, []taskvisor.Option{taskvisor.WithSubscriber(stopper{&sup})}, func(r *rig) {
		sup = r.sup
		h := r.add(context.Background(), taskvisor.Once("job", func(context.Context) error {
			t.Error("the body was called")
			return nil
		}))
		if _, err := h.Wait(r.Context()); err != nil {
			t.Fatal(err)
		}
		spans := r.spans.Ended()
		if len(spans) != 1 {
			t.Fatalf("%d spans", len(spans))
		}
		got := map[string]string{}
		for _, a := range spans[0].Attributes() {
			got[string(a.Key)] = a.Value.String()
		}
		if got["taskvisor.attempt.aborted"] != "true" || got["taskvisor.attempt.result"] != "canceled" || got["taskvisor.cancel.cause"] != "removed" {
			t.Errorf("attributes %q", got)
		}
	})
}
