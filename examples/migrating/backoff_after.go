package migrating

import (
	"context"
	"errors"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// sup is there already in a program that uses taskvisor.
func backoffAfter(ctx context.Context, sup *taskvisor.Supervisor, dial func(context.Context) (string, error)) (string, error) {
	h, err := sup.Add(ctx, taskvisor.Restartable("dial", taskvisor.Returning(func(ctx context.Context) (string, error) {
		conn, err := dial(ctx)
		if errors.Is(err, errForbidden) {
			return "", taskvisor.Fatal(err)
		}
		return conn, err
	}), taskvisor.ExponentialBackoff(200*time.Millisecond, 30*time.Second), taskvisor.WithMaxRetries(4)))
	if err != nil {
		return "", err
	}
	defer context.AfterFunc(ctx, func() { h.StopFor(context.Cause(ctx)) })() // Add takes the values of ctx, not its end
	return taskvisor.Await[string](ctx, h)
}
