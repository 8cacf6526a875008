package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// accept answers an order after a moment, in which Ctrl-C may come.
func accept(orders chan<- string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		order, err := io.ReadAll(io.LimitReader(r.Body, 64))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		log.Printf("order of %s", order)
		time.Sleep(500 * time.Millisecond)
		orders <- string(order)
		w.WriteHeader(http.StatusAccepted)
	}
}

// database is open while its attempt runs, and closed at its end.
type database struct{ open bool }

func (d *database) run(ctx context.Context) error {
	d.open = true
	taskvisor.Ready(ctx)
	<-ctx.Done()
	d.open = false
	log.Print("database closed")
	return nil
}

func (d *database) write(order string) {
	time.Sleep(100 * time.Millisecond)
	if !d.open {
		panic("written to a closed database: " + order)
	}
	log.Printf("%s is in the database", order)
}
