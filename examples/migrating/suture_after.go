package migrating

import (
	"context"
	"time"

	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func sutureAfter(ctx context.Context, consume func(context.Context) error) error {
	app, err := taskvisor.New(
		taskvisor.WithName("app"),
		taskvisor.WithGrace(20*time.Second),
		taskvisor.WithSubscriber(slogsub.New(nil)),
	)
	if err != nil {
		return err
	}
	return app.Run(ctx,
		taskvisor.Restartable("consumer", consume, taskvisor.RestartAlways(0)), // also after nil
	)
}
