package run_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/compat/run"
)

func TestContextHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var g run.Group
		g.Add(run.ContextHandler(ctx))
		if err := g.Run(); err != context.DeadlineExceeded {
			t.Error(err)
		}
	})
}

// An interrupt ends the handlers, and not the context that they were given.
func TestHandlersAreInterrupted(t *testing.T) {
	ctx := t.Context()
	for name, add := range map[string]func(*run.Group){
		"context": func(g *run.Group) { g.Add(run.ContextHandler(ctx)) },
		"signal":  func(g *run.Group) { g.Add(run.SignalHandler(ctx, syscall.SIGUSR1)) },
	} {
		t.Run(name, func(t *testing.T) {
			var g run.Group
			add(&g)
			g.Add(func() error { return errBroken }, func(error) {})
			if err := g.Run(); err != errBroken || ctx.Err() != nil {
				t.Errorf("%v, the context: %v", err, ctx.Err())
			}
		})
	}
}

func TestSignalHandler(t *testing.T) {
	var g run.Group
	g.Add(run.SignalHandler(t.Context(), syscall.SIGUSR1))
	// Sent until it has been noticed: when the handler begins to listen is not known
	// here. Before that the signal would end the process, were it not caught once more.
	always := make(chan os.Signal, 1)
	signal.Notify(always, syscall.SIGUSR1)
	defer signal.Stop(always)
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				_ = syscall.Kill(os.Getpid(), syscall.SIGUSR1)
			}
		}
	}()
	err := g.Run()
	close(stop)
	var sig *run.SignalError
	if !errors.Is(err, run.ErrSignal) || !errors.As(err, &sig) || sig.Signal != syscall.SIGUSR1 {
		t.Errorf("%v", err)
	}
}

// Held by value or by pointer, wrapped or not, the error is found in every way.
func TestSignalError(t *testing.T) {
	for _, err := range []error{
		run.SignalError{Signal: os.Interrupt}, &run.SignalError{Signal: os.Interrupt},
		fmt.Errorf("wrapped: %w", &run.SignalError{Signal: os.Interrupt}),
	} {
		var p *run.SignalError
		var v run.SignalError
		if !errors.As(err, &p) || p.Signal != os.Interrupt {
			t.Errorf("%#v as a pointer: %v", err, p)
		}
		if !errors.As(err, &v) || v.Signal != os.Interrupt {
			t.Errorf("%#v as a value: %v", err, v)
		}
		if !errors.Is(err, run.ErrSignal) || errors.Is(err, errBroken) {
			t.Errorf("%#v is not ErrSignal alone", err)
		}
		var other *os.PathError
		if errors.As(err, &other) {
			t.Errorf("%#v is a %T", err, other)
		}
	}
	if got := (run.SignalError{Signal: os.Interrupt}).Error(); got != "run: received interrupt" {
		t.Error(got)
	}
}
