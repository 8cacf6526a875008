// Command consumer takes messages from a queue. Each message is a task of its own,
// so that each has its own retries, and one that cannot be handled is set aside.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// message and queue are what a broker's client library offers.
type message struct{ ID, Body string }

type queue interface {
	Receive(ctx context.Context) (message, error)
	Ack(m message)                   // it is done
	Nack(m message)                  // somebody else may have it
	DeadLetter(m message, why error) // nobody should try it again
}

// consume takes messages, of which at most atOnce are in hand.
func consume(sup *taskvisor.Supervisor, q queue, atOnce int, handle func(context.Context, message) error) taskvisor.Func {
	return func(ctx context.Context) error {
		inHand := make(chan struct{}, atOnce)
		for {
			select {
			case inHand <- struct{}{}:
			case <-ctx.Done():
				return nil // those in hand are waited for: they are children of this attempt
			}
			m, err := q.Receive(ctx)
			if err != nil {
				return err // the connection's failure, and a restart of this task
			}
			h, err := sup.Add(ctx, taskvisor.Restartable("message "+m.ID,
				func(ctx context.Context) error { return handle(ctx, m) },
				taskvisor.WithKind("message"), // one metric series for all of them
				taskvisor.WithMaxRetries(2), taskvisor.WithTimeout(30*time.Second)))
			if err != nil {
				q.Nack(m)
				return err
			}
			if err := taskvisor.Go(ctx, func(ctx context.Context) {
				settle(ctx, q, m, h)
				<-inHand
			}); err != nil {
				return err
			}
		}
	}
}

// settle tells the broker how it ended. The outcome comes in any case, at the
// latest with the end of the grace.
func settle(ctx context.Context, q queue, m message, h *taskvisor.Handle) {
	outcome, err := h.Wait(context.WithoutCancel(ctx))
	switch {
	case err == nil && outcome.Kind == taskvisor.OutcomeCompleted:
		q.Ack(m)
	case err == nil && (outcome.Kind == taskvisor.OutcomeFailed || outcome.Kind == taskvisor.OutcomeFatal):
		q.DeadLetter(m, outcome.Err) // poison: three attempts, or one that was Fatal
	default:
		q.Nack(m) // stopped
	}
}

func main() {
	sup, err := taskvisor.New(taskvisor.WithSignals(), taskvisor.WithTaskDefaults(taskvisor.ConstantBackoff(100*time.Millisecond)))
	if err != nil {
		log.Fatal(err)
	}
	q := newMemory("tea", "poison", "not json", "coffee")
	if err := sup.Run(context.Background(), taskvisor.Restartable("consumer", consume(sup, q, 10, handle))); err != nil {
		log.Fatal(err)
	}
}

func handle(_ context.Context, m message) error {
	switch m.Body {
	case "poison":
		panic("a bug that this message finds")
	case "not json":
		return taskvisor.Fatal(errors.New("not json")) // no retry will help
	}
	fmt.Println("handled", m.Body)
	return nil
}
