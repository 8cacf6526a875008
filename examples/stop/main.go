// Command stop starts three parts in order and stops them in the opposite one.
package main

import (
	"context"
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
	sup, err := taskvisor.New(taskvisor.WithSignals())
	if err != nil {
		log.Fatal(err)
	}
	if err := sup.Run(ctx, parts(os.Stdout)...); err != nil {
		log.Fatal(err)
	}
}

func parts(w io.Writer) []taskvisor.TaskSpec {
	part := func(name string, needs ...string) taskvisor.TaskSpec {
		return taskvisor.Restartable(name, func(ctx context.Context) error {
			fmt.Fprintln(w, name, "is up")
			taskvisor.Ready(ctx) // only now may begin what needs it
			<-ctx.Done()
			time.Sleep(100 * time.Millisecond) // finishes what is in hand
			fmt.Fprintln(w, name, "is down")
			return nil
		}, taskvisor.WithReadiness(), taskvisor.After(needs...))
	}
	return []taskvisor.TaskSpec{part("server", "worker"), part("worker", "database"), part("database")}
}
