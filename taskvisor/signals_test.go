//go:build unix

package taskvisor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// kill sends this process a signal and waits until it has had its effect, which
// is the end of everything unless somebody catches it.
func kill(sig syscall.Signal) { must(syscall.Kill(os.Getpid(), sig)) }

// killed sends a signal that nobody must catch any more. A child that gets past
// it ends with an exit code instead of the signal.
func killed(r childReport, sig syscall.Signal) childReport {
	report(r)
	kill(sig)
	time.Sleep(5 * time.Second)
	os.Exit(3)
	return r
}

func endedBy(err error) (sig syscall.Signal) {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if st, ok := exit.Sys().(syscall.WaitStatus); ok && st.Signaled() {
			return st.Signal()
		}
	}
	return 0
}

// result makes a report of a Run.
func result(begun time.Time, err error, cause error) childReport {
	r := childReport{Took: time.Since(begun)}
	if err != nil {
		r.Err = err.Error()
	}
	if cause != nil {
		r.Cause = cause.Error()
	}
	return r
}

func oneSignal() childReport {
	sup, err := taskvisor.New(taskvisor.WithSignals())
	must(err)
	var cause error
	begun := time.Now()
	err = sup.Run(context.Background(), taskvisor.Once("a", func(ctx context.Context) error {
		kill(syscall.SIGTERM)
		<-ctx.Done()
		cause = context.Cause(ctx)
		return nil
	}))
	return killed(result(begun, err, cause), syscall.SIGTERM)
}

func secondSignal() childReport {
	sup, err := taskvisor.New(taskvisor.WithSignals(syscall.SIGUSR1, syscall.SIGINT), taskvisor.WithGrace(time.Hour))
	must(err)
	begun := time.Now()
	err = sup.Run(context.Background(), taskvisor.Once("stuck", func(ctx context.Context) error {
		kill(syscall.SIGUSR1)
		<-ctx.Done()
		kill(syscall.SIGINT)
		select {}
	}))
	return result(begun, err, nil)
}

// thirdSignal keeps the shutdown busy with a subscriber after the second one.
func thirdSignal() childReport {
	verdict := make(chan struct{})
	sup, err := taskvisor.New(taskvisor.WithSignals(), taskvisor.WithGrace(time.Hour), taskvisor.WithSubscriberDrain(time.Hour),
		taskvisor.WithSubscriber(queuedFunc(func(_ context.Context, e taskvisor.Event) {
			if e.Kind == taskvisor.GraceExceeded {
				close(verdict)
				select {}
			}
		})))
	must(err)
	go func() {
		must(sup.Run(context.Background(), taskvisor.Once("stuck", func(ctx context.Context) error {
			kill(syscall.SIGTERM)
			<-ctx.Done()
			kill(syscall.SIGTERM)
			select {}
		})))
	}()
	<-verdict
	return killed(childReport{}, syscall.SIGTERM)
}

func signalAfterNaturalEnd() childReport {
	sup, err := taskvisor.New(taskvisor.WithSignals())
	must(err)
	begun := time.Now()
	err = sup.Run(context.Background())
	return killed(result(begun, err, nil), syscall.SIGINT)
}

func signalAfterShutdown() childReport {
	sup, err := taskvisor.New(taskvisor.WithSignals())
	must(err)
	begun := time.Now()
	must(sup.Start(context.Background()))
	err = sup.Shutdown(context.Background())
	return killed(result(begun, err, nil), syscall.SIGTERM)
}

