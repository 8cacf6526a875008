// Command restforone restarts what was started after the task that failed, and
// nothing else.
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

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // so that it ends without Ctrl-C
	defer cancel()
	sup, err := taskvisor.New(taskvisor.WithSignals(), taskvisor.WithSubscriber(taskvisor.Discard))
	if err != nil {
		log.Fatal(err)
	}
	if err := sup.Run(ctx, tree(os.Stdout)...); err != nil {
		log.Fatal(err)
	}
}

// tree is metrics ← connection ← cache ← api, where the connection breaks once.
func tree(w io.Writer) []taskvisor.TaskSpec {
	part := func(name string, breaks bool, needs ...string) taskvisor.TaskSpec {
		return taskvisor.Restartable(name, func(ctx context.Context) error {
			a, _ := taskvisor.FromContext(ctx)
			fmt.Fprintf(w, "%s: attempt %d\n", name, a.Number)
			taskvisor.Ready(ctx)
			if breaks && a.Number == 1 {
				time.Sleep(300 * time.Millisecond)
				fmt.Fprintf(w, "%s: broken\n", name)
				return errors.New("connection reset")
			}
			<-ctx.Done()
			return nil
		}, taskvisor.WithReadiness(), taskvisor.BoundTo(needs...), taskvisor.ConstantBackoff(100*time.Millisecond))
	}
	return []taskvisor.TaskSpec{
		part("metrics", false),
		part("connection", true, "metrics"),
		part("cache", false, "connection"),
		part("api", false, "cache"),
	}
}
