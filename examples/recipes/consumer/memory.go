package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// memory is a queue that lives in the process; at its end the consumer has
// succeeded.
type memory chan message

func newMemory(bodies ...string) memory {
	q := make(memory, len(bodies))
	for i, body := range bodies {
		q <- message{ID: strconv.Itoa(i + 1), Body: body}
	}
	close(q)
	return q
}

func (q memory) Receive(ctx context.Context) (message, error) {
	select {
	case m, ok := <-q:
		if !ok {
			return m, taskvisor.ErrCanceled // no more, ever: the consumer ends itself
		}
		return m, nil
	case <-ctx.Done():
		return message{}, context.Cause(ctx)
	}
}

func (memory) Ack(m message)                   { fmt.Println("done with", m.ID) }
func (memory) Nack(m message)                  { fmt.Println("given back:", m.ID) }
func (memory) DeadLetter(m message, why error) { fmt.Println("set aside:", m.ID, why) }