// warned reports what a supervisor with a pre-stop delay shows after a signal and
// how long its task was left alone; second sends another one, and an inline subscriber
// does something when it hears of the first.
func warned(delay time.Duration, second bool, inline func()) childReport {
	var announced string
	sup, err := taskvisor.New(taskvisor.WithSignals(), taskvisor.WithPreStopDelay(delay), taskvisor.WithSubscriber(
		taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
			switch e.Kind {
			case taskvisor.ShutdownAnnounced:
				announced += fmt.Sprintf("%s, %v in %s", e.Kind, e.Err, e.Delay)
			case taskvisor.ShutdownRequested:
				announced += ", requested"
			}
		})), taskvisor.WithSubscriber(taskvisor.SubscribeFunc(func(_ context.Context, e taskvisor.Event) {
		if e.Kind == taskvisor.ShutdownAnnounced {
			inline()
		}
	}), taskvisor.Inline()), taskvisor.WithSubscriberDrain(time.Second))
	must(err)
	begun := time.Now()
	var state taskvisor.SupervisorState
	var cause error
	err = sup.Run(context.Background(), taskvisor.Once("a", func(ctx context.Context) error {
		kill(syscall.SIGTERM)
		for state != taskvisor.SupervisorDraining && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
			state = sup.Snapshot().State
		}
		if _, err := sup.Add(ctx, taskvisor.Once("b", func(context.Context) error { return nil })); err != nil {
			return err // nothing is refused yet
		}
		if second {
			kill(syscall.SIGTERM)
		}
		<-ctx.Done()
		cause = context.Cause(ctx)
		return nil
	}))
	r := result(begun, err, cause)
	r.Cause = state.String() + "; " + announced + "; " + r.Cause
	return r
}

// ignoredSignal is sent what the process was started to ignore.
func ignoredSignal() childReport {
	signal.Ignore(syscall.SIGTERM)
	sup, err := taskvisor.New(taskvisor.WithSignals())
	must(err)
	must(sup.Start(context.Background()))
	kill(syscall.SIGTERM)
	time.Sleep(200 * time.Millisecond)
	state := sup.Snapshot().State
	begun := time.Now()
	err = sup.Shutdown(context.Background())
	kill(syscall.SIGTERM)
	return result(begun, err, errors.New(state.String()))
}

func signalNobodyAskedFor() childReport {
	sup, err := taskvisor.New()
	must(err)
	must(sup.Start(context.Background()))
	return killed(childReport{}, syscall.SIGTERM)
}

// announced is what is to be seen of a pre-stop delay: state, events, cause.
func announced(delay string) string {
	return "draining; shutdown_announced, signal: terminated in " + delay + ", requested; taskvisor: supervisor shut down: signal: terminated"
}

// Signals, one child process a row: the first asks, the second forces, the third
// is the process's own, and so is any that comes after the end.
func TestSignals(t *testing.T) {
	for name, tt := range map[string]struct {
		err, cause string
		ends       syscall.Signal // what ends the process
	}{
		"signal":         {"", "taskvisor: supervisor shut down: signal: terminated", syscall.SIGTERM},
		"second signal":  {`taskvisor: grace of 1h0m0s exceeded by "stuck" (id 1, attempt 1)`, "", 0},
		"third signal":   {"", "", syscall.SIGTERM},
		"natural end":    {"", "", syscall.SIGINT},
		"shutdown":       {"", "", syscall.SIGTERM},
		"no signals":     {"", "", syscall.SIGTERM},
		"ignored":        {"", "running", 0},
		"pre-stop":       {"", announced("1s"), 0},
		"pre-stop, cut":  {"", announced("1h0m0s"), 0},
		"pre-stop, held": {"", announced("1s"), 0}, // by a subscriber that does not return
		"pre-stop, exit": {"", announced("1s"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := runChild(t, name)
			if r.Err != tt.err || r.Cause != tt.cause || r.Took > 10*time.Second || name != "pre-stop, cut" && strings.HasPrefix(name, "pre-stop") && r.Took < time.Second {
				t.Errorf("Run: %q after %v, the body saw %q", r.Err, r.Took, r.Cause)
			}
			if got := endedBy(err); got != tt.ends {
				t.Errorf("the process ended with %v (%v), want %v", err, got, tt.ends)
			}
		})
	}
}

