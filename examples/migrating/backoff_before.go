package migrating

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

var errForbidden = errors.New("forbidden")

func backoffBefore(ctx context.Context, dial func(context.Context) (string, error)) (string, error) {
	return backoff.Retry(ctx, func() (string, error) {
		conn, err := dial(ctx)
		if errors.Is(err, errForbidden) {
			return "", backoff.Permanent(err)
		}
		return conn, err
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 200 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: 30 * time.Second,
	}), backoff.WithMaxTries(5))
}
