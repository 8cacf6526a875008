// Command tenants keeps one configuration per tenant running. Revision 2 of a
// tenant replaces its revision 1, and starts only when that has really ended;
// other tenants run on.
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

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, w io.Writer) error {
	sup, err := taskvisor.New(taskvisor.WithName("tenants"))
	if err != nil {
		return err
	}
	if err := sup.Start(ctx); err != nil {
		return err
	}
	up := make(chan string)
	// The slot is the tenant: at most one revision of it runs at any time.
	apply := func(tenant string, revision int) (*taskvisor.Handle, error) {
		return sup.Submit(ctx, taskvisor.Submission{
			Task:      serve(tenant, revision, up),
			Slot:      tenant,
			Admission: taskvisor.Replace,
		})
	}
	first, err := apply("acme", 1)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "up:", <-up)
	other, err := apply("globex", 1)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "up:", <-up)
	if _, err := apply("acme", 2); err != nil {
		return err
	}
	fmt.Fprintln(w, "up:", <-up)

	outcome, err := first.Wait(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s ended: %s, %v\n", first.Name(), outcome.Kind, outcome.Err)
	fmt.Fprintf(w, "%s: %s\n", other.Name(), other.Status().State)
	return sup.Shutdown(ctx)
}

// serve is one revision of a tenant: it says that it is up, runs until it is
// stopped, and takes a moment to clean up.
func serve(tenant string, revision int, up chan<- string) taskvisor.TaskSpec {
	name := fmt.Sprintf("%s r%d", tenant, revision)
	return taskvisor.Restartable(name, func(ctx context.Context) error {
		select {
		case up <- name:
		case <-ctx.Done():
		}
		<-ctx.Done()
		time.Sleep(50 * time.Millisecond) // the cleanup
		return nil
	})
}
