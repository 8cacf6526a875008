package main

import (
	"context"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

func TestTaskKeepsTheValuesOfItsRequest(t *testing.T) {
	sup, _ := taskvisortest.Start(t)
	reused := make(chan struct{})
	r := &request{context.Background(), "first"}
	h, err := begin(sup, r, taskvisor.Returning(func(ctx context.Context) (any, error) {
		<-reused
		return ctx.Value(requestID{}), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	r.id = "second"
	close(reused)
	if id, err := taskvisor.Await[any](t.Context(), h); err != nil || id != "first" {
		t.Errorf("worked for %v, %v", id, err)
	}
}

func Example() {
	main()
	// Output: working for first
}
