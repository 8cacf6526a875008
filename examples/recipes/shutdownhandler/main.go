// Command shutdownhandler has an HTTP handler that shuts down the supervisor which
// runs the server.
package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// quit begins the shutdown. It must not wait for it: the shutdown waits for the
// server, which waits for this request. Because requests carry the context of the
// server's attempt, Shutdown knows, and returns ErrWouldWaitForSelf at once.
func quit(sup *taskvisor.Supervisor) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := sup.Shutdown(r.Context()); !errors.Is(err, taskvisor.ErrWouldWaitForSelf) {
			log.Print("not below the server's attempt: BaseContext is missing; ", err)
		}
		w.WriteHeader(http.StatusAccepted)
	}
}

func serve(ln net.Listener, handler http.Handler) taskvisor.Func {
	return func(ctx context.Context) error {
		srv := &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 5 * time.Second,
			BaseContext:       func(net.Listener) context.Context { return ctx }, // also ends requests that look at it
		}
		drained := make(chan error, 1)
		context.AfterFunc(ctx, func() { drained <- srv.Shutdown(context.WithoutCancel(ctx)) }) // the grace bounds it
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return <-drained
	}
}

func main() {
	ln, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		log.Fatal(err)
	}
	sup, err := taskvisor.New(taskvisor.WithSignals())
	if err != nil {
		log.Fatal(err)
	}
	if err := sup.Run(context.Background(), taskvisor.Once("http", serve(ln, quit(sup)))); err != nil {
		log.Fatal(err)
	}
}
