package migrating

import (
	"context"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func runAfter(serve func() error, shutdown func(), refresh func(context.Context) error) error {
	app, err := taskvisor.New(
		taskvisor.WithSignals(),                               // SIGINT and SIGTERM
		taskvisor.WithTaskDefaults(taskvisor.WithEssential()), // one that fails ends all
	)
	if err != nil {
		return err
	}
	return app.Run(context.Background(),
		taskvisor.Once("http", func(ctx context.Context) error {
			defer context.AfterFunc(ctx, shutdown)() // the interrupt
			return serve()
		}),
		taskvisor.Once("refresh", refresh),
	)
}
