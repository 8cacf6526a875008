// Command ratelimit lets the attempts of many tasks begin at a common rate.
package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// limiter is a gate. A task that comes too early keeps its place in the line.
type limiter struct {
	*rate.Limiter
	turns sync.Map // of those that wait: task id to *rate.Reservation
}

func (l *limiter) String() string { return "rate" }

func (l *limiter) Enter(a taskvisor.Attempt, ready func()) bool {
	turn, waited := l.turns.LoadAndDelete(a.TaskID)
	if !waited {
		turn = l.Reserve()
	}
	d := turn.(*rate.Reservation).Delay()
	if d > 0 {
		l.turns.Store(a.TaskID, turn)
		time.AfterFunc(d, ready)
	}
	return d == 0
}

func (l *limiter) Leave(a taskvisor.Attempt) {
	if turn, waits := l.turns.LoadAndDelete(a.TaskID); waits {
		turn.(*rate.Reservation).Cancel() // it was stopped: somebody else may have the turn
	}
}

func main() {
	gate := &limiter{Limiter: rate.NewLimiter(5, 2)} // five a second, two at once
	sup, err := taskvisor.New(taskvisor.WithTaskDefaults(taskvisor.WithGate(gate)))
	if err == nil {
		err = sup.Run(context.Background(), calls(6)...)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func calls(n int) (specs []taskvisor.TaskSpec) {
	for i := range n {
		specs = append(specs, taskvisor.Once(fmt.Sprint("call ", i+1), call))
	}
	return specs
}
