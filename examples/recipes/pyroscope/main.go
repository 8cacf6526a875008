// Command pyroscope pushes profiles to Pyroscope, in which every sample says whose
// it is.
package main

import (
	"context"
	"crypto/sha256"
	"log"
	"os"
	"runtime/pprof"

	"github.com/grafana/pyroscope-go"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() {
	profiler, err := pyroscope.Start(pyroscope.Config{
		ApplicationName: "shop",
		ServerAddress:   os.Getenv("PYROSCOPE_URL"),
		ProfileTypes:    []pyroscope.ProfileType{pyroscope.ProfileCPU},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		if err := profiler.Stop(); err != nil { // sends what it has
			log.Print(err)
		}
	}()
	sup, err := taskvisor.New(taskvisor.WithName("shop"), taskvisor.WithSignals())
	if err != nil {
		log.Fatal(err)
	}
	if err := sup.Run(context.Background(), taskvisor.Restartable("hash", hash)); err != nil {
		log.Print(err)
	}
}

// hash works under the labels taskvisor_supervisor, taskvisor_task (the kind, if it
// has one) and taskvisor_task_id without doing anything for it: in Pyroscope a query
// by them is {taskvisor_task="hash"}. pprof.Do adds labels of its own, and so does
// pyroscope.TagWrapper.
func hash(ctx context.Context) error {
	pprof.Do(ctx, pprof.Labels("algorithm", "sha256"), func(ctx context.Context) {
		for ctx.Err() == nil {
			sha256.Sum256(make([]byte, 1<<16))
		}
	})
	return nil
}
