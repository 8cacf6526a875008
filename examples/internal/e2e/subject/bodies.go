package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"

	"github.com/taskvisor/taskvisor-go/examples/internal/ledger"
)

// rest waits for d, or until ctx ends, whose cause it then returns.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// works rests for d in a span of the body's own.
func (r *rig) works(d time.Duration) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		ctx, span := r.tracer.Start(ctx, "work")
		defer span.End()
		a.Works(ctx)
		return rest(ctx, d)
	}
}

// fails returns an error after d that names the attempt, so that each can be found.
func (r *rig) fails(d time.Duration) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		if err := r.works(d)(ctx, a); err != nil {
			return err
		}
		return fmt.Errorf("no answer on attempt %d", a.Number)
	}
}

// triggers has another attempt follow the one of body at once, however that ends.
func (r *rig) triggers(sup *taskvisor.Supervisor, name string, body ledger.Body) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		me, ok := sup.Lookup(name)
		if !ok {
			return errors.New("a task that runs has no handle")
		}
		a.Triggers(func() bool { return me.RunNow(errors.New("somebody cannot wait")) })
		return body(ctx, a)
	}
}

func (r *rig) dies(d time.Duration) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		if err := r.fails(d)(ctx, a); ctx.Err() != nil {
			return err
		}
		return a.Dead(errors.New("the account is closed"))
	}
}

func (r *rig) quits(d time.Duration) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		if err := r.works(d)(ctx, a); err != nil {
			return err
		}
		return a.Quit(errors.New("nothing left to import"))
	}
}

func (r *rig) asks(d, later time.Duration) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		if err := r.works(d)(ctx, a); err != nil {
			return err
		}
		return a.Later(later, fmt.Errorf("too many requests on attempt %d", a.Number))
	}
}

func (r *rig) panics(d time.Duration, v any) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		if err := r.works(d)(ctx, a); err != nil {
			return err
		}
		a.Panic(v)
		return nil
	}
}

// childPanics waits for a child that panics.
func (r *rig) childPanics(d time.Duration) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		err := taskvisor.Go(ctx, func(ctx context.Context) {
			if rest(ctx, d) == nil {
				a.ChildPanics("the child lost its way")
				panic("the child lost its way")
			}
		})
		if err != nil {
			return err
		}
		return r.works(time.Minute)(ctx, a)
	}
}

func (r *rig) exits(d time.Duration) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		if err := r.works(d)(ctx, a); err != nil {
			return err
		}
		a.Exit()
		return nil
	}
}

// hangs waits for its context, and says then that it was in the middle of something.
func (r *rig) hangs() ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		err := r.works(time.Minute)(ctx, a)
		return fmt.Errorf("waiting for the disk on attempt %d: %w", a.Number, err)
	}
}

// ignores does not look at its context for d.
func (r *rig) ignores(d time.Duration) ledger.Body {
	return func(_ context.Context, _ *ledger.Attempt) error {
		return rest(context.Background(), d)
	}
}

// outlives ignores for d that it was stopped.
func (r *rig) outlives(d time.Duration) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		<-ctx.Done()
		return r.ignores(d)(ctx, a)
	}
}

// loses fails when it is stopped, with more to say than that it was.
func (r *rig) loses() ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		if r.works(time.Hour)(ctx, a) == nil {
			return nil
		}
		_ = rest(context.Background(), 200*time.Millisecond) // it is stopping
		return errors.New("3 records were not written")
	}
}

// tells sends when body is about to begin.
func tells(begun chan<- struct{}, body ledger.Body) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		begun <- struct{}{}
		return body(ctx, a)
	}
}

// until returns a body that works until the channel is closed.
func (r *rig) until(released <-chan struct{}, begun chan<- struct{}) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		ctx, span := r.tracer.Start(ctx, "work")
		defer span.End()
		a.Works(ctx)
		close(begun)
		select {
		case <-released:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// cycle goes through the bodies, attempt by attempt, and begins anew.
func cycle(bodies ...ledger.Body) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		return bodies[(a.Number-1)%len(bodies)](ctx, a)
	}
}

// times is first for the first n attempts, then last.
func times(n int, first, last ledger.Body) ledger.Body {
	return func(ctx context.Context, a *ledger.Attempt) error {
		if a.Number <= n {
			return first(ctx, a)
		}
		return last(ctx, a)
	}
}
