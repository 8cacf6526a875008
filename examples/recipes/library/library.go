// Package library shows how a library uses a supervisor inside: with the logger and
// the metrics of the program that it is part of, and without a word of its own.
package library

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Config is what the program decides.
type Config struct {
	Name   string       // tells clients of one program apart, in metrics and logs; "mailer" if empty
	Logger *slog.Logger // nil: silent

	// Subscribers observe the client's tasks: promsub.New(registry), otelsub.New() or
	// the program's live page. The library needs to know of none of them.
	Subscribers []taskvisor.Subscribe
}

// Client sends mail in the background.
type Client struct{ sup *taskvisor.Supervisor }

// Open starts a client. The values of ctx are kept for its work, its end is not: a
// client ends by Close.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.Name == "" {
		cfg.Name = "mailer"
	}
	opts := []taskvisor.Option{
		taskvisor.WithName(cfg.Name), // and no WithSignals: those are the program's
		taskvisor.WithSubscriber(taskvisor.Discard),
	}
	if cfg.Logger != nil {
		opts = append(opts, taskvisor.WithSubscriber(slogsub.New(cfg.Logger)))
	}
	for _, s := range cfg.Subscribers {
		opts = append(opts, taskvisor.WithSubscriber(s))
	}
	sup, err := taskvisor.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("mailer: %w", err) // such as a second client of that name on one registry
	}
	ctx = context.WithoutCancel(ctx)
	if err := sup.Start(ctx); err != nil {
		return nil, err
	}
	if _, err := sup.Add(ctx, taskvisor.Periodic("flush", time.Second, flush)); err != nil {
		return nil, err
	}
	return &Client{sup}, nil
}

// Close ends the client's work, for as long as ctx lets it.
func (c *Client) Close(ctx context.Context) error { return c.sup.Shutdown(ctx) }

func flush(context.Context) error { return nil } // sends what waits
