package migrating

import (
	"context"

	"github.com/robfig/cron/v3"

	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func cronAfter(ctx context.Context, backup func(context.Context) error) error {
	daily, err := cron.ParseStandard("0 3 * * *") // the parser stays
	if err != nil {
		return err
	}
	app, err := taskvisor.New(taskvisor.WithSubscriber(slogsub.New(nil)))
	if err != nil {
		return err
	}
	return app.Run(ctx,
		taskvisor.Scheduled("backup", daily.Next, backup), // a failure is retried after its backoff
	)
}
