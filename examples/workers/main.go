// Command workers drains a queue with three supervised workers. A job that panics
// costs its worker a restart, and is set aside when it does so again; Ctrl-C lets
// the jobs in hand finish, and a second Ctrl-C does not. Every job is accounted for.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// job is one piece of work.
type job int

func main() {
	queue := make(chan job, 12)
	for i := range cap(queue) {
		queue <- job(i)
	}
	close(queue)
	aside, err := run(context.Background(), queue, os.Stdout)
	fmt.Println("set aside:", aside, "left in the queue:", len(queue))
	if err != nil {
		log.Fatal(err)
	}
}

// run works queue off until it is closed and empty, or until ctx or a signal
// ends it. It returns the jobs that were taken from the queue and not finished.
func run(ctx context.Context, queue <-chan job, w io.Writer) (aside []job, err error) {
	sup, err := taskvisor.New(
		taskvisor.WithName("workers"),
		taskvisor.WithSignals(),            // SIGINT and SIGTERM stop gracefully, a second one at once
		taskvisor.WithGrace(2*time.Second), // what a job in hand gets
		taskvisor.WithTaskDefaults(taskvisor.ConstantBackoff(100*time.Millisecond)),
	)
	if err != nil {
		return nil, err
	}
	workers := make([]*worker, 3)
	specs := make([]taskvisor.TaskSpec, len(workers))
	for i := range workers {
		workers[i] = &worker{name: fmt.Sprintf("worker %d", i+1), queue: queue, w: w}
		specs[i] = taskvisor.Restartable(workers[i].name, workers[i].run)
	}
	err = sup.Run(ctx, specs...)
	if errors.As(err, new(*taskvisor.GraceExceededError)) {
		return nil, err // a body still runs: its worker must not be looked at
	}
	for _, worker := range workers {
		aside = append(aside, worker.leave()...)
	}
	return aside, err
}

// worker is what outlives the attempts of its task, which never overlap.
type worker struct {
	name   string
	queue  <-chan job
	w      io.Writer
	inHand job
	tries  int   // of inHand; 0: nothing is in hand
	aside  []job // that cannot be done
}

// run takes jobs until there are none. Stopping it is seen between jobs: the job in
// hand is not given ctx and finishes. After a panic the next attempt finds the job
// still in hand.
func (wk *worker) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if wk.tries == 0 {
			select {
			case j, ok := <-wk.queue:
				if !ok {
					return nil // no more jobs: this worker is done
				}
				wk.inHand = j
			case <-ctx.Done():
				continue
			}
		}
		if wk.tries == 2 {
			fmt.Fprintf(wk.w, "%s: job %d panicked twice, set aside\n", wk.name, wk.inHand)
			wk.aside, wk.tries = append(wk.aside, wk.inHand), 0
			continue
		}
		wk.tries++
		if err := wk.inHand.do(wk.tries); err != nil {
			// The job's failure, not the worker's: a real queue would take it back.
			fmt.Fprintf(wk.w, "%s: job %d: %v, set aside\n", wk.name, wk.inHand, err)
			wk.aside = append(wk.aside, wk.inHand)
		} else {
			fmt.Fprintf(wk.w, "%s: job %d done\n", wk.name, wk.inHand)
		}
		wk.tries = 0
	}
	return nil // stopped
}

// leave returns what the worker did not finish, the job of a panic that it was
// stopped after among it. Its task has ended.
func (wk *worker) leave() []job {
	if wk.tries > 0 {
		return append(wk.aside, wk.inHand)
	}
	return wk.aside
}

// do does the job: a try, of which the first is 1.
func (j job) do(try int) error {
	time.Sleep(50 * time.Millisecond)
	switch {
	case j%10 == 4:
		return errors.New("bad input")
	case j%10 == 7, j%10 == 9 && try == 1:
		panic(fmt.Sprintf("job %d hit a bug", j))
	}
	return nil
}
