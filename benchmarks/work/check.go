// Package work does the work of each row twice: with bare goroutines, a channel
// and a recover, which is the limit of what Go can do, and with taskvisor. Every
// function counts what was really done.
package work

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// ErrFail is the failure of bodies that fail.
var ErrFail = errors.New("fail")

// Counted returns an error unless got is want.
func Counted(what string, got, want int) error {
	if got != want {
		return fmt.Errorf("%d %s, want %d", got, what, want)
	}
	return nil
}

// Names returns n distinct names.
func Names(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("task-%07d", i)
	}
	return names
}

// Protect is what the simplest supervisor does around a body.
func Protect(ctx context.Context, fn taskvisor.Func) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return fn(ctx)
}

// Counter is the least that a subscriber can do.
type Counter struct{ N atomic.Int64 }

// OnEvent counts.
func (c *Counter) OnEvent(context.Context, taskvisor.Event) { c.N.Add(1) }

// started returns a running supervisor. Without subscribers it writes no failures to
// the log either, as the peers do not.
func started(opts ...taskvisor.Option) (*taskvisor.Supervisor, error) {
	sup, err := taskvisor.New(append(opts, taskvisor.WithSubscriber(taskvisor.Discard))...)
	if err != nil {
		return nil, err
	}
	return sup, sup.Start(context.Background())
}

// end shuts sup down and adds its error to err.
func end(sup *taskvisor.Supervisor, err error) error {
	return errors.Join(err, sup.Shutdown(context.Background()))
}

// Accounts holds the subscribers' accounts of a supervisor that has ended
// against what was published, and returns what was lost by all of them.
func Accounts(sn taskvisor.Snapshot) (lost uint64, err error) {
	for _, st := range sn.Subscribers {
		var dropped uint64
		for _, n := range st.Dropped {
			dropped += n
		}
		if st.Delivered+dropped+uint64(st.Queued) != sn.Seq {
			err = fmt.Errorf("subscriber %s: %d delivered + %d dropped + %d queued of %d published",
				st.Name, st.Delivered, dropped, st.Queued, sn.Seq)
		}
		lost += dropped
	}
	return lost, err
}
