// Command order takes orders by HTTP, which a worker writes to a database. Ctrl-C
// drains the server, then has the worker finish, then closes the database.
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

func main() {
	if err := run(context.Background(), "127.0.0.1:8080"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string) error {
	sup, err := taskvisor.New(taskvisor.WithSignals())
	if err != nil {
		return err
	}
	orders, database := make(chan string, 8), new(database)
	return sup.Run(ctx,
		taskvisor.Restartable("database", database.run, taskvisor.WithReadiness()),
		taskvisor.Restartable("worker", func(ctx context.Context) error {
			for ctx.Err() == nil || len(orders) > 0 { // the server has ended: what waits now is all
				select {
				case order := <-orders:
					database.write(order)
				case <-ctx.Done():
				}
			}
			return nil
		}, taskvisor.After("database")),
		taskvisor.Restartable("server", func(ctx context.Context) error {
			ln, err := net.Listen("tcp", addr) // in the body: a restart listens again
			if err != nil {
				return err
			}
			log.Print("listening on ", ln.Addr())
			srv := &http.Server{Handler: accept(orders), ReadHeaderTimeout: 5 * time.Second}
			drained := make(chan error, 1)
			context.AfterFunc(ctx, func() {
				grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
				defer cancel()
				drained <- srv.Shutdown(grace)
			})
			if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return <-drained
		}, taskvisor.After("worker")),
	)
}
