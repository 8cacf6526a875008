// Command quickstart is the program of the repository's README.
package main

import (
	"context"
	"errors"
	"log"
	"time"

	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() {
	sup, err := taskvisor.New(
		taskvisor.WithSignals(),                    // Ctrl-C and SIGTERM stop gracefully
		taskvisor.WithSubscriber(slogsub.New(nil)), // events as log lines
	)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // so that this example ends
	defer cancel()
	tries := 0
	err = sup.Run(ctx,
		taskvisor.Periodic("refresh", time.Second, func(ctx context.Context) error { return nil }),
		taskvisor.Restartable("connect", func(ctx context.Context) error {
			if tries++; tries < 3 {
				return errors.New("refused") // tried again after 100 to 200 ms, then 200 to 400
			}
			<-ctx.Done()
			return nil
		}, taskvisor.WithMaxRetries(3)),
	)
	if err != nil {
		log.Fatal(err)
	}
}
