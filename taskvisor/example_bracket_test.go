package taskvisor_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

type requestID struct{}

// ids surrounds each attempt: it puts an id into the context of the body, as a
// tracer would put a span, and sees how the attempt ended.
type ids struct {
	mu   sync.Mutex
	last int
}

func (*ids) OnEvent(context.Context, taskvisor.Event) {}

func (s *ids) BeginAttempt(ctx context.Context, _ taskvisor.Attempt) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	return context.WithValue(ctx, requestID{}, s.last)
}

func (s *ids) EndAttempt(ctx context.Context, a taskvisor.Attempt, r taskvisor.Result) {
	fmt.Printf("id %v: attempt %d of %s: %v\n", ctx.Value(requestID{}), a.Number, a.Task, r.Kind)
}

// A subscriber that is also an AttemptBracket is called around every attempt, on
// its goroutine.
func ExampleAttemptBracket() {
	sup, _ := taskvisor.New(taskvisor.WithSubscriber(&ids{}))
	err := sup.Run(context.Background(), taskvisor.Restartable("job", func(ctx context.Context) error {
		id := ctx.Value(requestID{}).(int)
		fmt.Println("working under id", id)
		if id == 1 {
			panic("half way through")
		}
		return nil
	}, taskvisor.BackoffPolicy{}))
	fmt.Println(err)
	// Output:
	// working under id 1
	// id 1: attempt 1 of job: panic
	// working under id 2
	// id 2: attempt 2 of job: success
	// <nil>
}
