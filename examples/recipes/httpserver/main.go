// Command httpserver is an HTTP server as a task: it listens again after a failure
// and answers what it has when it is stopped.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
	sup, err := taskvisor.New(taskvisor.WithSignals())
	if err != nil {
		log.Fatal(err)
	}
	server := taskvisor.Restartable("http", serve("127.0.0.1:8080", http.DefaultServeMux), taskvisor.WithReadiness())
	if err := sup.Run(context.Background(), server); err != nil {
		log.Fatal(err)
	}
}

// serve listens in the body, so that an address in use is a failure like others and
// a restart listens anew.
func serve(addr string, handler http.Handler) taskvisor.Func {
	return func(ctx context.Context) error {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		taskvisor.Ready(ctx)
		srv := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
		drained := make(chan error, 1)
		context.AfterFunc(ctx, func() { drained <- drain(ctx, srv) })
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err // it broke
		}
		return <-drained // ErrServerClosed means that drain is at work, not that it is done
	}
}

// drain lets srv answer the requests that it has, as long as the grace allows.
func drain(ctx context.Context, srv *http.Server) error {
	until, _ := taskvisor.StopDeadline(ctx)
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), until.Add(-time.Second))
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		return errors.Join(err, srv.Close()) // what is left is cut off, and said
	}
	return nil
}
