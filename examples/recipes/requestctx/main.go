// Command requestctx starts a task from a request whose context is used again for
// the next request, as gin, echo and fasthttp do.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

type requestID struct{}

// request is a context that a framework keeps in a pool.
type request struct {
	context.Context
	id string
}

func (r *request) Value(key any) any {
	if key == (requestID{}) {
		return r.id
	}
	return r.Context.Value(key)
}

// begin takes from the request what the task needs, before the handler returns. A
// task asks its context for values as long as it lives: given r itself, it would
// find those of whoever has r by then.
func begin(sup *taskvisor.Supervisor, r *request, work taskvisor.Func) (*taskvisor.Handle, error) {
	own := context.WithValue(context.Background(), requestID{}, r.Value(requestID{}))
	// With OpenTelemetry also: own = trace.ContextWithSpanContext(own, trace.SpanContextFromContext(r))
	return sup.Add(own, taskvisor.Once("work for "+r.id, work))
}

func main() {
	sup, err := taskvisor.New()
	if err != nil {
		log.Fatal(err)
	}
	r := &request{context.Background(), "first"}
	_, err = begin(sup, r, func(ctx context.Context) error {
		fmt.Println("working for", ctx.Value(requestID{}))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	r.id = "second" // the pool hands it to somebody else
	if err := sup.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
