package migrating

import (
	"context"
	"syscall"

	"github.com/oklog/run"
)

func runBefore(serve func() error, shutdown func(), refresh func(context.Context) error) error {
	var g run.Group
	g.Add(serve, func(error) { shutdown() })
	ctx, cancel := context.WithCancel(context.Background())
	g.Add(func() error { return refresh(ctx) }, func(error) { cancel() })
	g.Add(run.SignalHandler(ctx, syscall.SIGINT, syscall.SIGTERM))
	return g.Run()
}
