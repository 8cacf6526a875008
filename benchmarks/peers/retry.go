package peers

import (
	"context"
	"math"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
)

// The retry libraries know retries only, so that their loops restart after
// failures. Neither contains panics.

// failing returns an operation that succeeds at its n-th call.
func failing(n int) (op func() error, calls *int) {
	i := 0
	return func() error {
		if i++; i >= n {
			return nil
		}
		return work.ErrFail
	}, &i
}

func backoffRestart(m *rounds.Meter, n int) error {
	op, calls := failing(n)
	m.Start()
	err := backoffRetry(op)
	m.Stop()
	if err != nil {
		return err
	}
	return work.Counted("attempts", *calls, n)
}

func backoffRetry(op func() error) error {
	_, err := backoff.Retry(context.Background(), func() (struct{}, error) { return struct{}{}, op() },
		backoff.WithBackOff(backoff.NewConstantBackOff(0)), backoff.WithMaxElapsedTime(math.MaxInt64))
	return err
}

func backoffFailures(m *rounds.Meter, n int) error {
	ran := 0
	m.Start()
	for range n {
		if err := backoffRetry(work.Flaky(&ran)); err != nil {
			return err
		}
	}
	m.Stop()
	return work.Counted("attempts", ran, n*(work.Failures+1))
}

func failsafeRestart(policies ...failsafe.Policy[any]) func(m *rounds.Meter, n int) error {
	return func(m *rounds.Meter, n int) error {
		op, calls := failing(n)
		m.Start()
		err := failsafeRetry(op, policies...)
		m.Stop()
		if err != nil {
			return err
		}
		return work.Counted("attempts", *calls, n)
	}
}

func failsafeRetry(op func() error, inner ...failsafe.Policy[any]) error {
	retry := retrypolicy.NewBuilder[any]().WithMaxRetries(-1).Build()
	return failsafe.With(append([]failsafe.Policy[any]{retry}, inner...)...).Run(op)
}

func failsafeTimeout() func(m *rounds.Meter, n int) error {
	return failsafeRestart(timeout.New[any](time.Minute))
}

func failsafeFailures(m *rounds.Meter, n int) error {
	ran := 0
	m.Start()
	for range n {
		if err := failsafeRetry(work.Flaky(&ran)); err != nil {
			return err
		}
	}
	m.Stop()
	return work.Counted("attempts", ran, n*(work.Failures+1))
}
