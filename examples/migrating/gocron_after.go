package migrating

import (
	"context"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func gocronAfter(ctx context.Context, refresh func(context.Context) error) error {
	app, err := taskvisor.New()
	if err != nil {
		return err
	}
	return app.Run(ctx,
		taskvisor.Periodic("refresh", time.Minute, refresh), // at once, then a minute after each success
	)
}
