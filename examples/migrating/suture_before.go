package migrating

import (
	"context"
	"log/slog"
	"time"

	"github.com/thejerf/suture/v4"
)

// consumer is a service: suture's unit is an object with a method Serve.
type consumer struct {
	consume func(context.Context) error
}

func (c *consumer) Serve(ctx context.Context) error { return c.consume(ctx) }

func (c *consumer) String() string { return "consumer" }

func sutureBefore(ctx context.Context, consume func(context.Context) error) error {
	app := suture.New("app", suture.Spec{
		EventHook: func(e suture.Event) { slog.Warn(e.String()) },
		Timeout:   20 * time.Second,
	})
	app.Add(&consumer{consume})
	return app.Serve(ctx)
}
