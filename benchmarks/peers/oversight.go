package peers

import (
	"context"
	"errors"

	"cirello.io/oversight/v2"
	"github.com/taskvisor/taskvisor-go/benchmarks/rounds"
	"github.com/taskvisor/taskvisor-go/benchmarks/work"
)

// oversightLoop runs one child process until body has been called n times. The
// tree then ends itself, as it has no child left.
func oversightLoop(m *rounds.Meter, n int, body func() error) error {
	tree := oversight.New(oversight.NeverHalt())
	ended := make(chan error, 1)
	calls := 0
	again := func(error) bool { return calls < n }
	m.Start()
	if err := tree.Add(func(context.Context) error { calls++; return body() }, again, oversight.Natural(), "loop"); err != nil {
		return err
	}
	go func() { ended <- tree.Start(context.Background()) }()
	err := <-ended
	m.Stop()
	if !errors.Is(err, oversight.ErrNoChildProcessLeft) {
		return err
	}
	return work.Counted("attempts", calls, n)
}

func oversightRestart(m *rounds.Meter, n int) error {
	return oversightLoop(m, n, func() error { return nil })
}

func oversightPanic(m *rounds.Meter, n int) error {
	return oversightLoop(m, n, func() error { panic("boom") })
}
