// Command probes answers /livez and /readyz for a platform such as Kubernetes.
package main

import (
	"context"
	"log"
	"net/http"
	"time"

	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() {
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "consumer"))
	sup, err := taskvisor.New(taskvisor.WithSignals(), taskvisor.WithPreStopDelay(3*time.Second), taskvisor.WithSubscriber(health))
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Addr: "127.0.0.1:8080", Handler: probes(health), ReadHeaderTimeout: time.Second}
	go func() { log.Fatal(srv.ListenAndServe()) }()
	if err := sup.Run(context.Background(), taskvisor.Restartable("consumer", consume, taskvisor.WithReadiness())); err != nil {
		log.Fatal(err)
	}
}

// probes serves /livez, whether a restart of the process would help, and /readyz,
// whether it should be given work: not before the consumer was ready once, and not
// from the signal on.
func probes(health *healthsub.Health) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/livez", health.Live())
	mux.Handle("/readyz", health.Ready())
	return mux
}

func consume(ctx context.Context) error {
	time.Sleep(2 * time.Second) // connects to the broker
	taskvisor.Ready(ctx)
	<-ctx.Done()
	return nil
}
