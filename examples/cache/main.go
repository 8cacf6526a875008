// Command cache keeps prices fresh: every minute, and at once when somebody asks.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() {
	sup, err := taskvisor.New(taskvisor.WithSignals())
	if err != nil {
		log.Fatal(err)
	}
	refresh, err := sup.Add(context.Background(), taskvisor.Periodic("refresh", time.Minute, load, taskvisor.WithTimeout(10*time.Second)))
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Addr: "127.0.0.1:8080", Handler: steer(refresh), ReadHeaderTimeout: time.Second}
	go func() { log.Fatal(srv.ListenAndServe()) }()
	if err := sup.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// steer serves POST /run, /pause and /resume, which say whether they changed anything.
func steer(task *taskvisor.Handle) http.Handler {
	mux := http.NewServeMux()
	for path, act := range map[string]func(error) bool{"run": task.RunNow, "pause": task.Pause, "resume": task.Resume} {
		mux.HandleFunc("POST /"+path, func(w http.ResponseWriter, r *http.Request) {
			was := task.Status()
			done := act(fmt.Errorf("asked by %s", r.RemoteAddr)) // stands on the event
			fmt.Fprintf(w, "%s: %t (was %s after %d attempts)\n", path, done, was.State, was.Attempt)
		})
	}
	return mux
}

func load(context.Context) error { return nil } // asks the database
