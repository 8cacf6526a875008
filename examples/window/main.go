// Command window keeps a periodic task out of a maintenance window.
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

// window is a gate that is closed from one time of day to another, in UTC.
type window struct{ from, to time.Duration }

func (w window) Enter(_ taskvisor.Attempt, ready func()) bool {
	now := time.Now().UTC()
	midnight := now.Truncate(24 * time.Hour)
	if now.Before(midnight.Add(w.from)) || !now.Before(midnight.Add(w.to)) {
		return true
	}
	time.AfterFunc(midnight.Add(w.to).Sub(now), ready) // ask again then
	return false
}

func (window) Leave(taskvisor.Attempt) {}
func (window) String() string          { return "maintenance" }

func main() {
	now := time.Since(time.Now().UTC().Truncate(24 * time.Hour))
	w := window{from: now + time.Second, to: now + 2*time.Second} // your program: 2*time.Hour, 4*time.Hour
	ctx, cancel := context.WithTimeout(context.Background(), 2700*time.Millisecond)
	defer cancel()
	if err := run(ctx, w, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, w window, out io.Writer) error {
	sup, err := taskvisor.New(taskvisor.WithSignals(), taskvisor.WithTaskDefaults(taskvisor.WithGate(w)))
	if err != nil {
		return err
	}
	began := time.Now()
	return sup.Run(ctx, taskvisor.Periodic("sync", 300*time.Millisecond, func(ctx context.Context) error {
		a, _ := taskvisor.FromContext(ctx)
		fmt.Fprintf(out, "%.1fs: attempt %d, held back for %.1fs\n", time.Since(began).Seconds(), a.Number, a.PermitWait.Seconds())
		return nil
	}))
}
