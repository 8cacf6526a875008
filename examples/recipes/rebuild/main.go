// Command rebuild makes a supervisor anew, under the name and in the registry of the
// one before: for each session, say, or after a change of configuration.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// session runs a supervisor from its making to its end. The counters of the next one
// of its name go on from there. Close says that this one will not run any more: without
// it the last session would be shown as stopped for ever, and one that was made and
// never run would keep the name, so that New refused the next.
func session(ctx context.Context, reg prometheus.Registerer, specs ...taskvisor.TaskSpec) error {
	metrics := promsub.New(reg)
	defer metrics.Close() // its series stay for five minutes, so that the end is scraped
	sup, err := taskvisor.New(taskvisor.WithName("session"), taskvisor.WithSubscriber(metrics))
	if err != nil {
		return err
	}
	return sup.Run(ctx, specs...)
}

func main() {
	reg := prometheus.NewRegistry()
	outer, err := taskvisor.New(taskvisor.WithSignals())
	if err != nil {
		log.Fatal(err)
	}
	// A supervisor runs once. The body makes the next one, whenever the last has failed.
	err = outer.Run(context.Background(), taskvisor.Restartable("sessions", func(ctx context.Context) error {
		return session(ctx, reg, taskvisor.Once("work", func(ctx context.Context) error {
			fmt.Println("a session")
			time.Sleep(time.Second)
			return errors.New("disconnected")
		}))
	}, taskvisor.WithMaxRetries(2)))
	if err != nil {
		log.Fatal(err)
	}
}
