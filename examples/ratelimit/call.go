package main

import (
	"context"
	"log"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// call is the work that somebody else limits.
func call(ctx context.Context) error {
	a, _ := taskvisor.FromContext(ctx)
	log.Printf("%s waited %.1fs", a.Task, a.PermitWait.Seconds())
	return nil
}