// Who hears of a pre-stop delay finds the supervisor draining. The signal that ends it is
// one that asks, and so is one whose delay has passed: the next forces.
func TestSignalsAfterAPreStopDelay(t *testing.T) {
	for name, delay := range map[string]time.Duration{"passed": 30 * time.Millisecond, "cut": time.Hour} {
		t.Run(name, func(t *testing.T) {
			sup, rec := newSup(t, taskvisor.WithSignals(syscall.SIGUSR1), taskvisor.WithPreStopDelay(delay), taskvisor.WithGrace(time.Hour))
			must(sup.Start(context.Background()))
			back := make(chan struct{})
			defer close(back)
			h := addTo(t, sup, taskvisor.Once("a", func(context.Context) error { <-back; return nil }))
			eventually(t, "it runs", func() bool { return taskvisor.Active(h) })
			state := taskvisor.Locks(h)["shutdown"]
			state.Lock()
			kill(syscall.SIGUSR1)
			eventually(t, "it is to drain", func() bool { return atLocks() > 0 })
			<-time.After(20 * time.Millisecond) // in which it would be announced, if it were
			early := kindsOf(rec)[taskvisor.ShutdownAnnounced]
			state.Unlock()
			eventually(t, "it is announced", func() bool { return kindsOf(rec)[taskvisor.ShutdownAnnounced] == 1 })
			if early > 0 {
				t.Error("it was announced before")
			}
			if delay == time.Hour {
				kill(syscall.SIGUSR1)
			}
			eventually(t, "it is stopped", func() bool { return h.Status().State == taskvisor.StateStopping })
			kill(syscall.SIGUSR1)
			select {
			case <-sup.Done():
			case <-time.After(20 * time.Second):
				t.Error("the next signal was not enough")
			}
			if st := sup.Snapshot().State; st != taskvisor.SupervisorStopped {
				t.Errorf("it is %v", st)
			}
		})
	}
}

// A signal that has announced a shutdown is the first one, whatever asks for it in the end.
func TestShutdownInAPreStopDelay(t *testing.T) {
	sup, rec := newSup(t, taskvisor.WithSignals(syscall.SIGUSR1), taskvisor.WithPreStopDelay(time.Hour), taskvisor.WithGrace(time.Minute))
	must(sup.Start(context.Background()))
	back := make(chan struct{})
	defer close(back)
	h := addTo(t, sup, taskvisor.Once("a", func(context.Context) error { <-back; return nil }))
	eventually(t, "it runs", func() bool { return taskvisor.Active(h) })
	kill(syscall.SIGUSR1)
	eventually(t, "it is announced", func() bool { return kindsOf(rec)[taskvisor.ShutdownAnnounced] == 1 })
	go sup.Shutdown(context.Background())
	eventually(t, "it is stopped", func() bool { return h.Status().State == taskvisor.StateStopping })
	kill(syscall.SIGUSR1)
	select {
	case <-sup.Done():
	case <-time.After(20 * time.Second):
		t.Error("the second signal was not enough")
	}
}

// A shutdown that was asked for otherwise takes two signals to be cut short: the first
// one could be the shutdown's own, come late.
func TestTwoSignalsCutAShutdownShort(t *testing.T) {
	sup, rec := newSup(t, taskvisor.WithSignals(syscall.SIGUSR1, syscall.SIGUSR2), taskvisor.WithGrace(time.Minute))
	must(sup.Start(context.Background()))
	back := make(chan struct{})
	defer close(back)
	h := addTo(t, sup, taskvisor.Once("a", func(context.Context) error { <-back; return nil }))
	eventually(t, "it runs", func() bool { return taskvisor.Active(h) })
	result := make(chan error, 1)
	go func() { result <- sup.Shutdown(context.Background()) }()
	eventually(t, "it is stopped", func() bool { return rec.Trace("") == "H" && h.Status().State == taskvisor.StateStopping })
	kill(syscall.SIGUSR1)
	select {
	case err := <-result:
		t.Fatalf("one signal was enough: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	kill(syscall.SIGUSR2) // two that are alike may become one on a busy machine
	var late *taskvisor.GraceExceededError
	select {
	case err := <-result:
		if !errors.As(err, &late) {
			t.Errorf("shutdown: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("two signals were not enough")
	}
}
