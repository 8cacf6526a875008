// Command workers drains a queue with three supervised workers. A job that
// panics costs its worker a restart, not the process; Ctrl-C lets the jobs in
// hand finish, and a second Ctrl-C does not. It ends when the queue is empty.
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
	queue := make(chan job, 30)
	for i := range cap(queue) {
		queue <- job(i)
	}
	close(queue)
	if err := run(context.Background(), queue, os.Stdout); err != nil {
		log.Fatal(err)
	}
	fmt.Println("jobs left in the queue:", len(queue))
}

// run works queue off until it is closed and empty, or until ctx or a signal
// ends it.
func run(ctx context.Context, queue <-chan job, w io.Writer) error {
	sup, err := taskvisor.New(
		taskvisor.WithName("workers"),
		taskvisor.WithSignals(),            // SIGINT and SIGTERM stop gracefully, a second one at once
		taskvisor.WithGrace(2*time.Second), // what a job in hand gets
		taskvisor.WithTaskDefaults(taskvisor.ConstantBackoff(100*time.Millisecond)),
	)
	if err != nil {
		return err
	}
	var workers []taskvisor.TaskSpec
	for i := range 3 {
		workers = append(workers, worker(fmt.Sprintf("worker %d", i+1), queue, w))
	}
	return sup.Run(ctx, workers...)
}

// worker takes jobs until there are none. Stopping it is seen between jobs: the
// job in hand is not given ctx and finishes.
func worker(name string, queue <-chan job, w io.Writer) taskvisor.TaskSpec {
	return taskvisor.Restartable(name, func(ctx context.Context) error {
		for ctx.Err() == nil {
			select {
			case j, ok := <-queue:
				if !ok {
					return nil // no more jobs: this worker is done
				}
				if err := j.do(); err != nil {
					// The job's failure, not the worker's: a real queue would take it back.
					fmt.Fprintf(w, "%s: job %d: %v\n", name, j, err)
					continue
				}
				fmt.Fprintf(w, "%s: job %d done\n", name, j)
			case <-ctx.Done():
			}
		}
		return context.Cause(ctx)
	})
}

func (j job) do() error {
	time.Sleep(50 * time.Millisecond)
	switch {
	case j%10 == 4:
		return errors.New("bad input")
	case j%10 == 7:
		panic(fmt.Sprintf("job %d hit a bug", j))
	}
	return nil
}
